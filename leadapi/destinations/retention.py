"""Retention: old deliveries are deleted in small transactions, so that captures go on meanwhile."""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, bindparam, delete, exists, func, or_, select, update

from leadapi import storage
from leadapi.destinations.models import CANCELLED, Destination
from leadapi.destinations.outcomes import MAX_RETRY_AFTER_SECONDS
from leadapi.destinations.queue import deliveries, is_due, of_destination
from leadapi.events import service as events

KEPT = timedelta(days=30)
# How many deliveries a transaction deletes. On SQLite, captures wait for it.
DELETED_AT_ONCE = 500
# The longest pause between two attempts.
LONGEST = timedelta(seconds=MAX_RETRY_AFTER_SECONDS)
# How far the clock of another host may be ahead.
SKEW = timedelta(minutes=1)

_destinations = Destination.metadata.tables["destinations"]
# Each step is a search in an index, however many deliveries a destination has.
_next_destination = select(func.min(deliveries.c.destination_id)).where(
    deliveries.c.destination_id > bindparam("after")
)
_exists = select(exists().where(_destinations.c.id == bindparam("of_destination")))
_some = select(deliveries.c.id).where(of_destination).limit(bindparam("most")).with_for_update(skip_locked=True)
_before = bindparam("before", type_=storage.UTCDateTime)
_old = (
    # What was attempted, and what was cancelled before its first attempt.
    _some.where(~is_due, deliveries.c.last_attempt_at < _before),
    _some.where(deliveries.c.state == CANCELLED, deliveries.c.last_attempt_at.is_(None), deliveries.c.due_at < _before),
)
_delete_orphans, *_delete_old = (
    delete(deliveries)
    .where(deliveries.c.id.in_(select(chosen.c.id)))
    .returning(deliveries.c.type, deliveries.c.event_id)
    for chosen in (doomed.cte("chosen") for doomed in (_some, *_old))
)
# A delivery without an attempt is due since its event.
_last = func.coalesce(deliveries.c.last_attempt_at, deliveries.c.due_at)
_reset = (
    update(deliveries)
    .where(is_due, or_(_last > bindparam("ahead"), deliveries.c.due_at > bindparam("latest")))
    .values(due_at=bindparam("now"))
)


def purge(now: datetime) -> Iterator[int]:
    """Delete what is too old, and the deliveries of deleted destinations. What is due is kept.

    Each step is a transaction, which yields how many deliveries it has deleted. Dispatchers may do this together.
    """
    with storage.write() as tx:
        # Only a clock that was wrong can have set times so far in the future.
        tx.execute(_reset, {"ahead": now + SKEW, "latest": now + SKEW + LONGEST, "now": now})
    yield 0
    destination_id = 0
    while True:
        with storage.read() as connection:
            found = connection.execute(_next_destination, {"after": destination_id}).scalar_one()
            if found is None:
                return
            destination_id = found
            is_orphaned = not connection.execute(_exists, {"of_destination": destination_id}).scalar_one()
        values = {"of_destination": destination_id, "before": now - KEPT, "most": DELETED_AT_ONCE}
        for statement in (_delete_orphans,) if is_orphaned else _delete_old:
            deleted = DELETED_AT_ONCE
            while deleted == DELETED_AT_ONCE:
                with storage.write() as tx:
                    deleted = _delete(tx, statement, values)
                yield deleted


def forget(tx: Connection, destination_id: int) -> None:
    """Delete some deliveries of a deleted destination, as part of the transaction `tx`. `purge` deletes the rest."""
    _delete(tx, _delete_orphans, {"of_destination": destination_id, "most": DELETED_AT_ONCE})


def _delete(tx: Connection, statement: Any, values: Mapping[str, Any]) -> int:
    rows = tx.execute(statement, values).all()
    # A test belongs to one delivery.
    events.forget_tests(tx, [row.event_id for row in rows if row.type == events.TEST])
    return len(rows)
