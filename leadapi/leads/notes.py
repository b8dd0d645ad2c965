"""Notes that people write about a lead. A note is an event of the lead and changes nothing else."""

from typing import Any

import orjson

from leadapi import storage
from leadapi.events import service as events
from leadapi.events.service import NewEvent
from leadapi.keys.service import Caller
from leadapi.leads import queries
from leadapi.leads.errors import LeadMissing


@storage.retries_deadlocks
def add_note(lead_id: int, text: str, *, by: Caller) -> dict[str, Any]:
    """Record a note and return its event, as the history shows it.

    :raises LeadMissing: there is no lead with this id.
    """
    note = NewEvent(
        lead_id=lead_id,
        type=events.NOTED,
        created_at=storage.now(),
        actor=by.key_id,
        data=orjson.dumps({"text": text}).decode(),
    )
    with storage.write() as tx:
        # The lock keeps the lead from being erased before its note is stored.
        if tx.execute(queries.locked_by_id, {"lead_id": lead_id}).one_or_none() is None:
            raise LeadMissing
        return events.record_one(tx, note)
