"""Leads in the OpenAPI document: examples, response headers and links."""

import orjson

from leadapi.leads.models import SENT
from leadapi.leads.representations import EXAMPLE
from leadapi.web.openapi import Document

LEAD = EXAMPLE
NEW_LEAD = {name: LEAD[name] for name in SENT if name != "attributes"}
VERDICTS = [
    {"status": 201, "lead": LEAD},
    {"status": 409, "detail": "Lead with this email already exists."},
    {"status": 422, "detail": "This field is not valid: email.", "errors": {"email": ["Not a valid email address."]}},
]
CHANGES = {"status": "qualified", "attributes": {"phone": "+1 555 0100"}}
EVENT = {
    "id": 7,
    "type": "lead.updated",
    "time": "2026-02-28T10:00:00Z",
    "actor": None,
    "data": {"changes": {"status": {"from": "new", "to": "qualified"}}},
}
NOTE = {"text": "Called back; wants an offer for 20 seats."}
NOTED = {"id": 8, "type": "lead.noted", "time": "2026-02-28T10:00:00Z", "actor": None, "data": NOTE}
CELLS = ["" if value is None else str(value) for value in LEAD.values()]
CSV = f"{','.join(LEAD)}\r\n{','.join(CELLS)}\r\n"
NDJSON = f"{orjson.dumps(LEAD).decode()}\n"
FILE = {"type": "string"}

LOCATION = {
    "description": "Where the lead is.",
    "required": True,
    "schema": {"type": "string", "format": "uri-reference"},
    "example": "/leads/1",
}
TAKEN = {
    "description": "Where the lead with this address is; only for callers who may read leads.",
    "schema": {"type": "string", "format": "uri-reference"},
    "example": "/leads/1",
}
NAME = {
    "description": "A name for the file.",
    "required": True,
    "schema": {"type": "string"},
    "example": "attachment; filename=leads.csv",
}

# The operations that take the id of a lead, for tools that follow links.
LINKS = {
    name: {"operationId": name, "parameters": {"lead_id": "$response.body#/id"}}
    for name in ("showLead", "changeLead", "eraseLead", "listLeadEvents")
}


def init_app(document: Document) -> None:
    """Describe the header of a refused repeat."""
    document.describe_problem(409, headers={"Location": TAKEN})
