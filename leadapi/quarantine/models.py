"""The table of quarantined leads."""

from datetime import datetime

from sqlalchemy import BigInteger, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from leadapi.storage import Base, UTCDateTime


class QuarantinedLead(Base):
    """A lead that a spam trap caught. It is absent from the leads, their totals and their history."""

    __tablename__ = "quarantine"

    # The id in the response to the sender. It comes from the sequence of the leads, so no lead ever gets it.
    id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    created_at: Mapped[datetime] = mapped_column(UTCDateTime, index=True)
    # service.HONEYPOT or service.FILL_TIME.
    reason: Mapped[str] = mapped_column(String(20))
    # The key by which an erasure finds the item: that of the address sent, or of its lead's present address.
    email_key: Mapped[str] = mapped_column(Text, index=True)
    # The fields that were sent, in JSON.
    lead: Mapped[str] = mapped_column(Text)
