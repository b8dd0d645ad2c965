"""Leads on the wire: what is accepted and what is shown."""

from typing import Any

from marshmallow import ValidationError, fields, validate, validates_schema

from leadapi.config_retention import STATUSES
from leadapi.leads.emails import domains_to_encode
from leadapi.leads.errors import MAX_ATTRIBUTES, MAX_ATTRIBUTES_BYTES
from leadapi.leads.fields import Attributes, Email, LeadCursor, QueryEmail, Words
from leadapi.leads.forms import to_body
from leadapi.web.fields import (
    MAX_FIELDS,
    MAX_ID,
    ArgsSchema,
    BodySchema,
    Choice,
    Constant,
    Integer,
    Line,
    Name,
    Note,
    OneOf,
    Paragraphs,
    QueryInstant,
    ShownSchema,
)

ATTRIBUTES_TOGETHER = f"At most {MAX_ATTRIBUTES_BYTES // 1024} KiB together, as JSON."


class Status(Choice):
    """How far a lead has come."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__("LeadStatus", "How far a lead has come.", STATUSES, **kwargs)


class NewLeadSchema(BodySchema):
    """A person who asked to be contacted."""

    from_form = staticmethod(to_body)

    full_name = Name(255, required=True, metadata={"description": "2 to 255 characters. Spaces around it are removed."})
    email = Email(required=True, metadata={"description": "One lead per address, whatever its spelling."})
    company = Line(255, allow_none=True)
    message = Paragraphs(2000, allow_none=True)
    source = Line(100, allow_none=True)
    attributes = Attributes(
        metadata={"description": f"Anything else: UTM tags, a page, a phone number. {ATTRIBUTES_TOGETHER}"}
    )
    # For the spam traps (see quarantine.traps). Hidden, because tools fill every field that is documented.
    _gotcha = fields.String(allow_none=True, metadata={"hidden": True})
    _ts = fields.String(allow_none=True, metadata={"hidden": True})


class Items(fields.List[Any]):
    """A list of new leads, of which each is loaded by itself: into a lead, or into the error that it raised."""

    most = 500
    # Characters of international domains in all. Each takes up to 20 µs. Such a domain usually has 10 to 20.
    longest_domains = 20_000
    default_error_messages = {"domains": "Has too many long international domains. Send fewer items."}

    def __init__(self, **kwargs: Any) -> None:
        self.schema = NewLeadSchema()
        super().__init__(fields.Nested(self.schema), validate=validate.Length(max=self.most), **kwargs)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> list[Any]:
        if not isinstance(value, list):
            raise self.make_error("invalid")
        # Checked before the items are loaded, which costs time.
        validate.Length(max=self.most)(value)
        emails = (item.get("email") for item in value if isinstance(item, dict))
        if domains_to_encode(email for email in emails if isinstance(email, str)) > self.longest_domains:
            raise self.make_error("domains")
        return [self._load(item) for item in value]

    def _load(self, item: Any) -> Any:
        if isinstance(item, dict) and len(item) > MAX_FIELDS:
            return ValidationError({"body": [f"Has more than {MAX_FIELDS} fields."]})
        try:
            return self.schema.load(item)
        except ValidationError as exc:
            return exc


class NewLeadBatchSchema(BodySchema):
    """Many leads at once."""

    items = Items(required=True)


class LeadChangesSchema(BodySchema):
    """Changes of a lead. A field that is absent stays; null clears it (RFC 7396)."""

    media_types = ("application/json", "application/merge-patch+json")

    full_name = Name(255, metadata={"description": "2 to 255 characters. Spaces around it are removed."})
    email = Email(metadata={"description": "One lead per address, whatever its spelling."})
    company = Line(255, allow_none=True)
    message = Paragraphs(2000, allow_none=True)
    source = Line(100, allow_none=True)
    status = Status()
    attributes = Attributes(
        removable=True,
        metadata={
            "description": "Merged into those that the lead has. Null removes one, or all of them. A lead can have at"
            f" most {MAX_ATTRIBUTES}. {ATTRIBUTES_TOGETHER}"
        },
    )


class NewNoteSchema(BodySchema):
    """A note about a lead."""

    text = Note(5000, required=True, metadata={"description": "1 to 5000 characters. Spaces around it are removed."})


class LeadSchema(ShownSchema):
    """A stored lead."""

    id = fields.Integer(required=True, validate=validate.Range(1, MAX_ID))
    full_name = fields.String(required=True)
    email = fields.String(required=True)
    company = fields.String(required=True, allow_none=True)
    message = fields.String(required=True, allow_none=True)
    source = fields.String(required=True, allow_none=True)
    created_at = fields.AwareDateTime(required=True, metadata={"description": "UTC."})
    status = Status(required=True)
    attributes = fields.Dict(keys=fields.String(), values=fields.String(), required=True)
    updated_at = fields.AwareDateTime(
        required=True, metadata={"description": "UTC. Without a change, the time it was created."}
    )


class CapturedLeadSchema(ShownSchema):
    """A lead of a batch that was stored (201), or was a repeat and treated as preferred (200)."""

    status = fields.Integer(required=True, validate=validate.OneOf([200, 201]))
    lead = fields.Nested(LeadSchema, required=True)


class RefusedLeadSchema(ShownSchema):
    """A lead of a batch that was refused."""

    status = Constant(409)
    detail = fields.String(required=True, metadata={"description": "One sentence for people."})


class InvalidLeadSchema(ShownSchema):
    """A lead of a batch that was not valid."""

    status = Constant(422)
    detail = fields.String(required=True, metadata={"description": "One sentence for people."})
    errors = fields.Dict(
        keys=fields.String(),
        values=fields.List(fields.String()),
        required=True,
        metadata={"description": "From field to messages."},
    )


class LeadVerdictsSchema(ShownSchema):
    """What became of each item, in their order: the status and the body that it would have had on its own."""

    items = fields.List(
        OneOf(
            "LeadVerdict",
            "What became of a lead of a batch.",
            CapturedLeadSchema,
            RefusedLeadSchema,
            InvalidLeadSchema,
        ),
        required=True,
    )


class LeadFilterArgsSchema(ArgsSchema):
    """Filters and order of leads."""

    q = Words(
        200,
        metadata={
            "description": "Those with each of these words somewhere in the name, address, company, message or an"
            " attribute's value, whatever its case and accents.",
            "example": "product",
        },
    )
    email = QueryEmail(metadata={"description": "The lead with this address, in any spelling."})
    source = Line(100, metadata={"description": "Those from exactly this source."})
    status = Status(metadata={"description": "Those with this status."})
    created_from = QueryInstant(metadata={"description": "Those captured at this time or later."})
    created_to = QueryInstant(metadata={"description": "Those captured at this time or earlier."})
    updated_from = QueryInstant(metadata={"description": "Those changed or captured at this time or later."})
    sort = fields.String(
        load_default="id",
        validate=validate.OneOf(["id", "-id", "updated_at", "-updated_at"]),
        metadata={"description": "By id or by the last change. Oldest first, or newest first with a minus."},
    )


class LeadListArgsSchema(LeadFilterArgsSchema):
    """Filters, order and page of leads."""

    limit = Integer(1, 100, load_default=50, metadata={"description": "How many, at most."})
    offset = Integer(0, MAX_ID, load_default=0, metadata={"description": "How many to skip."})
    after = LeadCursor(metadata={"description": "Where the last page ended; from its next link, with the same `sort`."})

    @validates_schema
    def refuse_cursors_of_another_order(self, args: dict[str, Any], **kwargs: Any) -> None:
        """A cursor has a time if the order of its list is that of the last change."""
        if "after" in args and (args["after"][1] is not None) != args["sort"].endswith("updated_at"):
            raise ValidationError("Not a cursor of a list with this sort.", "after")


class LeadExportArgsSchema(LeadFilterArgsSchema):
    """Filters and order of leads, and the kind of file."""

    format = fields.String(
        validate=validate.OneOf(["csv", "ndjson"]),
        metadata={"description": "The kind of file, for clients that cannot set Accept."},
    )
    bom = fields.String(
        validate=validate.OneOf(["0", "1"]),
        metadata={"description": "1 for a byte order mark in CSV, by which Excel recognises UTF-8."},
    )


class LeadPageSchema(ShownSchema):
    """Some of the leads."""

    total = fields.Integer(
        required=True, validate=validate.Range(min=0), metadata={"description": "How many match in all."}
    )
    items = fields.List(fields.Nested(LeadSchema), required=True)
