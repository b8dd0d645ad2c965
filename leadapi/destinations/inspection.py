"""Facts about deliveries that operators watch. All are read from the index of what is due."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection, func, select

from leadapi.destinations import leases
from leadapi.destinations.models import Destination
from leadapi.destinations.queue import deliveries, is_due

# A dispatcher attempts what is due within seconds. It may be busy with other destinations, and pauses for a minute
# between two mails.
NEGLECTED_TIME = timedelta(minutes=1)
IDLE_TIME = timedelta(minutes=2)

_destinations = Destination.metadata.tables["destinations"]
_due = (deliveries.c.destination_id == _destinations.c.id) & is_due
# Always true of what is due. Without it, SQLite does not choose the index of what is due.
_ever = deliveries.c.due_at > datetime(1970, 1, 1, tzinfo=UTC)
_number = select(func.count()).where(_due, _ever).scalar_subquery()
_oldest = select(func.min(deliveries.c.due_at)).where(_due).scalar_subquery()
_backlog = select(func.coalesce(func.sum(_number), 0), func.min(_oldest)).where(_destinations.c.enabled)
_kinds = select(_destinations.c.kind).where(_destinations.c.enabled).distinct()


@dataclass(frozen=True)
class Backlog:
    """The deliveries that enabled destinations are still to get.

    :param due: the number of deliveries, also of those that wait for their next attempt.
    :param oldest_seconds: for how long the delivery that waits longest has been ready to be sent; 0 if none is.
    """

    due: int
    oldest_seconds: float


def backlog(connection: Connection, now: datetime) -> Backlog:
    """Count what is due."""
    due, oldest = connection.execute(_backlog).one()
    return Backlog(int(due), max(0.0, (now - oldest).total_seconds()) if oldest else 0.0)


def neglected(connection: Connection, now: datetime) -> list[int]:
    """The ids of the destinations whose deliveries no dispatcher attempts."""
    rows = leases.due_destinations(connection, now - NEGLECTED_TIME)
    return [row.id for row in rows if row.last_attempt_at is None or row.last_attempt_at < now - IDLE_TIME]


def kinds_in_use(connection: Connection) -> set[str]:
    """The kinds of the enabled destinations."""
    return set(connection.scalars(_kinds))
