"""A new lead as an HTML form: the JSON body that it stands for."""

from collections.abc import Mapping
from typing import Any

from marshmallow import ValidationError

from leadapi.leads.fields import Attributes
from leadapi.leads.models import SENT
from leadapi.web.fields import STAMP_FIELD, TRAP_FIELD

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
