"""Leases: which deliveries a dispatcher may attempt, and until when.

A claimed delivery stays due, at the time when its lease ends. So the deliveries of a process that was killed are due
again by themselves.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, bindparam, exists, func, select, update

from leadapi.destinations.kinds import DEADLINE_SECONDS
from leadapi.destinations.models import Destination
from leadapi.destinations.queue import deliveries, is_due, of_destination

# A lease outlives its attempt and the recording of the outcome.
LEASE_SECONDS = DEADLINE_SECONDS + 15

_destinations = Destination.metadata.tables["destinations"]
_own = deliveries.c.destination_id == _destinations.c.id
_oldest = select(func.min(deliveries.c.due_at)).where(_own, is_due).scalar_subquery()
_last_attempt = select(func.max(deliveries.c.last_attempt_at)).where(_own).scalar_subquery()
_due = (
    select(_destinations, _oldest.label("due_at"), _last_attempt.label("last_attempt_at"))
    .where(_destinations.c.enabled, _oldest <= bindparam("soon"))
    .order_by(_destinations.c.id)
)
_attempted = deliveries.alias("attempted")
_is_busy = exists().where(
    _attempted.c.destination_id == bindparam("of_destination"),
    _attempted.c.last_attempt_at > bindparam("idle_since"),
    # A time after this one was written before the clock was set back.
    _attempted.c.last_attempt_at <= bindparam("now"),
)
_is_enabled = exists().where(_destinations.c.id == bindparam("of_destination"), _destinations.c.enabled)
# On PostgreSQL, dispatchers do not wait for each other's rows. A common table expression is evaluated once, an IN
# might not be.
_chosen = (
    select(deliveries.c.id)
    .where(of_destination, is_due, deliveries.c.due_at <= bindparam("now"), _is_enabled, ~_is_busy)
    .order_by(deliveries.c.due_at)
    .limit(bindparam("most"))
    .with_for_update(skip_locked=True)
    .cte("chosen")
)
_claim = (
    update(deliveries)
    .where(deliveries.c.id.in_(select(_chosen.c.id)))
    .values(
        due_at=bindparam("until"),
        lease=bindparam("token"),
        attempts=deliveries.c.attempts + 1,
        last_attempt_at=bindparam("started_at"),
    )
    .returning(deliveries.c.id, deliveries.c.event_id, deliveries.c.attempts)
)
is_held = (deliveries.c.id == bindparam("delivery_id")) & (deliveries.c.lease == bindparam("token")) & is_due
_hand_back = update(deliveries).where(is_held).values(due_at=bindparam("now"), lease=None)


@dataclass(frozen=True)
class Claim:
    """A delivery that may be attempted by the holder of the token.

    :param attempts: how many there are, with this one.
    """

    delivery_id: int
    event_id: int
    attempts: int
    token: str


def due_destinations(connection: Connection, soon: datetime) -> Sequence[Row[*tuple[Any, ...]]]:
    """The enabled destinations with deliveries that are due before `soon`.

    A row has the columns of the destination, `due_at` of its oldest delivery, and the `last_attempt_at` of all.
    """
    return connection.execute(_due, {"soon": soon}).all()


def claim(
    tx: Connection, destination_id: int, now: datetime, *, most: int, idle_since: datetime | None = None
) -> list[Claim]:
    """Lease the oldest due deliveries of a destination, as part of the transaction `tx`.

    A destination that was disabled or deleted meanwhile has none.

    :param most: how many, at most.
    :param idle_since: none if the destination had an attempt after this time.
    """
    token = secrets.token_hex(16)
    values = {
        "of_destination": destination_id,
        "now": now,
        # Clients see whole seconds, and replay what failed since one of them.
        "started_at": now.replace(microsecond=0),
        "idle_since": idle_since or now,
        "most": most,
        "until": now + timedelta(seconds=LEASE_SECONDS),
        "token": token,
    }
    rows = tx.execute(_claim, values).all()
    return [Claim(row.id, row.event_id, row.attempts, token) for row in sorted(rows)]


def hand_back(tx: Connection, claims: Sequence[Claim], now: datetime) -> None:
    """Let other dispatchers attempt deliveries at once whose outcome this one does not know."""
    if claims:
        tx.execute(_hand_back, [{"delivery_id": each.delivery_id, "token": each.token, "now": now} for each in claims])
