"""The fields of a lead that are more than text."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

import orjson
from email_validator import SPECIAL_USE_DOMAIN_NAMES
from marshmallow import ValidationError, fields

from leadapi.leads.emails import MAX_LENGTH, InvalidEmail, normalize_email, normalize_fast
from leadapi.leads.errors import MAX_ATTRIBUTES, MAX_ATTRIBUTES_BYTES
from leadapi.web.fields import CONTROL, SPACES, WHITE_SPACE, Cursor, Line

# In any case, without flags, which JSON Schema does not have.
RESERVED = "|".join(
    "".join(f"[{letter}{letter.upper()}]" if letter.isalpha() else re.escape(letter) for letter in name)
    for name in SPECIAL_USE_DOMAIN_NAMES
)
FIRST, LAST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
TICK = timedelta(microseconds=1)


class Email(Line):
    """An email address, normalised."""

    trimmed = True
    # RFC 6531 allows more than can receive mail: names without a dot, addresses in brackets, quoted local parts and
    # reserved domains.
    documented = {
        "format": "idn-email",
        "maxLength": MAX_LENGTH,
        "not": {"pattern": rf"""^"|@\[|@[^.\u3002\uff0e\uff61]*$|[0-9]$|\.({RESERVED})$"""},
    }
    default_error_messages = {"email": "Not a valid email address."}

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(None, **kwargs)

    def deserialize(
        self, value: Any, attr: str | None = None, data: Mapping[str, Any] | None = None, **kwargs: Any
    ) -> Any:
        address = normalize_fast(value) if type(value) is str else None
        return address or super().deserialize(value, attr, data, **kwargs)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        text = super()._deserialize(value, attr, data, **kwargs)
        try:
            return normalize_email(text)
        except InvalidEmail as exc:
            raise self.make_error("email") from exc


class QueryEmail(Email):
    """An email address in a query, where a plus that is not percent-encoded arrives as a space."""

    def deserialize(
        self, value: Any, attr: str | None = None, data: Mapping[str, Any] | None = None, **kwargs: Any
    ) -> Any:
        given = value.strip(SPACES).replace(" ", "+") if type(value) is str else value
        return super().deserialize(given, attr, data, **kwargs)


class Words(Line):
    """Words to search for, separated by spaces, tabs or line breaks."""

    _control = r"\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f"
    refused = re.compile(rf"[{_control}]")
    documented = {
        "pattern": rf"^[^{_control}]*$",
        "minLength": 1,
        "not": {"pattern": rf"^[{WHITE_SPACE}]*$"},
    }
    default_error_messages = {"blank": "Must have a word."}

    def deserialize(
        self, value: Any, attr: str | None = None, data: Mapping[str, Any] | None = None, **kwargs: Any
    ) -> Any:
        text = super().deserialize(value, attr, data, **kwargs)
        if isinstance(text, str) and not text.split():
            raise self.make_error("blank")
        return text


class LeadCursor(Cursor):
    """An opaque position in a list of leads: an id and, in the order of the last change, its time."""

    def __init__(self, **kwargs: Any) -> None:
        pattern = {"pattern": "^[A-Za-z0-9_-]{11}([A-Za-z0-9_-]{11})?$"}
        super().__init__(metadata=pattern | kwargs.pop("metadata", {}), **kwargs)

    @staticmethod
    def encode_position(position: tuple[int, datetime | None]) -> str:
        """The cursor of a position."""
        lead_id, time = position
        return Cursor.encode(lead_id) + (Cursor.encode((time - FIRST) // TICK) if time else "")

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        lead_id = super()._deserialize(value[:11], attr, data, **kwargs)
        if len(value) == 11:
            return lead_id, None
        ticks = super()._deserialize(value[11:], attr, data, **kwargs)
        return lead_id, FIRST + min(ticks, (LAST - FIRST) // TICK) * TICK


class Attributes(fields.Field[Any]):
    """Other facts about a lead: a flat object of strings. An empty value is as good as none.

    :param removable: whether a null or empty value stays as None, to remove the attribute.
    """

    longest_name = 100
    longest = 2000
    named = re.compile(rf"[^{CONTROL}]{{1,{longest_name}}}")
    default_error_messages = {
        "invalid": "Must be an object.",
        "many": "Has more than {most} attributes.",
        "large": f"Is larger than {MAX_ATTRIBUTES_BYTES // 1024} KiB as JSON.",
        "name": f"A name must have 1 to {longest_name} characters, and no control characters.",
        "value": f"Must be a string of at most {longest} characters.",
    }

    def __init__(self, *, removable: bool = False, **kwargs: Any) -> None:
        # One change can remove as many as a lead can have, and add as many.
        self.most = 2 * MAX_ATTRIBUTES if removable else MAX_ATTRIBUTES
        self.removable = removable
        self.json_schema = {
            "type": ["object", "null"],
            "maxProperties": self.most,
            "propertyNames": {"pattern": f"^{self.named.pattern}$"},
            "additionalProperties": {
                "type": ["string", "null"] if removable else "string",
                "maxLength": self.longest,
            },
        }
        super().__init__(allow_none=True, **kwargs)

    def deserialize(
        self, value: Any, attr: str | None = None, data: Mapping[str, Any] | None = None, **kwargs: Any
    ) -> Any:
        # Few and short attributes need no more checks, which cost four times as much. In JSON, a character takes at
        # most six bytes.
        if type(value) is dict and len(value) <= FEW and all(map(_is_short, value, value.values())):
            return value
        return super().deserialize(value, attr, data, **kwargs)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Mapping[str, str | None]:
        if value == []:
            # PHP writes an empty object like this.
            return {}
        if not isinstance(value, dict):
            raise self.make_error("invalid")
        if len(value) > self.most:
            raise self.make_error("many", most=self.most)
        if not all(map(self.named.fullmatch, value)):
            raise self.make_error("name")
        wrong = [name for name, text in value.items() if not self._fits(text)]
        if wrong:
            raise ValidationError({name: [self.error_messages["value"]] for name in wrong})
        kept = {name: text for name, text in value.items() if text}
        if len(orjson.dumps(kept)) > MAX_ATTRIBUTES_BYTES:
            raise self.make_error("large")
        return {name: text or None for name, text in value.items()} if self.removable else kept

    def _fits(self, text: Any) -> bool:
        return len(text) <= self.longest if isinstance(text, str) else text is None and self.removable


# Together at most 8 * 6 * (100 + 200) bytes, less than MAX_ATTRIBUTES_BYTES.
FEW, SHORT = 8, 200
_is_name = lru_cache(1024)(Attributes.named.fullmatch)


def _is_short(name: str, text: Any) -> bool:
    # The length is checked first, because the cache keeps the names.
    return type(text) is str and 0 < len(text) <= SHORT and len(name) <= SHORT and _is_name(name) is not None
