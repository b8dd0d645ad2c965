"""Leads on the wire: what is accepted and what is shown."""

from typing import Any

from marshmallow import ValidationError, fields, post_load, validate

from leadapi.leads import forms as lead_forms
from leadapi.leads.errors import MAX_ATTRIBUTES
from leadapi.leads.fields import Attributes, Email
from leadapi.web.fields import (
    MAX_FIELDS,
    MAX_ID,
    ArgsSchema,
    BodySchema,
    Cursor,
    Instant,
    Integer,
    Line,
    Name,
    Paragraphs,
    ShownSchema,
)

NEW_LEAD = {
    "full_name": "John Doe",
    "email": "john@example.com",
    "company": "Example Inc",
    "message": "Interested in product",
    "source": "landing-page",
}
LEAD = {
    "id": 1,
    **NEW_LEAD,
    "created_at": "2026-02-28T10:00:00Z",
    "status": "new",
    "attributes": {},
    "updated_at": "2026-02-28T10:00:00Z",
}
VERDICTS = [
    {"status": 201, "lead": LEAD},
    {"status": 409, "detail": "Lead with this email already exists."},
    {"status": 422, "detail": "This field is not valid: email.", "errors": {"email": ["Not a valid email address."]}},
]
CHANGES = {"status": "qualified", "attributes": {"phone": "+1 555 0100"}}
STATUSES = ["new", "contacted", "qualified", "converted", "lost"]
GOTCHA = "A trap: people do not see it and leave it empty. Whoever fills it is answered as ever, and is no lead."
TS = (
    "What `GET /forms/ts` gave when the form was shown. Looked at where `MIN_FILL_SECONDS` is not 0 and the caller has"
    " no API key."
)
LOCATION = {
    "description": "Where the lead is.",
    "required": True,
    "schema": {"type": "string", "format": "uri-reference"},
    "example": "/leads/1",
}


class NewLeadSchema(BodySchema):
    """What a person sent."""

    from_form = staticmethod(lead_forms.to_body)
    form = property(lead_forms.describe)

    full_name = Name(255, required=True, metadata={"description": "2 to 255 characters. Spaces around it are removed."})
    email = Email(required=True, metadata={"description": "One lead per address, whatever its spelling."})
    company = Line(allow_none=True, validate=validate.Length(max=255))
    message = Paragraphs(allow_none=True, validate=validate.Length(max=2000))
    source = Line(allow_none=True, validate=validate.Length(max=100))
    attributes = Attributes(metadata={"description": "Whatever else is known: UTM tags, a page, a phone number."})
    # They are for the traps, and no fields of a lead: see quarantine.traps.
    _gotcha = fields.String(allow_none=True, metadata={"description": GOTCHA})
    _ts = fields.String(allow_none=True, metadata={"description": TS})


class Items(fields.List[Any]):
    """A list of new leads, each judged by itself: a lead, or the error that says what is wrong with it."""

    most = 500

    def __init__(self, **kwargs: Any) -> None:
        # Documented is what is taken: what is wrong with an item is told in the answer.
        each = {"anyOf": [{"$ref": "#/components/schemas/NewLead"}, {}], "description": "As for one lead."}
        super().__init__(fields.Raw(metadata=each), validate=validate.Length(max=self.most), **kwargs)
        self.schema = NewLeadSchema()

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> list[Any]:
        if not isinstance(value, list):
            raise self.make_error("invalid")
        # Before each of them costs work.
        validate.Length(max=self.most)(value)
        return [self._judge(item) for item in value]

    def _judge(self, item: Any) -> Any:
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
    """What is to become of a lead. A field that is absent stays; null clears it (RFC 7396)."""

    media_types = ("application/json", "application/merge-patch+json")

    full_name = Name(255, metadata={"description": "2 to 255 characters. Spaces around it are removed."})
    email = Email(metadata={"description": "One lead per address, whatever its spelling."})
    company = Line(allow_none=True, validate=validate.Length(max=255))
    message = Paragraphs(allow_none=True, validate=validate.Length(max=2000))
    source = Line(allow_none=True, validate=validate.Length(max=100))
    status = fields.String(validate=validate.OneOf(STATUSES))
    attributes = Attributes(
        removable=True,
        metadata={
            "description": "Put among those there are. Null takes one away, or all of them."
            f" {MAX_ATTRIBUTES} at most may be there in the end."
        },
    )


