"""Fields and schemas that every feature builds on: strict about input, exact in the OpenAPI document.

The document also reads these attributes of a field (see `web.openapi`): `metadata={"hidden": True}` leaves it out, and
`json_schema` has keywords that apispec does not know.
"""

import base64
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from marshmallow import EXCLUDE, RAISE, Schema, fields, post_load, validate

# No schema has as many. Each unknown field costs work and space in the response.
MAX_FIELDS = 100
# The largest id of a database.
MAX_ID = 2**63 - 1

# Form fields with this prefix control the service.
OWN = "_"
# The honeypot, which is invisible to people, and the time at which the page was shown.
TRAP_FIELD = "_gotcha"
STAMP_FIELD = "_ts"
TRAP_FIELDS = (TRAP_FIELD, STAMP_FIELD)

# Trimmed from names and addresses: Unicode's White_Space (str.strip() alone would also trim four control characters),
# and invisible characters, which people copy without knowing. Written as the inside of a character class, in escapes
# that Python and ECMA-262 share: a literal U+2028 would end a line of generated JavaScript.
WHITE_SPACE = r"\t-\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
INVISIBLE = (
    r"\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\u2800\u3164\ufeff\uffa0"
)
SPACE = WHITE_SPACE + INVISIBLE
# Variation selectors, and tags. They are not trimmed, because they change the look of the character before them.
SELECTORS, TAGS = r"\u180b-\u180d\ufe00-\ufe0f", "\U000e0000-\U000e0fff"
CONTROL = r"\x00-\x1f\x7f-\x9f"
SPACES = "".join(re.findall(f"[{SPACE}]", "".join(map(chr, range(0x10000)))))


class BodySchema(Schema):
    """A request body: unknown fields are refused by name."""

    class Meta:
        unknown = RAISE

    error_messages = {"type": "Must be an object."}


class ArgsSchema(Schema):
    """Query parameters."""

    class Meta:
        unknown = RAISE


class NoArgsSchema(ArgsSchema):
    """No query parameters."""


class ShownSchema(Schema):
    """A response body. It only documents: the data is in its wire form already and passes unchanged.

    Dumping rows field by field would cost more than the rest of a request. A test compares real responses with these
    schemas.
    """

    class Meta:
        # Documented as open, so that a later version may add fields.
        unknown = EXCLUDE

    def dump(self, obj: Any, *, many: bool | None = None) -> Any:
        return obj


class Constant(fields.Field[Any]):
    """Shown data that always has this value; of several schemas, it tells which one applies."""

    def __init__(self, constant: str | int, **kwargs: Any) -> None:
        super().__init__(required=True, **kwargs)
        self.constant = constant
        self.json_schema = {"type": "string" if isinstance(constant, str) else "integer", "const": constant}


class OneOf(fields.Field[Any]):
    """Shown data that has one of several schemas.

    :param component: the name of the union in the document.
    :param about: the description of the union.
    :param discriminator: the field, a `Constant` in each schema, whose value tells which schema applies.
    """

    def __init__(
        self, component: str, about: str, *schemas: type[Schema], discriminator: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.component, self.about = component, about
        self.schemas = schemas
        self.discriminator = discriminator

    def values(self) -> list[Any]:
        """The discriminator's value in each schema."""
        found = [schema().fields[str(self.discriminator)] for schema in self.schemas]
        return [field.constant for field in found if isinstance(field, Constant)]


class Choice(fields.String):
    """One of several words.

    :param component: the name of the set in the document.
    :param about: the description of the set.
    """

    def __init__(self, component: str, about: str, choices: list[str], **kwargs: Any) -> None:
        super().__init__(validate=validate.OneOf(choices), **kwargs)
        self.component, self.about = component, about


class Integer(fields.Integer):
    """An integer within inclusive bounds, in ASCII digits.

    marshmallow's field also takes 1_0, digits of other scripts, and 3e-193 as 0.
    """

    def __init__(self, low: int, high: int, **kwargs: Any) -> None:
        super().__init__(validate=validate.Range(low, high), **kwargs)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> int:
        if type(value) is int:
            return value
        if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,30}", value):
            return int(value)
        raise self.make_error("invalid")


