"""The queries and forms that the pages of the inbox accept, beside those of the API."""

from typing import Any
from zoneinfo import ZoneInfo

from marshmallow import EXCLUDE, ValidationError, fields, validate, validates_schema
from webargs.fields import DelimitedList

from leadapi.leads.schemas import LeadFilterArgsSchema, Status
from leadapi.leads.stats.schemas import Zone
from leadapi.web.fields import MAX_ID, ArgsSchema, BodySchema, Cursor, Integer, Note

# The parameters that choose leads.
FILTERS = tuple(name for name in LeadFilterArgsSchema().fields if name != "sort")
# The numbers are those of so many days.
PERIODS = (30, 365)
# Deliveries that failed within so many hours are sent again.
REPLAYED_HOURS = (1, 24, 7 * 24, 30 * 24)


class CaughtQuerySchema(ArgsSchema):
    """Where a page of the quarantine begins."""

    after = Cursor()


class DiscardFormSchema(BodySchema):
    """The entries of the quarantine to be thrown away."""

    ids = DelimitedList(Integer(1, MAX_ID), required=True, validate=validate.Length(1, 100))


class NumbersQuerySchema(ArgsSchema):
    """The period of the numbers, and the time zone of its days."""

    days = fields.Integer(load_default=PERIODS[0], validate=validate.OneOf(PERIODS))
    zone = Zone(data_key="tz", load_default=lambda: ZoneInfo("UTC"))


class ReplayFormSchema(BodySchema):
    """For how long to look back for deliveries that failed."""

    hours = fields.Integer(required=True, validate=validate.OneOf(REPLAYED_HOURS))


class StateFormSchema(BodySchema):
    """The state that a form was shown with: the tag of the lead, and its last event."""

    class Meta:
        unknown = EXCLUDE

    if_match = fields.String(required=True)
    seen = Integer(0, MAX_ID, required=True)


class LeadFormSchema(StateFormSchema):
    """A new status, a note, or both."""

    status = Status()
    note = Note(5000)

    @validates_schema
    def require_something(self, form: dict[str, Any], **kwargs: Any) -> None:
        """Refuse a form without content."""
        if not form.keys() & {"status", "note"}:
            raise ValidationError("Write something.", "note")


class EraseFormSchema(StateFormSchema):
    """The confirmation of an erasure."""

    confirmed = fields.String(required=True, validate=validate.Equal("yes"))
