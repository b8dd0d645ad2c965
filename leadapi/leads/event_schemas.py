"""The events of a lead on the wire: one schema per type."""

from typing import Any

from marshmallow import fields, validate

from leadapi.events.schemas import EventSchema
from leadapi.leads.schemas import LeadSchema
from leadapi.web.fields import Constant, OneOf, ShownSchema


class FieldValue(fields.Field[Any]):
    """A value that a field of a lead can have."""

    json_schema = {"type": ["string", "object", "null"], "additionalProperties": {"type": "string"}}


class FieldChangeSchema(ShownSchema):
    """What a field of a lead was, and what it became."""

    from_ = FieldValue(required=True, data_key="from")
    to = FieldValue(required=True)


class SentLeadSchema(LeadSchema):
    """A repeat as it was sent. From a file, it can have a status and times."""

    class Meta(LeadSchema.Meta):
        exclude = ("id",)

    attributes = fields.Dict(keys=fields.String(), values=fields.String(), allow_none=True)

    def on_bind_field(self, field_name: str, field_obj: fields.Field[Any]) -> None:
        # Senders may leave out all other fields.
        field_obj.required = field_name in ("full_name", "email")


def _changes() -> fields.Field[Any]:
    return fields.Dict(
        keys=fields.String(),
        values=fields.Nested(FieldChangeSchema),
        required=True,
        metadata={"description": "From field to its change."},
    )


def _left_out(what: str) -> fields.Field[Any]:
    return fields.Dict(
        keys=fields.String(),
        values=fields.String(),
        metadata={"description": f"{what} by name. Absent if there is none.", "example": {"page": "landing"}},
    )


class LeadCreatedSchema(LeadSchema):
    """A lead as it was created."""

    left_out = _left_out("The full text of each field of a form that was cut or left out,")


class LeadRepeatedSchema(ShownSchema):
    """A lead that came in again."""

    resolution = fields.String(required=True, validate=validate.OneOf(["merge-duplicates", "ignore-duplicates"]))
    sent = fields.Nested(SentLeadSchema, required=True)
    changes = _changes()
    left_out = _left_out("The full text of each field of a form that was cut or left out,")


class LeadUpdatedSchema(ShownSchema):
    """A lead that was changed."""

    changes = _changes()
    left_out = _left_out("The attributes beyond the limits, from a caller without the scope `read`,")


class LeadErasedSchema(ShownSchema):
    """A lead that was erased: nothing is kept of it."""


class LeadNotedSchema(ShownSchema):
    """A note that somebody wrote about the lead."""

    text = fields.String(required=True)


class LeadCreatedEventSchema(EventSchema):
    """A lead was captured."""

    type = Constant("lead.created")
    data = fields.Nested(LeadCreatedSchema, required=True)


class LeadRepeatedEventSchema(EventSchema):
    """A lead was sent again, and treated as preferred."""

    type = Constant("lead.repeated")
    data = fields.Nested(LeadRepeatedSchema, required=True)


class LeadUpdatedEventSchema(EventSchema):
    """A lead was changed."""

    type = Constant("lead.updated")
    data = fields.Nested(LeadUpdatedSchema, required=True)


class LeadErasedEventSchema(EventSchema):
    """A lead was erased."""

    type = Constant("lead.erased")
    data = fields.Nested(LeadErasedSchema, required=True)


class LeadNotedEventSchema(EventSchema):
    """Somebody wrote a note about the lead."""

    type = Constant("lead.noted")
    data = fields.Nested(LeadNotedSchema, required=True)


class LeadEventPageSchema(ShownSchema):
    """A page of a lead's events, oldest first."""

    total = fields.Integer(
        required=True, validate=validate.Range(min=0), metadata={"description": "How many there are in all."}
    )
    items = fields.List(
        OneOf(
            "LeadEvent",
            "Something that happened to a lead.",
            LeadCreatedEventSchema,
            LeadRepeatedEventSchema,
            LeadUpdatedEventSchema,
            LeadErasedEventSchema,
            LeadNotedEventSchema,
            discriminator="type",
        ),
        required=True,
    )
