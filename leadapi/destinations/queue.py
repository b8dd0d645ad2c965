"""The deliveries of a destination or a lead: listed, replayed, and added for a test.

Triggers add the deliveries of real events (migrations/delivery_triggers.py), dispatchers send them (dispatcher.py).
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Select,
    and_,
    bindparam,
    case,
    func,
    insert,
    literal_column,
    select,
    update,
)

from leadapi import storage
from leadapi.destinations.errors import DeliveryMissing, NotReplayable
from leadapi.destinations.models import DELIVERED, DUE, FAILED, Delivery, Destination
from leadapi.events import service as events

# How many deliveries a transaction replays at most.
REPLAYED_AT_ONCE = 1000

deliveries = Delivery.metadata.tables["deliveries"]
_destinations = Destination.metadata.tables["destinations"]
# The states are literals, because the partial index of due deliveries is used only if the statement contains its
# condition.
is_due: ColumnElement[bool] = deliveries.c.state == literal_column(f"'{DUE}'")
of_destination: ColumnElement[bool] = deliveries.c.destination_id == bindparam("of_destination")
_one = and_(of_destination, deliveries.c.id == bindparam("delivery_id"))
# In the order in which clients see them.
_SHOWN = (
    deliveries.c.id,
    deliveries.c.event_id,
    deliveries.c.type,
    func.nullif(deliveries.c.lead_id, events.NO_LEAD).label("lead_id"),
    deliveries.c.state,
    deliveries.c.attempts,
    case((is_due, deliveries.c.due_at)).label("next_attempt_at"),
    deliveries.c.last_attempt_at,
    deliveries.c.status,
    deliveries.c.error,
    deliveries.c.duration_ms,
    deliveries.c.excerpt,
)
_show = select(*_SHOWN).where(_one)
_of_lead = (
    select(
        deliveries.c.id,
        deliveries.c.destination_id,
        _destinations.c.kind,
        _destinations.c.description,
        deliveries.c.type,
        deliveries.c.state,
        case((is_due, deliveries.c.due_at)).label("next_attempt_at"),
        deliveries.c.last_attempt_at,
        deliveries.c.status,
        deliveries.c.error,
    )
    .join(_destinations, _destinations.c.id == deliveries.c.destination_id)
    # By the events, because deliveries have no index on their lead.
    .where(deliveries.c.event_id.in_(events.of_lead))
    .order_by(deliveries.c.id.desc())
    .limit(bindparam("limit"))
)
_make_due: dict[str, Any] = {"state": DUE, "due_at": bindparam("now"), "lease": None}
_replay = update(deliveries).where(_one, deliveries.c.state.in_((DELIVERED, FAILED))).values(_make_due)
_failed = (
    select(deliveries.c.id)
    .where(
        of_destination,
        deliveries.c.state == FAILED,
        deliveries.c.last_attempt_at >= bindparam("since"),
        # Those that fail again meanwhile are left out.
        deliveries.c.last_attempt_at <= bindparam("now"),
    )
    .limit(REPLAYED_AT_ONCE)
    .with_for_update()
)
_replay_many = update(deliveries).where(deliveries.c.id.in_(bindparam("ids", expanding=True))).values(_make_due)
_add = insert(deliveries).returning(deliveries.c.id)
_last = (
    select(deliveries.c.state, deliveries.c.last_attempt_at.label("at"), deliveries.c.status, deliveries.c.error)
    .where(of_destination, deliveries.c.last_attempt_at.is_not(None))
    .order_by(deliveries.c.last_attempt_at.desc(), deliveries.c.id.desc())
    .limit(1)
)

# A due delivery has its event, because erasures and `events.MAX_REPEATED` cancel the deliveries of what they delete.
_due_leads = (
    select(events.events.c.lead_id)
    .join(deliveries, deliveries.c.event_id == events.events.c.id)
    .where(events.events.c.lead_id.in_(bindparam("lead_ids", expanding=True)), is_due)
)


@dataclass(frozen=True)
class DeliveryPage:
    """Some of a destination's deliveries, and how many match in all."""

    total: int
    # The fields that clients see, in their order.
    items: list[dict[str, Any]]
    # The id after which the next page begins; None on the last page.
    next_after: int | None


