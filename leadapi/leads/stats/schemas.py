"""Numbers of leads on the wire."""

import re
from datetime import date
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from marshmallow import fields, validate

from leadapi.leads.schemas import Status
from leadapi.web.fields import ArgsSchema, Line, ShownSchema


class Day(fields.Field[date]):
    """A date of this century (RFC 3339, full-date). The century bounds the number of days in a range."""

    _pattern = re.compile(r"20\d\d-\d\d-\d\d", re.ASCII)
    # Leaves out 29 February, which only some years have.
    documented = "^20[0-9]{2}-((0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])|(0[13-9]|1[0-2])-(29|30)|(0[13578]|1[02])-31)$"
    default_error_messages = {"invalid": "Not a date from 2000 to 2099, such as 2026-02-28."}

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(
            metadata={"type": "string", "pattern": self.documented, **kwargs.pop("metadata", {})}, **kwargs
        )

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> date:
        if not self._pattern.fullmatch(str(value)):
            raise self.make_error("invalid")
        try:
            return date.fromisoformat(value)
        except ValueError as exc:
            raise self.make_error("invalid") from exc


class Zone(fields.Field[ZoneInfo]):
    """A time zone by its name in the IANA database."""

    default_error_messages = {"invalid": "Not a time zone, such as Europe/Berlin."}

    def __init__(self, **kwargs: Any) -> None:
        documented = {
            "type": "string",
            "pattern": "^[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+){0,2}$",
            "example": "Europe/Berlin",
        }
        super().__init__(metadata={**documented, **kwargs.pop("metadata", {})}, **kwargs)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> ZoneInfo:
        try:
            # A folder of zones, such as Europe, is an OSError.
            return ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError, OSError) as exc:
            raise self.make_error("invalid") from exc


class StatsArgsSchema(ArgsSchema):
    """The parameters of a count."""

    by = fields.String(
        load_default="day",
        validate=validate.OneOf(["day", "source", "status"]),
        metadata={"description": "What the keys are."},
    )
    first = Day(
        data_key="from", metadata={"description": "The first day. Without it, the day of the first lead that matches."}
    )
    last = Day(data_key="to", metadata={"description": "The last day. Without it, today, or the day of a later lead."})
    zone = Zone(
        data_key="tz",
        load_default=lambda: ZoneInfo("UTC"),
        metadata={"default": "UTC", "description": "The time zone of the days."},
    )
    source = Line(100, metadata={"description": "Those from exactly this source."})
    status = Status(metadata={"description": "Those with this status."})


class CountSchema(ShownSchema):
    """How many leads have a key."""

    key = fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "A date, a source (null for leads without one) or a status."},
    )
    count = fields.Integer(required=True, validate=validate.Range(min=0))


class StatsSchema(ShownSchema):
    """Numbers of leads."""

    total = fields.Integer(
        required=True, validate=validate.Range(min=0), metadata={"description": "How many match in all."}
    )
    items = fields.List(fields.Nested(CountSchema), required=True)
