"""The JSON fields that all types of events have, and the parameters of their list."""

from marshmallow import fields, validate

from leadapi.web.fields import MAX_ID, ArgsSchema, Cursor, Integer, ShownSchema


class EventSchema(ShownSchema):
    """Something that happened to a lead."""

    id = fields.Integer(required=True, validate=validate.Range(1, MAX_ID))
    time = fields.AwareDateTime(required=True, metadata={"description": "UTC."})
    actor = fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "The id of the key that the caller used; null without a key."},
    )


class EventListArgsSchema(ArgsSchema):
    """The page of a lead's events."""

    limit = Integer(1, 100, load_default=50, metadata={"description": "How many, at most."})
    offset = Integer(0, MAX_ID, load_default=0, metadata={"description": "How many to skip."})
    after = Cursor(metadata={"description": "Where the last page ended; from its next link."})
