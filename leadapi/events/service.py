"""The history of every lead, and the outbox: an event is written in the transaction of the change it tells of."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import Connection, Insert, Select, bindparam, delete, func, insert, select

from leadapi import storage
from leadapi.events.models import Event
from leadapi.storage.rows import RowsInsert

CREATED = "lead.created"
REPEATED = "lead.repeated"
UPDATED = "lead.updated"
ERASED = "lead.erased"
NOTED = "lead.noted"
# Sent to one destination, to try it out. It belongs to no lead.
TEST = "lead.test"
NO_LEAD = 0
# Anybody may repeat a lead, as often as the rate limit lets them. Each lead keeps so many of these events.
MAX_REPEATED = 1000

events = Event.metadata.tables["events"]

COLUMNS = ("lead_id", "type", "created_at", "actor", "data", "announced")
_insert = RowsInsert(events, COLUMNS)
_insert_one = insert(events).returning(events.c.id)
_delete_tests = delete(events).where(events.c.id.in_(bindparam("ids", expanding=True)), events.c.type == TEST)
_of_leads = events.c.lead_id.in_(bindparam("lead_ids", expanding=True))
_delete = delete(events).where(_of_leads)
# The index on lead_id and id has the numbers of all events. Only leads with more than the limit are looked at further.
_many = select(events.c.lead_id).where(_of_leads).group_by(events.c.lead_id).having(func.count() > MAX_REPEATED)
_repeats = (events.c.lead_id == bindparam("lead_id"), events.c.type == REPEATED)
# For one lead, so that its subquery runs once. In a statement for several leads it can run once for each event, where
# PostgreSQL's statistics are out of date.
_excess = select(events.c.id).where(*_repeats).order_by(events.c.id.desc()).offset(MAX_REPEATED).limit(1)
_prune = delete(events).where(*_repeats, events.c.id <= _excess.scalar_subquery())
# The ids of the events of a lead, as part of another statement.
of_lead = select(events.c.id).where(events.c.lead_id == bindparam("lead_id"))
_count = select(func.count()).select_from(events).where(events.c.lead_id == bindparam("lead_id"))
_data = select(events.c.data).where(
    _of_leads,
    events.c.type == bindparam("type"),
    events.c.data.contains(bindparam("part")),
)
_stored = (events.c.id, events.c.lead_id, events.c.type, events.c.created_at, events.c.data)
_by_id = select(*_stored).where(events.c.id.in_(bindparam("ids", expanding=True)))
_changes = select(*_stored).where(
    events.c.lead_id == bindparam("lead_id"),
    events.c.type.in_((REPEATED, UPDATED)),
    ~events.c.data.contains('"changes":{}'),
)
_changes_after = _changes.where(events.c.id > bindparam("event_id")).order_by(events.c.id.desc())
_change_before = _changes.where(events.c.id <= bindparam("event_id")).order_by(events.c.id.desc()).limit(1)
_page = (
    select(events.c.id, events.c.type, events.c.created_at, events.c.actor, events.c.data, _count.scalar_subquery())
    .where(events.c.lead_id == bindparam("lead_id"), events.c.id > bindparam("after"))
    .order_by(events.c.id)
    .limit(bindparam("limit"))
    .offset(bindparam("offset"))
)
_newest = select(events.c.created_at).order_by(events.c.id.desc()).limit(1)


@dataclass(frozen=True, kw_only=True)
class NewEvent:
    """Something that happened to a lead and is to be recorded.

    :param actor: the id of the key that did it, or None.
    :param data: a JSON object, as clients will see it.
    :param announced: whether destinations are told of it.
    """

    lead_id: int
    type: str
    created_at: datetime
    actor: str | None
    data: str = "{}"
    announced: bool = True


@dataclass(frozen=True)
class StoredEvent:
    """An event as it was recorded.

    :param data: as clients see it; see `leads/event_schemas.py`.
    """

    id: int
    lead_id: int
    type: str
    time: datetime
    data: dict[str, Any]


@dataclass(frozen=True)
class EventPage:
    """Some of a lead's events, oldest first, and how many there are in all."""

    total: int
    items: list[dict[str, Any]]
    # The id after which the next page begins; None on the last page.
    next_after: int | None


