"""The fields and schemas every feature builds on: strict in what they take, exact in what they document."""

import base64
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from marshmallow import EXCLUDE, RAISE, Schema, fields, validate

# More than any schema has. Each unknown one costs work, and space in the answer.
MAX_FIELDS = 100
# The largest id a database gives.
MAX_ID = 2**63 - 1

# Fields of a form that begin like this are for the service itself.
OWN = "_"
# What may come with a lead and is none of its fields: people do not see the first, so whoever fills
# it is a program; the second says when the page was shown.
TRAP_FIELD = "_gotcha"
STAMP_FIELD = "_ts"

# Trimmed from names and addresses: Unicode's White_Space (str.strip() alone would also trim four control characters),
# and invisible characters, which people copy without knowing. Written as the inside of a character class, in escapes
# that Python and ECMA-262 share.
_WHITE = r"\t-\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
_INVISIBLE = (
    r"\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\u2800\u3164\ufeff\uffa0"
)
SPACE = _WHITE + _INVISIBLE
CONTROL = r"\x00-\x1f\x7f-\x9f"
SPACES = "".join(re.findall(f"[{SPACE}]", "".join(map(chr, range(0x10000)))))


class BodySchema(Schema):
    """A request body: what is not known is refused by name."""

    class Meta:
        unknown = RAISE

    error_messages = {"type": "Must be an object."}


class ArgsSchema(Schema):
    """Query parameters."""

    class Meta:
        unknown = RAISE


class NoArgsSchema(ArgsSchema):
    """No query parameters at all."""


class ShownSchema(Schema):
    """A response body: the documented truth about data that is in its wire form already.

    Rows and dataclasses go to JSON as they are, because dumping them field by field costs more
    than everything else a request does. A test holds real answers against these schemas.
    """

    class Meta:
        # Documented as open: what a later version adds is nothing that a client may refuse.
        unknown = EXCLUDE

    def dump(self, obj: Any, *, many: bool | None = None) -> Any:
        return obj


class Integer(fields.Integer):
    """A whole number within inclusive bounds, in plain digits.

    Python's own idea of a number also has 1_0, digits of other scripts, and 3e-193 for 0.
    """

    def __init__(self, low: int, high: int, **kwargs: Any) -> None:
        super().__init__(validate=validate.Range(low, high), **kwargs)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> int:
        if type(value) is int:
            return value
        if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,30}", value):
            return int(value)
        raise self.make_error("invalid")


class Line(fields.String):
    """Text without control characters."""

    refused = re.compile(rf"[{CONTROL}]")
    documented: Mapping[str, Any] = {"pattern": rf"^[^{CONTROL}]*$"}
    # Whether the spaces around the text are removed first.
    trimmed = False
    default_error_messages = {"control": "Must not have control characters."}

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(metadata={**self.documented, **kwargs.pop("metadata", {})}, **kwargs)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        if self.trimmed and isinstance(value, str):
            value = value.strip(SPACES)
        text: str = super()._deserialize(value, attr, data, **kwargs)
        if self.refused.search(text):
            raise self.make_error("control")
        return text


class Name(Line):
    """A line of two characters or more, not counting the spaces around it."""

    trimmed = True

    def __init__(self, longest: int, **kwargs: Any) -> None:
        # Documented by a pattern, because minLength and maxLength would count the spaces.
        within, edge = rf"[^{CONTROL}]", rf"[^{SPACE}{CONTROL}]"
        self.documented = {"pattern": rf"^[{SPACE}]*{edge}{within}{{0,{longest - 2}}}{edge}[{SPACE}]*$"}
        self.length = validate.Length(2, longest)
        super().__init__(**kwargs)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        text = super()._deserialize(value, attr, data, **kwargs)
        self.length(text)
        return text


class Paragraphs(Line):
    """Text that may have line breaks and tabs."""

    refused = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]|\r(?!\n)")
    documented = {"pattern": r"^([^\x00-\x08\x0b-\x1f\x7f-\x9f]|\r\n)*$"}


class Instant(fields.Field[datetime]):
    """A date and time with its zone (RFC 3339), as an aware datetime in UTC."""

    pattern = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
    default_error_messages = {"invalid": "Not a date and time with a zone, such as 2026-02-28T10:00:00Z."}

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(metadata={"type": "string", "format": "date-time", **kwargs.pop("metadata", {})}, **kwargs)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> datetime:
        if not isinstance(value, str) or not self.pattern.fullmatch(value):
            raise self.make_error("invalid")
        try:
            return datetime.fromisoformat(value.upper()).astimezone(UTC)
        except (ValueError, OverflowError) as exc:
            raise self.make_error("invalid") from exc


class Cursor(fields.Field[int]):
    """A place in a list, to be handed back as it was got: the id of the last thing seen."""

    default_error_messages = {"invalid": "Not a cursor of a next link."}

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(
            metadata={"type": "string", "pattern": "^[A-Za-z0-9_-]{11}$", **kwargs.pop("metadata", {})}, **kwargs
        )

    @staticmethod
    def encode(last: int) -> str:
        """The cursor of a place."""
        return base64.urlsafe_b64encode(last.to_bytes(8)).decode().rstrip("=")

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> int:
        if not isinstance(value, str) or not re.fullmatch("[A-Za-z0-9_-]{11}", value):
            raise self.make_error("invalid")
        # The databases' ids have a bit less.
        return min(int.from_bytes(base64.urlsafe_b64decode(f"{value}=")), MAX_ID)
