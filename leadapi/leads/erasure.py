"""The erasure of leads: a person's data is deleted from every table."""

from collections.abc import Sequence

from sqlalchemy import Connection

from leadapi import storage
from leadapi.events import service as events
from leadapi.events.service import NewEvent
from leadapi.idempotency import service as idempotency
from leadapi.keys.service import Caller
from leadapi.leads import queries
from leadapi.leads.emails import email_key
from leadapi.quarantine import service as quarantine


def erase_leads(tx: Connection, lead_ids: Sequence[int], *, by: Caller) -> list[int]:
    """Delete people's data from every table, as part of the transaction `tx`; return the ids of those that were there.

    The history keeps that each lead was erased, when, and by which key. On SQLite, `storage.checkpoint` has to be
    called after the commit: until then, the log has the old pages.
    """
    keys = {row.id: row.email_key for row in tx.execute(queries.locked_keys, {"lead_ids": lead_ids})}
    if not keys:
        return []
    erased = list(keys)
    earlier = _earlier_keys(tx, erased)
    events.erase(tx, erased)
    idempotency.erase_records(tx, *erased)
    quarantine.erase(tx, [*keys.values(), *earlier])
    tx.execute(queries.erasing, {"lead_ids": erased})
    if tx.dialect.name == "postgresql":
        tx.execute(queries.sweep)
    now = storage.now()
    events.record(
        tx,
        [NewEvent(lead_id=each, type=events.ERASED, created_at=now, actor=by.key_id) for each in erased],
    )
    storage.note_erased(tx, erased)
    return erased


def _earlier_keys(tx: Connection, lead_ids: Sequence[int]) -> set[str]:
    """The keys of the addresses that leads had before and that no other lead has now.

    Items that were quarantined before a change of address have followed it. Items that were quarantined with the old
    address since then came from the same person, unless another lead has the address.
    """
    changes = events.find_data(tx, lead_ids, type=events.UPDATED, part='"email":{')
    keys = {email_key(data["changes"]["email"]["from"]) for data in changes if "email" in data["changes"]}
    taken = tx.execute(queries.ids_by_key, {"keys": sorted(keys)}).all() if keys else ()
    return keys - {row.email_key for row in taken if row.id not in lead_ids}