def record(tx: Connection, happened: Sequence[NewEvent]) -> None:
    """Write events in this order, as part of the transaction `tx`.

    Of the `REPEATED` events of each lead, the oldest beyond `MAX_REPEATED` are deleted. The caller has locked these
    leads.
    """
    if not happened:
        return
    _insert.execute(tx, [vars(event) for event in happened])
    repeated = sorted({event.lead_id for event in happened if event.type == REPEATED})
    many = tx.scalars(_many, {"lead_ids": repeated}).all() if repeated else ()
    if many:
        tx.execute(_prune, [{"lead_id": lead_id} for lead_id in many])


def record_one(tx: Connection, event: NewEvent) -> dict[str, Any]:
    """Write an event, as part of the transaction `tx`, and return it as clients see it."""
    event_id = tx.execute(_insert_one, vars(event)).scalar_one()
    return _shown(event_id, event.type, event.created_at, event.actor, event.data)


def recording(source: Select[Any]) -> Insert:
    """The statement that writes the events whose `COLUMNS` a SELECT gives. On PostgreSQL it can be part of another."""
    return insert(events).from_select(COLUMNS, source)


def erase(tx: Connection, lead_ids: Sequence[int]) -> None:
    """Delete all events of leads, as part of the transaction `tx`."""
    tx.execute(_delete, {"lead_ids": lead_ids})


def find_data(tx: Connection, lead_ids: Sequence[int], *, type: str, part: str) -> list[dict[str, Any]]:  # noqa: A002  # the column's name
    """The data of the events of leads that are of one type and have a text in their JSON.

    :param part: the text, without `%` and `_`.
    """
    rows = tx.scalars(_data, {"lead_ids": lead_ids, "type": type, "part": part})
    return [orjson.loads(data) for data in rows]


def find_events(tx: Connection, ids: Sequence[int]) -> dict[int, StoredEvent]:
    """The events with these ids that exist, by id."""
    return {row.id: _event(row) for row in tx.execute(_by_id, {"ids": ids})}


def changes_after(tx: Connection, event: StoredEvent) -> list[StoredEvent]:
    """The events that changed the lead of this event after it, newest first."""
    return [_event(row) for row in tx.execute(_changes_after, {"lead_id": event.lead_id, "event_id": event.id})]


def last_change(tx: Connection, event: StoredEvent) -> StoredEvent | None:
    """The last event that changed the lead, up to this event; None if there is none."""
    row = tx.execute(_change_before, {"lead_id": event.lead_id, "event_id": event.id}).one_or_none()
    return _event(row) if row else None


def record_test(tx: Connection, data: str, time: datetime) -> int:
    """Write a `TEST` event, as part of the transaction `tx`, and return its id. No destination is told of it."""
    values = {"lead_id": NO_LEAD, "type": TEST, "created_at": time, "actor": None, "data": data, "announced": False}
    event_id: int = tx.execute(_insert_one, values).scalar_one()
    return event_id


def forget_tests(tx: Connection, ids: Sequence[int]) -> None:
    """Delete `TEST` events, as part of the transaction `tx`."""
    if ids:
        tx.execute(_delete_tests, {"ids": ids})


def _event(row: Any) -> StoredEvent:
    return StoredEvent(row.id, row.lead_id, row.type, row.created_at, orjson.loads(row.data))


def newest_at(connection: Connection) -> datetime | None:
    """When the newest event happened; None if there is none."""
    return connection.scalar(_newest)


def list_events(lead_id: int, *, limit: int, offset: int = 0, after: int | None = None) -> EventPage:
    """A page of a lead's events, oldest first. A lead that never existed has none.

    :param limit: how many, at most.
    :param offset: how many to leave out first.
    :param after: the id after which the page begins.
    """
    # One row more than asked for tells whether there is a next page.
    bounds = {"limit": limit + 1, "offset": offset, "after": after or 0}
    with storage.read() as connection:
        rows = connection.execute(_page, {"lead_id": lead_id, **bounds}).all()
        total = rows[0][-1] if rows else connection.execute(_count, {"lead_id": lead_id}).scalar_one()
    items = [_shown(row.id, row.type, row.created_at, row.actor, row.data) for row in rows[:limit]]
    return EventPage(total, items, items[-1]["id"] if len(rows) > limit else None)


def _shown(event_id: int, type: str, time: datetime, actor: str | None, data: str) -> dict[str, Any]:  # noqa: A002  # the column's name
    return {"id": event_id, "type": type, "time": time, "actor": actor, "data": orjson.Fragment(data)}
