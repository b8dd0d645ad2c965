"""The fields of a lead that are more than text."""

import re
from collections.abc import Mapping
from typing import Any

import orjson
from email_validator import SPECIAL_USE_DOMAIN_NAMES
from marshmallow import ValidationError, fields

from leadapi.leads.emails import MAX_LENGTH, InvalidEmail, normalize_email
from leadapi.leads.errors import MAX_ATTRIBUTES, MAX_ATTRIBUTES_BYTES
from leadapi.web.fields import CONTROL, Line

# In any case, in words that every dialect of regular expressions has.
RESERVED = "|".join(
    "".join(f"[{letter}{letter.upper()}]" if letter.isalpha() else re.escape(letter) for letter in name)
    for name in SPECIAL_USE_DOMAIN_NAMES
)


class Email(Line):
    """An email address, normalised."""

    trimmed = True
    # RFC 6531 has more than what one could write to: names without a dot, addresses in brackets,
    # quoted names, and domains that are reserved.
    documented = {
        "format": "idn-email",
        "maxLength": MAX_LENGTH,
        "not": {"pattern": rf"""^"|@\[|@[^.\u3002\uff0e\uff61]*$|[0-9]$|\.({RESERVED})$"""},
    }
    default_error_messages = {"email": "Not a valid email address."}

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        text = super()._deserialize(value, attr, data, **kwargs)
        try:
            return normalize_email(text)
        except InvalidEmail as exc:
            raise self.make_error("email") from exc


class Attributes(fields.Field[Any]):
    """Whatever else is known of a lead: a flat object of strings.

    :param removable: whether null may stand for a value, to take it away.
    """

    longest_name, longest = 100, 2000
    named = re.compile(rf"[^{CONTROL}]{{1,{longest_name}}}")
    default_error_messages = {
        "invalid": "Must be an object.",
        "many": "Has too many attributes.",
        "name": f"A name must have 1 to {longest_name} characters, and no control characters.",
        "large": f"Must have at most {MAX_ATTRIBUTES_BYTES} bytes as JSON.",
        "value": f"Must be a string of at most {longest} characters.",
    }

    def __init__(self, *, removable: bool = False, **kwargs: Any) -> None:
        # A change may remove as many as a lead has, and add as many.
        factor = 2 if removable else 1
        self.most, self.most_bytes = factor * MAX_ATTRIBUTES, factor * MAX_ATTRIBUTES_BYTES
        self.removable = removable
        documented = {
            "type": "object",
            "maxProperties": self.most,
            "propertyNames": {"pattern": f"^{self.named.pattern}$"},
            "additionalProperties": {
                "type": ["string", "null"] if removable else "string",
                "maxLength": self.longest,
            },
        }
        # In an allOf, because apispec does not know the word propertyNames.
        super().__init__(allow_none=True, metadata={"allOf": [documented], **kwargs.pop("metadata", {})}, **kwargs)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Mapping[str, str | None]:
        if not isinstance(value, dict):
            raise self.make_error("invalid")
        if len(value) > self.most:
            raise self.make_error("many")
        if not all(map(self.named.fullmatch, value)):
            raise self.make_error("name")
        wrong = [name for name, text in value.items() if not self._fits(text)]
        if wrong:
            raise ValidationError({name: [self.error_messages["value"]] for name in wrong})
        if len(orjson.dumps(value)) > self.most_bytes:
            raise self.make_error("large")
        return value

    def _fits(self, text: Any) -> bool:
        return len(text) <= self.longest if isinstance(text, str) else text is None and self.removable
