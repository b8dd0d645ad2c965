"""The table of events."""

from datetime import datetime

from sqlalchemy import Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from leadapi.storage import Base, Identity, UTCDateTime


class Event(Base):
    """Something that happened to a lead. Rows are never changed; erasures and service.MOST_REPEATED delete some."""

    __tablename__ = "events"
    __table_args__ = (
        Index(None, "lead_id", "id"),
        # An id is never used twice, so a reader's cursor stays valid.
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(Identity, primary_key=True)
    # No foreign key: that a lead was erased is told after it is gone.
    lead_id: Mapped[int] = mapped_column(Identity)
    type: Mapped[str] = mapped_column(String(40))
    created_at: Mapped[datetime] = mapped_column(UTCDateTime)
    # The id of the key that did it; none where no key was asked for.
    actor: Mapped[str | None] = mapped_column(String(40))
    # JSON as it is shown.
    data: Mapped[str] = mapped_column(Text)
