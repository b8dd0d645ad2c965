"""A lead as JSON. The database renders stored leads (queries.LeadJson); this module handles the text it gives."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

import orjson

from leadapi.leads.models import SHOWN

# The lead in the OpenAPI document and in the test events of destinations.
EXAMPLE: dict[str, Any] = dict.fromkeys(SHOWN) | {
    "id": 1,
    "full_name": "John Doe",
    "email": "john@example.com",
    "company": "Example Inc",
    "message": "Interested in product",
    "source": "landing-page",
    "created_at": "2026-02-28T10:00:00Z",
    "status": "new",
    "attributes": {},
    "updated_at": "2026-02-28T10:00:00Z",
}


class ShownLead(NamedTuple):
    """A lead as clients see it: the content of every answer that has one lead, and of its events."""

    id: int
    json: str

    @property
    def fields(self) -> dict[str, Any]:
        """The visible fields by name; times are text."""
        fields: dict[str, Any] = orjson.loads(self.json)
        return fields


def shown(fields: Mapping[str, Any]) -> ShownLead:
    """The lead that has these visible fields, which may be changed ones of a stored lead."""
    return ShownLead(fields["id"], orjson.dumps(fields, option=orjson.OPT_UTC_Z).decode())


def echo(lead_id: int, sent: Mapping[str, Any], time: datetime) -> ShownLead:
    """The lead that a sender sees who may not see stored data: only what was sent, as if it had become a new lead.

    :param sent: some of `models.SENT`.
    """
    blank = dict.fromkeys(SHOWN)
    known = {"id": lead_id, "status": "new", "created_at": time, "updated_at": time}
    return shown({**blank, **known, **sent, "attributes": sent.get("attributes") or {}})