def list_deliveries(
    destination_id: int, *, limit: int, after: int | None = None, state: str | None = None, descending: bool = False
) -> DeliveryPage:
    """A page of a destination's deliveries, by id. A destination that does not exist has none.

    :param limit: how many, at most.
    :param after: the id after which, in the given order, the page begins.
    :param state: only those in this state.
    :param descending: newest first.
    """
    # One row more than asked for tells whether there is a next page.
    values = {"of_destination": destination_id, "limit": limit + 1, "after": after, "state": state}
    page, total = _pages(is_after=after is not None, is_filtered=state is not None, descending=descending)
    with storage.read() as connection:
        rows = connection.execute(page, values).all()
        number = connection.execute(total, values).scalar_one()
    items = [dict(row._mapping) for row in rows[:limit]]
    return DeliveryPage(number, items, items[-1]["id"] if len(rows) > limit else None)


def show_delivery(destination_id: int, delivery_id: int) -> dict[str, Any]:
    """One delivery, as in the list.

    :raises DeliveryMissing: the destination has no such delivery.
    """
    with storage.read() as connection:
        return _shown(connection, destination_id, delivery_id)


def list_deliveries_of_lead(lead_id: int, *, limit: int) -> list[dict[str, Any]]:
    """The last deliveries of what happened to a lead, newest first, each with its destination, but without its URL."""
    with storage.read() as connection:
        rows = connection.execute(_of_lead, {"lead_id": lead_id, "limit": limit}).all()
    return [dict(row._mapping) for row in rows]


def last_deliveries(connection: Connection, destination_ids: Collection[int]) -> dict[int, Row[Any]]:
    """The `state`, `at` (its last attempt), `status` and `error` of the delivery that each destination tried last.

    Destinations without an attempt are left out.
    """
    rows: dict[int, Any] = {
        key: connection.execute(_last, {"of_destination": key}).one_or_none() for key in destination_ids
    }
    return {key: row for key, row in rows.items() if row is not None}


def find_due_leads(connection: Connection, lead_ids: Sequence[int]) -> set[int]:
    """Those of some leads that have a due delivery."""
    return set(connection.scalars(_due_leads, {"lead_ids": lead_ids}))


def replay(destination_id: int, delivery_id: int) -> dict[str, Any]:
    """Make a delivery that was delivered or failed due now, and return it.

    Its attempts count on, so a delivery that had all its attempts gets one more.

    :raises DeliveryMissing: the destination has no such delivery.
    :raises NotReplayable: it is due already, or was cancelled.
    """
    values = {"of_destination": destination_id, "delivery_id": delivery_id, "now": storage.now()}
    with storage.write() as tx:
        is_replayed = tx.execute(_replay, values).rowcount == 1
        delivery = _shown(tx, destination_id, delivery_id)
    if not is_replayed:
        raise NotReplayable
    return delivery


def replay_failed(destination_id: int, since: datetime) -> int:
    """Make the deliveries due now that failed since then, and return how many they are.

    Many are replayed in several transactions, so that captures go on.
    """
    number = 0
    values = {"of_destination": destination_id, "since": since, "now": storage.now()}
    while True:
        with storage.write() as tx:
            ids = tx.scalars(_failed, values).all()
            if ids:
                tx.execute(_replay_many, {"ids": ids, "now": values["now"]})
        number += len(ids)
        if len(ids) < REPLAYED_AT_ONCE:
            return number


def enqueue_test(tx: Connection, destination_id: int, event_id: int, time: datetime) -> int:
    """Add the delivery of a `lead.test` event to one destination, as part of the transaction `tx`; return its id."""
    values = {
        "destination_id": destination_id,
        "event_id": event_id,
        "lead_id": events.NO_LEAD,
        "type": events.TEST,
        "state": DUE,
        "due_at": time,
    }
    delivery_id: int = tx.execute(_add, values).scalar_one()
    return delivery_id


def _shown(connection: Connection, destination_id: int, delivery_id: int) -> dict[str, Any]:
    values = {"of_destination": destination_id, "delivery_id": delivery_id}
    row = connection.execute(_show, values).one_or_none()
    if row is None:
        raise DeliveryMissing
    return dict(row._mapping)


@cache
def _pages(*, is_after: bool, is_filtered: bool, descending: bool) -> tuple[Select[Any], Select[Any]]:
    """The statements for a page and for the number of all deliveries that match."""
    matching = [of_destination]
    if is_filtered:
        matching.append(deliveries.c.state == bindparam("state"))
    order = deliveries.c.id.desc() if descending else deliveries.c.id
    page = select(*_SHOWN).where(*matching).order_by(order).limit(bindparam("limit"))
    if is_after:
        after: Any = bindparam("after")
        page = page.where(deliveries.c.id < after if descending else deliveries.c.id > after)
    return page, select(func.count()).select_from(deliveries).where(*matching)
