"""The quarantine: keeps items for 30 days, so that an operator can inspect and release them."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import orjson
from sqlalchemy import BindParameter, Connection, Select, bindparam, delete, func, insert, select, update

from leadapi import storage
from leadapi.idempotency import service as idempotency
from leadapi.quarantine.errors import QuarantinedLeadMissing
from leadapi.quarantine.models import QuarantinedLead

# Reasons: the trap that caught an item.
HONEYPOT = "honeypot"
FILL_TIME = "fill_time"

KEPT = timedelta(days=30)
# Beyond this number the oldest items are purged, so that a flood cannot fill the disk.
MAX_KEPT = 10_000
MAX_PURGED = 50

_items = QuarantinedLead.metadata.tables["quarantine"]
_insert = insert(_items)
_chosen = select(_items.c.id).where(_items.c.id.in_(bindparam("ids", expanding=True)))
_chosen = _chosen.order_by(_items.c.id).with_for_update()
_of_addresses = select(_items.c.id).where(_items.c.email_key.in_(bindparam("email_keys", expanding=True)))
_since = _items.c.created_at > bindparam("since")
_most: BindParameter[int] = bindparam("most")
# Purges skip rows that another transaction is purging, so they never wait for each other.
_purgeable = select(_items.c.id).limit(_most).with_for_update(skip_locked=True)
_expired = _purgeable.where(~_since).order_by(_items.c.created_at)
_oldest_kept = select(_items.c.id).order_by(_items.c.id.desc()).offset(MAX_KEPT - 1).limit(1)
_surplus = _purgeable.where(_items.c.id < _oldest_kept.scalar_subquery()).order_by(_items.c.id)
_delete = delete(_items).where(_items.c.id.in_(bindparam("ids", expanding=True)))
_change_address = update(_items).where(_items.c.email_key == bindparam("before")).values(email_key=bindparam("after"))
_page = (
    select(_items.c.id, _items.c.created_at, _items.c.reason, _items.c.lead)
    .where(_since)
    .order_by(_items.c.id.desc())
    .limit(bindparam("limit"))
)
_page_after = _page.where(_items.c.id < bindparam("after"))
_count = select(func.count()).select_from(_items).where(_since)
_one = (
    select(_items.c.lead)
    .where(_items.c.id == bindparam("id"), _since)
    # Two releases of one item must not both succeed.
    .with_for_update()
)


@dataclass(frozen=True)
class Caught:
    """An item of the quarantine."""

    id: int
    time: datetime
    reason: str
    # The values that were sent, by field name.
    lead: Mapping[str, Any]


@dataclass(frozen=True)
class CaughtPage:
    """Some of the items, newest first, and how many there are in all."""

    total: int
    items: list[Caught]
    # The id after which the next page begins; None on the last page.
    next_after: int | None


@dataclass(frozen=True)
class NewQuarantinedLead:
    """An item to be put into the quarantine.

    :param id: the id in the response to the sender; no lead ever gets it.
    :param lead: the values that were sent, by field name.
    :param reason: `HONEYPOT` or `FILL_TIME`.
    """

    id: int
    lead: Mapping[str, Any]
    email_key: str
    reason: str
    created_at: datetime


def add(tx: Connection, items: Sequence[NewQuarantinedLead]) -> None:
    """Put items into the quarantine, as part of the transaction `tx`.

    Each call also purges items that are too old or too many, up to 50 more than it adds, so the table shrinks.
    """
    tx.execute(_insert, [vars(item) | {"lead": orjson.dumps(item.lead).decode()} for item in items])
    values = {"since": storage.now() - KEPT, "most": len(items) + MAX_PURGED}
    for doomed in (_expired, _surplus):
        _remove(tx, doomed, **values)


def list_caught(*, limit: int, after: int | None = None) -> CaughtPage:
    """A page of the quarantine, newest first.

    :param limit: how many, at most.
    :param after: the id after which the page begins.
    """
    # One row more than asked for tells whether there is a next page.
    values = {"limit": limit + 1, "since": storage.now() - KEPT}
    with storage.read() as connection:
        if after is None:
            rows = connection.execute(_page, values).all()
        else:
            rows = connection.execute(_page_after, values | {"after": after}).all()
        total = connection.execute(_count, values).scalar_one()
    items = [Caught(row.id, row.created_at, row.reason, orjson.loads(row.lead)) for row in rows[:limit]]
    return CaughtPage(total, items, items[-1].id if len(rows) > limit else None)


@storage.retries_deadlocks
def discard(ids: Collection[int]) -> int:
    """Delete items, and return how many of them were there."""
    with storage.write() as tx:
        return _remove(tx, _chosen, ids=ids)


def pop(tx: Connection, item_id: int) -> dict[str, Any]:
    """Take an item out of the quarantine, as part of the transaction `tx`, and return the fields that were sent.

    :raises QuarantinedLeadMissing: the item is not in the quarantine, or has expired.
    """
    row = tx.execute(_one, {"id": item_id, "since": storage.now() - KEPT}).one_or_none()
    if row is None:
        raise QuarantinedLeadMissing
    tx.execute(_delete, {"ids": [item_id]})
    lead: dict[str, Any] = orjson.loads(row.lead)
    return lead


def erase(tx: Connection, email_keys: Sequence[str]) -> None:
    """Delete all items that came from these addresses, as part of the transaction `tx`."""
    _remove(tx, _of_addresses, email_keys=email_keys)


def change_address(tx: Connection, before: str, after: str) -> None:
    """Move items to a lead's new address, so that its erasure deletes them, as part of the transaction `tx`."""
    tx.execute(_change_address, {"before": before, "after": after})


def _remove(tx: Connection, doomed: Select[Any], **values: Any) -> int:
    """Delete items, and the responses stored for idempotency keys that show them; return how many items."""
    ids = tx.scalars(doomed, values).all()
    if ids:
        tx.execute(_delete, {"ids": ids})
        idempotency.erase_records(tx, *ids)
    return len(ids)
