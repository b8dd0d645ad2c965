"""The table of what was caught."""

from datetime import datetime

from sqlalchemy import BigInteger, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from leadapi.storage import Base, UTCDateTime


class Suspect(Base):
    """What would have become a lead, had no trap caught it. It has no part in anything that leads have."""

    __tablename__ = "quarantine"

    # The id that was answered, which no lead ever gets.
    id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    created_at: Mapped[datetime] = mapped_column(UTCDateTime, index=True)
    # Which trap it was: see service.HONEYPOT and service.FILL_TIME.
    reason: Mapped[str] = mapped_column(String(20))
    # Of the address that was sent, or of the present address of the lead that had it then: an erasure finds the items
    # by it. Several items may have the same key.
    email_key: Mapped[str] = mapped_column(Text, index=True)
    # What was sent, in JSON.
    lead: Mapped[str] = mapped_column(Text)