class LeadSchema(ShownSchema):
    """A stored lead."""

    id = fields.Integer(required=True, validate=validate.Range(1, MAX_ID))
    full_name = fields.String(required=True)
    email = fields.String(required=True)
    company = fields.String(required=True, allow_none=True)
    message = fields.String(required=True, allow_none=True)
    source = fields.String(required=True, allow_none=True)
    created_at = fields.AwareDateTime(required=True, metadata={"description": "UTC."})
    status = fields.String(required=True, validate=validate.OneOf(STATUSES))
    attributes = fields.Dict(keys=fields.String(), values=fields.String(), required=True)
    updated_at = fields.AwareDateTime(
        required=True, metadata={"description": "UTC. At first, the time it was created."}
    )


class LeadVerdictSchema(ShownSchema):
    """What became of one of the items: a `lead`, or a `detail` that says why not."""

    status = fields.Integer(
        required=True,
        validate=validate.OneOf([200, 201, 409, 422]),
        metadata={"description": "What a request with this lead alone would have been answered with."},
    )
    lead = fields.Nested(LeadSchema, metadata={"description": "With 201 and 200."})
    detail = fields.String(metadata={"description": "With 409 and 422: one sentence for people."})
    errors = fields.Dict(
        keys=fields.String(),
        values=fields.List(fields.String()),
        metadata={"description": "With 422: from field to messages."},
    )


class LeadVerdictsSchema(ShownSchema):
    """What became of the items, in their order."""

    items = fields.List(fields.Nested(LeadVerdictSchema), required=True)


class LeadFilterArgsSchema(ArgsSchema):
    """Which of the leads, and in which order."""

    email = Email(metadata={"description": "The lead with this address, in any spelling."})
    source = Line(validate=validate.Length(max=100), metadata={"description": "Those from exactly this source."})
    status = fields.String(validate=validate.OneOf(STATUSES), metadata={"description": "Those with this status."})
    created_from = Instant(metadata={"description": "Those captured at this time or later."})
    created_to = Instant(metadata={"description": "Those captured at this time or earlier."})
    sort = fields.String(
        load_default="id",
        validate=validate.OneOf(["id", "-id"]),
        metadata={"description": "Oldest first, or newest first with -id."},
    )

    @post_load
    def name_the_order(self, args: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """What is a sort to clients is a direction to the service."""
        args["descending"] = args.pop("sort") == "-id"
        return args


class LeadListArgsSchema(LeadFilterArgsSchema):
    """Which of the leads, in which order, and which part of them."""

    limit = Integer(1, 100, load_default=50, metadata={"description": "How many, at most."})
    offset = Integer(0, MAX_ID, load_default=0, metadata={"description": "How many to leave out first."})
    after = Cursor(metadata={"description": "Where the last page ended; from its next link."})


class LeadExportArgsSchema(LeadFilterArgsSchema):
    """Which of the leads, in which order, as which kind of file."""

    format = fields.String(
        validate=validate.OneOf(["csv", "ndjson"]),
        metadata={"description": "The kind of file, for those who cannot set Accept."},
    )


class LeadPageSchema(ShownSchema):
    """Some of the leads."""

    total = fields.Integer(
        required=True, validate=validate.Range(min=0), metadata={"description": "How many match in all."}
    )
    items = fields.List(fields.Nested(LeadSchema), required=True)


NEXT_PAGE = {
    "description": "One of `REDIRECT_URLS`.",
    "required": True,
    "schema": {"type": "string", "format": "uri"},
    "example": "https://www.example.com/thanks",
}
NEXT = {
    "description": 'The next page, as `</leads?…>; rel="next"` (RFC 8288); absent on the last one.',
    "schema": {"type": "string"},
    "example": '</leads?limit=50&after=AAAAAAAAADI>; rel="next"',
}
NAME = {
    "description": "A name for the file.",
    "required": True,
    "schema": {"type": "string"},
    "example": "attachment; filename=leads.csv",
}
FILE = {"type": "string"}
CSV = (
    "id,full_name,email,company,message,source,created_at,status,attributes,updated_at\r\n"
    "1,John Doe,john@example.com,Example Inc,Interested in product,landing-page,2026-02-28T10:00:00Z,"
    "new,{},2026-02-28T10:00:00Z\r\n"
)
NDJSON = (
    '{"id":1,"full_name":"John Doe","email":"john@example.com","company":"Example Inc",'
    '"message":"Interested in product","source":"landing-page","created_at":"2026-02-28T10:00:00Z",'
    '"status":"new","attributes":{},"updated_at":"2026-02-28T10:00:00Z"}\n'
)

# Where a client that has a lead can go on from, for tools that follow links.
LINKS = {
    name: {"operationId": name, "parameters": {"lead_id": "$response.body#/id"}}
    for name in ("showLead", "changeLead", "eraseLead", "listLeadEvents")
}
