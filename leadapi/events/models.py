"""The table of events."""

from datetime import datetime

from sqlalchemy import Index, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from leadapi.storage import Base, Identity, UTCDateTime


class Event(Base):
    """Something that happened to a lead. Rows are never updated; only erasures and service.MAX_REPEATED delete any."""

    __tablename__ = "events"
    __table_args__ = (
        Index(None, "lead_id", "id"),
        # Ids are never reused, so a reader's cursor stays valid.
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(Identity, primary_key=True)
    # No foreign key: the event of an erasure outlives its lead.
    lead_id: Mapped[int] = mapped_column(Identity)
    type: Mapped[str] = mapped_column(String(40))
    created_at: Mapped[datetime] = mapped_column(UTCDateTime)
    # The id of the caller's API key; null without a key.
    actor: Mapped[str | None] = mapped_column(String(40))
    # JSON, as the API shows it.
    data: Mapped[str] = mapped_column(Text)
    # Whether destinations are told of it: see migrations/delivery_triggers.py. Those of an import only with --notify.
    announced: Mapped[bool] = mapped_column(server_default=text("true"))
