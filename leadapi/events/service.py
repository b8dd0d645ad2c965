"""The history of every lead: written in the transaction of the change that it tells of."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import Insert, Select, bindparam, delete, func, insert, select

from leadapi.events.models import Event
from leadapi.storage.database import db

CREATED = "lead.created"
REPEATED = "lead.repeated"
UPDATED = "lead.updated"
ERASED = "lead.erased"

events = Event.metadata.tables["events"]

# Built once: building a statement costs more than running it. What is returned makes many rows one statement.
_insert = insert(events)
_insert_many = insert(events).returning(events.c.id)
_delete = delete(events).where(events.c.lead_id == bindparam("lead_id"))
_count = select(func.count()).select_from(events).where(events.c.lead_id == bindparam("lead_id"))
_page = (
    select(events.c.id, events.c.type, events.c.created_at, events.c.actor, events.c.data, _count.scalar_subquery())
    .where(events.c.lead_id == bindparam("lead_id"), events.c.id > bindparam("after"))
    .order_by(events.c.id)
    .limit(bindparam("limit"))
    .offset(bindparam("offset"))
)


@dataclass(frozen=True)
class EventPage:
    """Some of a lead's events, oldest first, and how many there are in all."""

    total: int
    items: list[dict[str, Any]]
    # The id after which the next page begins; None on the last page.
    next_after: int | None


def event(*, lead_id: int, type: str, time: datetime, actor: str | None, data: bytes = b"{}") -> dict[str, Any]:  # noqa: A002  # the column's name
    """What `record` takes.

    :param actor: the id of the key that did it, or None.
    :param data: a JSON object, as it will be shown.
    """
    return {"lead_id": lead_id, "type": type, "created_at": time, "actor": actor, "data": data.decode()}


def record(happened: Sequence[dict[str, Any]]) -> None:
    """Add events to the running transaction, in this order. The caller commits."""
    if len(happened) == 1:
        db.session.execute(_insert, happened[0])
    elif happened:
        db.session.execute(_insert_many, happened)


def telling(source: Select[Any]) -> Insert:
    """The statement that records what a query finds: lead's id, type, time, actor and data."""
    return insert(events).from_select(["lead_id", "type", "created_at", "actor", "data"], source)


def forget(lead_id: int) -> None:
    """Take away all that is told of a lead, in the running transaction. The caller commits."""
    db.session.execute(_delete, {"lead_id": lead_id})


def list_events(lead_id: int, *, limit: int, offset: int = 0, after: int | None = None) -> EventPage:
    """A page of a lead's events, oldest first. A lead that never was has none.

    :param limit: how many, at most.
    :param offset: how many to leave out first.
    :param after: the id after which the page begins.
    """
    # One more than asked for tells whether there is a next page.
    bounds = {"limit": limit + 1, "offset": offset, "after": after or 0}
    rows = db.session.execute(_page, {"lead_id": lead_id, **bounds}).all()
    items = [
        {"id": row.id, "type": row.type, "time": row.created_at, "actor": row.actor, "data": orjson.Fragment(row.data)}
        for row in rows[:limit]
    ]
    total = rows[0][-1] if rows else db.session.execute(_count, {"lead_id": lead_id}).scalar_one()
    return EventPage(total, items, items[-1]["id"] if len(rows) > limit else None)
