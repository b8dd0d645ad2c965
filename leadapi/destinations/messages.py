"""Renders messages and their targets at the time of the attempt.

Nothing of a lead is kept in a delivery. So an erasure deletes what was not sent yet.
"""

import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import orjson
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from leadapi.destinations.kinds import Message, Target
from leadapi.destinations.leases import Claim
from leadapi.events import service as events
from leadapi.events.service import StoredEvent
from leadapi.leads import service as leads

logger = logging.getLogger(__name__)


def render(connection: Connection, claims: Sequence[Claim]) -> dict[Claim, Message | None]:
    """The message of each claimed delivery; None where the event or its lead is gone.

    A delivery that cannot be rendered is logged and left out.
    """
    stored = events.find_events(connection, [claim.event_id for claim in claims])
    messages = {}
    for claim in claims:
        event = stored.get(claim.event_id)
        try:
            messages[claim] = _message(connection, claim, event) if event else None
        except SQLAlchemyError:
            # The database is at fault, not the event.
            raise
        except Exception:
            logger.exception(
                "delivery.unreadable", extra={"delivery_id": claim.delivery_id, "event_id": claim.event_id}
            )
    return messages


def target(row: Any) -> Target:
    """Where to send it: a destination from its row."""
    secrets = [row.secret]
    if row.previous_secret_until is not None and row.previous_secret_until > datetime.now(UTC):
        secrets.append(row.previous_secret)
    return Target(url=row.url, headers=orjson.loads(row.headers), secrets=tuple(filter(None, secrets)))


def _message(connection: Connection, claim: Claim, event: StoredEvent) -> Message | None:
    lead = _lead(connection, event)
    if lead is None:
        return None
    return Message(
        delivery_id=claim.delivery_id,
        event_id=event.id,
        type=event.type,
        time=event.time,
        lead=lead,
        sent=event.data.get("sent"),
        note=event.data["text"] if event.type == events.NOTED else None,
    )


def _lead(connection: Connection, event: StoredEvent) -> dict[str, Any] | None:
    if event.type == events.ERASED:
        return {"id": event.lead_id}
    return event.data if event.type == events.TEST else leads.lead_at(connection, event)
