"""The table of leads."""

from datetime import datetime

from sqlalchemy import BigInteger, Integer, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from leadapi.database import Base, UTCDateTime


class Lead(Base):
    """A person's enquiry."""

    __tablename__ = "leads"
    __table_args__ = (
        UniqueConstraint("email_key"),
        # An id is never given twice on SQLite either, so a link to a lead never shows another one.
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True)
    full_name: Mapped[str] = mapped_column(String(255))
    email: Mapped[str] = mapped_column(String(254))
    # What all spellings of the address have in common: see emails.email_key.
    email_key: Mapped[str] = mapped_column(Text)
    company: Mapped[str | None] = mapped_column(String(255))
    message: Mapped[str | None] = mapped_column(String(2000))
    source: Mapped[str | None] = mapped_column(String(100))
    created_at: Mapped[datetime] = mapped_column(UTCDateTime)
