"""Events on the wire."""

from marshmallow import fields, validate

from leadapi.web.fields import MAX_ID, ArgsSchema, Cursor, Integer, ShownSchema

EVENT = {
    "id": 7,
    "type": "lead.updated",
    "time": "2026-02-28T10:00:00Z",
    "actor": None,
    "data": {"changes": {"status": {"from": "new", "to": "qualified"}}},
}


class EventSchema(ShownSchema):
    """Something that happened to a lead."""

    id = fields.Integer(required=True, validate=validate.Range(1, MAX_ID))
    type = fields.String(
        required=True,
        validate=validate.OneOf(["lead.created", "lead.repeated", "lead.updated", "lead.erased"]),
    )
    time = fields.AwareDateTime(required=True, metadata={"description": "UTC."})
    actor = fields.String(
        required=True, allow_none=True, metadata={"description": "The id of the key that did it; null without a key."}
    )
    data = fields.Dict(
        required=True,
        metadata={
            "description": "Of `lead.created`, the lead. Of `lead.repeated`, what was `sent`, the `resolution`, and the"
            " `changes` it made. Of `lead.updated`, the `changes`: from field to what it was `from` and what it"
            " went `to`. Of `lead.erased`, nothing."
        },
    )


class EventPageSchema(ShownSchema):
    """Some of a lead's events, oldest first."""

    total = fields.Integer(
        required=True, validate=validate.Range(min=0), metadata={"description": "How many there are in all."}
    )
    items = fields.List(fields.Nested(EventSchema), required=True)


class EventListArgsSchema(ArgsSchema):
    """Which part of a lead's events."""

    limit = Integer(1, 100, load_default=50, metadata={"description": "How many, at most."})
    offset = Integer(0, MAX_ID, load_default=0, metadata={"description": "How many to leave out first."})
    after = Cursor(metadata={"description": "Where the last page ended; from its next link."})
