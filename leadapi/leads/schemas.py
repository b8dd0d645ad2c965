"""Leads on the wire: what is accepted and what is shown."""

from typing import Any

from email_validator import SPECIAL_USE_DOMAIN_NAMES
from marshmallow import fields, validate

from leadapi.fields import ArgsSchema, BodySchema, Integer, Line, Name, Paragraphs, ShownSchema
from leadapi.leads.emails import MAX_LENGTH, InvalidEmail, normalize_email

MAX_ID = 2**63 - 1

NEW_LEAD = {
    "full_name": "John Doe",
    "email": "john@example.com",
    "company": "Example Inc",
    "message": "Interested in product",
    "source": "landing-page",
}
LEAD = {"id": 1, **NEW_LEAD, "created_at": "2026-02-28T10:00:00Z"}
LOCATION = {
    "description": "Where the lead is.",
    "required": True,
    "schema": {"type": "string", "format": "uri-reference"},
    "example": "/leads/1",
}


class Email(Line):
    """An email address, normalised."""

    trimmed = True
    # RFC 6531 has more than what one could write to: names without a dot, addresses in brackets,
    # quoted names, and domains that are reserved.
    documented = {
        "format": "idn-email",
        "maxLength": MAX_LENGTH,
        "not": {"pattern": rf"""^"|@\[|@[^.\u3002\uff0e\uff61]*$|[0-9]$|\.({"|".join(SPECIAL_USE_DOMAIN_NAMES)})$"""},
    }
    default_error_messages = {"email": "Not a valid email address."}

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        text = super()._deserialize(value, attr, data, **kwargs)
        try:
            return normalize_email(text)
        except InvalidEmail as exc:
            raise self.make_error("email") from exc


class NewLeadSchema(BodySchema):
    """What a person sent."""

    full_name = Name(255, required=True, metadata={"description": "2 to 255 characters. Spaces around it are removed."})
    email = Email(required=True, metadata={"description": "One lead per address, whatever its spelling."})
    company = Line(allow_none=True, validate=validate.Length(max=255))
    message = Paragraphs(allow_none=True, validate=validate.Length(max=2000))
    source = Line(allow_none=True, validate=validate.Length(max=100))


class LeadSchema(ShownSchema):
    """A stored lead."""

    id = fields.Integer(required=True, validate=validate.Range(1, MAX_ID))
    full_name = fields.String(required=True)
    email = fields.String(required=True)
    company = fields.String(required=True, allow_none=True)
    message = fields.String(required=True, allow_none=True)
    source = fields.String(required=True, allow_none=True)
    created_at = fields.AwareDateTime(required=True, metadata={"description": "UTC."})


class LeadListArgsSchema(ArgsSchema):
    """Which of the leads."""

    limit = Integer(1, 100, load_default=50, metadata={"description": "How many, at most."})
    offset = Integer(0, MAX_ID, load_default=0, metadata={"description": "How many to leave out first."})


class LeadPageSchema(ShownSchema):
    """Some of the leads, oldest first."""

    total = fields.Integer(
        required=True, validate=validate.Range(min=0), metadata={"description": "How many there are in all."}
    )
    items = fields.List(fields.Nested(LeadSchema), required=True)
