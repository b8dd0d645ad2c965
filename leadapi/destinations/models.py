"""The tables of destinations and of their deliveries."""

from datetime import datetime

from sqlalchemy import BigInteger, Index, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from leadapi.storage import Base, Identity, UTCDateTime

# States of a delivery. A due delivery waits for its next attempt, or is being attempted.
DUE = "due"
DELIVERED = "delivered"
FAILED = "failed"
CANCELLED = "cancelled"


class Destination(Base):
    """Where events are sent."""

    __tablename__ = "destinations"
    # Ids are never reused, so a delivery of a deleted destination never belongs to another one.
    __table_args__ = ({"sqlite_autoincrement": True},)

    id: Mapped[int] = mapped_column(Identity, primary_key=True)
    # One of service.KINDS.
    kind: Mapped[str] = mapped_column(String(20))
    # May contain secrets.
    url: Mapped[str] = mapped_column(Text)
    # A JSON list of types of events; `lead.*` for all.
    events: Mapped[str] = mapped_column(Text)
    # A JSON list of sources; null for all.
    sources: Mapped[str | None] = mapped_column(Text)
    description: Mapped[str | None] = mapped_column(String(500))
    # A JSON object of the headers that a webhook gets; they may be secrets.
    headers: Mapped[str] = mapped_column(Text, server_default="{}")
    enabled: Mapped[bool] = mapped_column(server_default=text("true"))
    # Why the service disabled it: one of kinds.REASONS; null where a person did.
    disabled_reason: Mapped[str | None] = mapped_column(String(20))
    created_at: Mapped[datetime] = mapped_column(UTCDateTime)
    # Since when every attempt has failed; null after a success.
    failing_since: Mapped[datetime | None] = mapped_column(UTCDateTime)
    # The signing secret of a webhook, and the one before the last rotation, which signs along until that time.
    secret: Mapped[str | None] = mapped_column(Text)
    previous_secret: Mapped[str | None] = mapped_column(Text)
    previous_secret_until: Mapped[datetime | None] = mapped_column(UTCDateTime)
    # The setting that the destination comes from (NOTIFY_EMAIL); null for those that people create.
    setting: Mapped[str | None] = mapped_column(String(40), unique=True)


class Delivery(Base):
    """An event that is sent to a destination.

    Triggers write the rows in the transaction of the event, and cancel them in the transaction that deletes it: see
    migrations/delivery_triggers.py. There are no foreign keys: the event of an erased lead is gone, and the deliveries
    of a deleted destination are purged in small transactions.
    """

    __tablename__ = "deliveries"
    __table_args__ = (
        # Claims. The index has only what is due, so that it stays small.
        Index(
            None, "destination_id", "due_at", sqlite_where=text("state = 'due'"), postgresql_where=text("state = 'due'")
        ),
        # The list of a destination's deliveries, and its last one.
        Index(None, "destination_id", "id"),
        Index(None, "destination_id", "last_attempt_at"),
        # Cancellation.
        Index(None, "event_id"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(Identity, primary_key=True)
    event_id: Mapped[int] = mapped_column(Identity)
    destination_id: Mapped[int] = mapped_column(Identity)
    lead_id: Mapped[int] = mapped_column(Identity)
    type: Mapped[str] = mapped_column(String(40))
    state: Mapped[str] = mapped_column(String(20))
    attempts: Mapped[int] = mapped_column(server_default=text("0"))
    # When the next attempt may start; while an attempt is running, when its lease ends. A cancelled delivery keeps it,
    # for the retention. Null in the other states.
    due_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    # The token of the dispatcher that is attempting it. Only the holder of the lease may record the outcome.
    lease: Mapped[str | None] = mapped_column(String(32))
    last_attempt_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    # Of the last attempt: the HTTP or SMTP status, the error (one of kinds.ERRORS), how long it took, and the beginning
    # of the answer.
    status: Mapped[int | None]
    error: Mapped[str | None] = mapped_column(String(20))
    duration_ms: Mapped[int | None] = mapped_column(BigInteger)
    excerpt: Mapped[str | None] = mapped_column(Text)
