"""A tour through the API with the client that openapi-python-client generates."""

import re
import sys
from http import HTTPStatus

from leadapi_client import AuthenticatedClient
from leadapi_client.api.leads import (
    change_lead,
    create_lead,
    create_leads,
    erase_lead,
    list_lead_events,
    list_leads,
    show_lead,
)
from leadapi_client.models import (
    CapturedLead,
    InvalidFields,
    InvalidLead,
    Lead,
    LeadChanges,
    LeadCreatedEvent,
    LeadErasedEvent,
    LeadEventPage,
    LeadPage,
    LeadRepeatedEvent,
    LeadStatus,
    LeadUpdatedEvent,
    LeadVerdicts,
    NewLead,
    NewLeadAttributesType0,
    NewLeadBatch,
    Problem,
    RefusedLead,
)
from leadapi_client.types import UNSET, Unset

url, key = sys.argv[1:]
client = AuthenticatedClient(base_url=url, token=key, raise_on_unexpected_status=True)

# Create.
john = NewLead(
    full_name="John Doe",
    email="john@python.example.com",
    company="Example Inc",
    attributes=NewLeadAttributesType0.from_dict({"phone": "+1 555 0100"}),
)
created = create_lead.sync_detailed(client=client, body=john)
lead = created.parsed
assert created.status_code == HTTPStatus.CREATED
assert isinstance(lead, Lead)
assert (lead.company, lead.message, lead.status) == ("Example Inc", None, LeadStatus.NEW)
assert lead.attributes["phone"] == "+1 555 0100"

# Create a duplicate: refused, and merged.
refused = create_lead.sync(client=client, body=john)
assert isinstance(refused, Problem)
assert refused.detail == "Lead with this email already exists."
merged = create_lead.sync_detailed(client=client, body=john, prefer="resolution=merge-duplicates")
assert merged.status_code == HTTPStatus.OK
invalid = create_lead.sync(client=client, body=NewLead(full_name="J", email="john"))
assert isinstance(invalid, InvalidFields)
assert set(invalid.errors.additional_keys) == {"full_name", "email"}

# Capture a batch.
batch = NewLeadBatch(
    items=[NewLead(full_name="Jane Doe", email=f"jane.{number}@python.example.com") for number in range(3)]
    + [john, NewLead(full_name="Jane Doe", email="jane")]
)
verdicts = create_leads.sync(client=client, body=batch)
assert isinstance(verdicts, LeadVerdicts)
*captured, taken, wrong = verdicts.items
assert all(isinstance(verdict, CapturedLead) and verdict.lead.id > lead.id for verdict in captured)
assert isinstance(taken, RefusedLead)
assert isinstance(wrong, InvalidLead)
assert wrong.errors["email"] == ["Not a valid email address."]

# List by cursor.
seen: list[int] = []
after: str | Unset = UNSET
while True:
    listed = list_leads.sync_detailed(client=client, limit=2, after=after)
    assert isinstance(listed.parsed, LeadPage)
    seen += [each.id for each in listed.parsed.items]
    found = re.search(r"[?&]after=([\w-]+)", listed.headers.get("Link", ""))
    if found is None:
        break
    after = found[1]
assert len(seen) == listed.parsed.total
assert lead.id in seen

# Change it, if it is as last seen.
shown = show_lead.sync_detailed(lead.id, client=client)
tag = shown.headers["ETag"]
changes = LeadChanges(status=LeadStatus.QUALIFIED, company=None)
changed = change_lead.sync(lead.id, client=client, body=changes, if_match=tag)
assert isinstance(changed, Lead)
assert (changed.status, changed.company) == (LeadStatus.QUALIFIED, None)
stale = change_lead.sync_detailed(lead.id, client=client, body=changes, if_match=tag)
assert stale.status_code == HTTPStatus.PRECONDITION_FAILED

# Read its history.
events = list_lead_events.sync(lead.id, client=client)
assert isinstance(events, LeadEventPage)
first, second, third = events.items
assert isinstance(first, LeadCreatedEvent)
assert first.data.full_name == "John Doe"
assert isinstance(second, LeadRepeatedEvent)
assert (second.data.resolution, second.data.sent.email) == ("merge-duplicates", john.email)
assert isinstance(third, LeadUpdatedEvent)
assert (third.data.changes["status"].from_, third.data.changes["status"].to) == ("new", "qualified")

# Erase it.
assert erase_lead.sync_detailed(lead.id, client=client).status_code == HTTPStatus.NO_CONTENT
assert isinstance(show_lead.sync(lead.id, client=client), Problem)
events = list_lead_events.sync(lead.id, client=client)
assert isinstance(events, LeadEventPage)
assert [type(event) for event in events.items] == [LeadErasedEvent]
print("openapi-python-client: fine")