class Boolean(fields.Boolean):
    """true or false. marshmallow's field also takes numbers and words."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> bool:
        if type(value) is bool:
            return value
        raise self.make_error("invalid", input=value)


class Line(fields.String):
    """Text without control characters. Where null is allowed, an empty text becomes null.

    :param longest: the most characters; None for a subclass that limits the length by itself.
    """

    refused = re.compile(rf"[{CONTROL}]")
    documented: Mapping[str, Any] = {"pattern": rf"^[^{CONTROL}]*$"}
    # Whether spaces around the text are removed first.
    trimmed = False
    shortest = 1
    default_error_messages = {"control": "Must not have control characters."}

    def __init__(self, longest: int | None, **kwargs: Any) -> None:
        self.longest = longest or 0
        metadata = {**self.documented, **kwargs.pop("metadata", {})}
        super().__init__(metadata=metadata, validate=validate.Length(max=longest) if longest else None, **kwargs)

    def deserialize(
        self, value: Any, attr: str | None = None, data: Mapping[str, Any] | None = None, **kwargs: Any
    ) -> Any:
        # Most texts are valid as they are, and these checks cost a fifth of marshmallow's.
        is_plain = type(value) is str and self.shortest <= len(value) <= self.longest and value.isprintable()
        if is_plain and not (self.trimmed and (value[0] in SPACES or value[-1] in SPACES)):
            return value
        return super().deserialize(None if value == "" and self.allow_none else value, attr, data, **kwargs)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        if self.trimmed and isinstance(value, str):
            value = value.strip(SPACES)
        text: str = super()._deserialize(value, attr, data, **kwargs)
        if self.refused.search(text):
            raise self.make_error("control")
        return text


class Name(Line):
    """A line of at least two characters, not counting the spaces around it."""

    trimmed = True
    shortest = 2
    # The document leaves out the tags, which a pattern of ECMA-262 cannot have.
    visible = re.compile(f"[^{SPACE}{SELECTORS}{TAGS}]")
    default_error_messages = {"invisible": "Must have visible characters."}

    def __init__(self, longest: int, **kwargs: Any) -> None:
        # Documented by a pattern, because minLength and maxLength would count the spaces.
        within, edge = rf"[^{CONTROL}]", rf"[^{SPACE}{CONTROL}]"
        self.documented = {
            "pattern": rf"^[{SPACE}]*{edge}{within}{{0,{longest - 2}}}{edge}[{SPACE}]*$",
            "not": {"pattern": rf"^[{SPACE}{SELECTORS}]*$"},
        }
        self.length = validate.Length(2, longest)
        super().__init__(None, **kwargs)
        self.longest = longest

    def deserialize(
        self, value: Any, attr: str | None = None, data: Mapping[str, Any] | None = None, **kwargs: Any
    ) -> Any:
        text = super().deserialize(value, attr, data, **kwargs)
        if isinstance(text, str) and not self.visible.search(text):
            raise self.make_error("invisible")
        return text

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        text = super()._deserialize(value, attr, data, **kwargs)
        self.length(text)
        return text


class Paragraphs(Line):
    """Text that may have line breaks and tabs."""

    refused = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]|\r(?!\n)")
    documented = {"pattern": r"^([^\x00-\x08\x0b-\x1f\x7f-\x9f]|\r\n)*$"}


class Note(Paragraphs):
    """Paragraphs of at least one character, not counting the spaces around them."""

    trimmed = True

    def __init__(self, longest: int, **kwargs: Any) -> None:
        # Documented by a pattern, because minLength and maxLength would count the spaces.
        within, edge = r"([^\x00-\x08\x0b-\x1f\x7f-\x9f]|\r\n)", rf"[^{SPACE}{CONTROL}]"
        self.documented = {"pattern": rf"^[{SPACE}]*{edge}({within}{{0,{longest - 2}}}{edge})?[{SPACE}]*$"}
        self.length = validate.Length(1, longest)
        super().__init__(None, **kwargs)
        self.longest = longest

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        text = super()._deserialize(value, attr, data, **kwargs)
        self.length(text)
        return text


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


class QueryInstant(Instant):
    """An instant in a query, where a plus that is not percent-encoded arrives as a space."""

    _space = re.compile(r" (?=\d\d:\d\d\Z)", re.ASCII)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> datetime:
        return super()._deserialize(self._space.sub("+", str(value)), attr, data, **kwargs)


class Cursor(fields.Field[int]):
    """An opaque position in a list: the id of the last item seen."""

    default_error_messages = {"invalid": "Not a cursor of a next link."}

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(
            metadata={"type": "string", "pattern": "^[A-Za-z0-9_-]{11}$", **kwargs.pop("metadata", {})}, **kwargs
        )

    @staticmethod
    def encode(last: int) -> str:
        """The cursor of a position."""
        return base64.urlsafe_b64encode(last.to_bytes(8)).decode().rstrip("=")

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> int:
        if not isinstance(value, str) or not re.fullmatch("[A-Za-z0-9_-]{11}", value):
            raise self.make_error("invalid")
        # 64 bits can exceed the databases' ids.
        return min(int.from_bytes(base64.urlsafe_b64decode(f"{value}=")), MAX_ID)


class SortedArgsSchema(ArgsSchema):
    """The order of a list."""

    sort = fields.String(
        load_default="id",
        validate=validate.OneOf(["id", "-id"]),
        metadata={"description": "Oldest first, or newest first with -id."},
    )

    @post_load
    def name_the_order(self, args: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """Turn the sort into the argument of the service."""
        args["descending"] = args.pop("sort") == "-id"
        return args


class PageArgsSchema(SortedArgsSchema):
    """The page and the order of a list that has no offset."""

    limit = Integer(1, 100, load_default=50, metadata={"description": "How many, at most."})
    after = Cursor(metadata={"description": "Where the last page ended; from its next link."})
