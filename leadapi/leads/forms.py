"""A new lead as an HTML form: what it looks like, and the body it stands for."""

from collections.abc import Mapping
from typing import Any

from marshmallow import Schema, ValidationError, validate

from leadapi.leads.errors import MAX_ATTRIBUTES
from leadapi.leads.fields import Attributes
from leadapi.leads.models import SENT
from leadapi.web.fields import OWN, STAMP_FIELD, TRAP_FIELD

FIELDS = tuple(name for name in SENT if name != "attributes")
# What is not one of these is an attribute.
KNOWN = (*FIELDS, TRAP_FIELD, STAMP_FIELD)


def to_body(form: Mapping[str, list[str]]) -> dict[str, Any]:
    """The JSON object that a form stands for.

    A field that a person leaves empty is sent as an empty text, and is as good as absent.

    :raises ValidationError: a field of a lead is there twice.
    """
    repeated = [name for name in FIELDS if len(form.get(name, ())) > 1]
    if repeated:
        raise ValidationError({name: ["Given more than once."] for name in repeated})
    body: dict[str, Any] = {name: form[name][0] for name in FIELDS if any(form.get(name, ()))}
    # Boxes that belong together have one name.
    rest = {name: ", ".join(filter(None, texts)) for name, texts in form.items() if name not in KNOWN}
    # A name that no attribute can have is refused, whatever is in it.
    attributes = {name: text for name, text in rest.items() if text or not Attributes.named.fullmatch(name)}
    return body | ({"attributes": attributes} if attributes else {}) | _for_traps(form)


def _for_traps(form: Mapping[str, list[str]]) -> dict[str, str]:
    """What is for the traps. It is never refused: a visitor could not do anything about it."""
    filled = "".join(form.get(TRAP_FIELD, ()))
    stamps = form.get(STAMP_FIELD, ())
    # Of several, nobody knows which was meant.
    return ({TRAP_FIELD: filled} if filled else {}) | ({STAMP_FIELD: stamps[0]} if len(stamps) == 1 else {})


def describe(schema: Schema) -> dict[str, Any]:
    """What OpenAPI says of the form whose body has this schema."""
    (attributes,) = schema.fields["attributes"].metadata["allOf"]
    return {
        "schema": {
            "type": "object",
            "description": "Fields that are not listed, and do not begin with _, become attributes.",
            "properties": {
                **{name: _described(schema, name) for name in KNOWN},
                "_next": {"type": "string", "description": "Where to send the visitor, if `REDIRECT_URLS` has it."},
            },
            "required": [name for name in FIELDS if schema.fields[name].required],
            "propertyNames": {"pattern": f"^({OWN}|{Attributes.named.pattern}$)"},
            "additionalProperties": attributes["additionalProperties"],
            # What else is for the service is ignored, whatever is in it.
            "patternProperties": {f"^{OWN}": {}},
            "maxProperties": MAX_ATTRIBUTES,
        },
        "example": {
            "full_name": "John Doe",
            "email": "john@example.com",
            "phone": "+1 555 0100",
            "_next": "https://www.example.com/thanks",
        },
    }


def _described(schema: Schema, name: str) -> dict[str, Any]:
    field = schema.fields[name]
    described = {"type": "string", **field.metadata}
    if name == "message":
        # A line break is sent as two characters and counts as one, which maxLength cannot say.
        return described | {"description": "At most 2000 characters."}
    for rule in field.validators:
        if isinstance(rule, validate.Length):
            described["maxLength"] = rule.max
    return described
