"""The tables of leads."""

from datetime import datetime

from sqlalchemy import BigInteger, Index, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from leadapi.storage.database import Base, Identity, UTCDateTime


class Lead(Base):
    """A person's enquiry."""

    __tablename__ = "leads"
    __table_args__ = (
        UniqueConstraint("email_key"),
        # Each serves a filter's page in the order of the ids.
        Index(None, "source", "id"),
        Index(None, "status", "id"),
        Index(None, "created_at", "id"),
        # An id is never given twice on SQLite either, so a link to a lead never shows another one.
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(Identity, primary_key=True)
    full_name: Mapped[str] = mapped_column(String(255))
    email: Mapped[str] = mapped_column(String(254))
    # What all spellings of the address have in common: see emails.email_key.
    email_key: Mapped[str] = mapped_column(Text)
    company: Mapped[str | None] = mapped_column(String(255))
    message: Mapped[str | None] = mapped_column(String(2000))
    source: Mapped[str | None] = mapped_column(String(100))
    created_at: Mapped[datetime] = mapped_column(UTCDateTime)
    status: Mapped[str] = mapped_column(String(20), server_default="new")
    # A JSON object of strings, kept as it is shown, so that showing it takes no parsing.
    attributes: Mapped[str] = mapped_column(Text, server_default="{}")
    # None until it is changed for the first time; what is shown then is the time it was created.
    updated_at: Mapped[datetime | None] = mapped_column(UTCDateTime)


class LeadCount(Base):
    """The kept totals of leads, so that a total costs the same for any number of leads.

    `counted` is '' for all leads, 'source:x' and 'status:x' for those with the source or status x. The
    numbers include leads up to the mark, whose id is in the row 'mark'; queries add the few leads after
    it. On PostgreSQL a total may have several rows, and is their sum. Triggers maintain the table: see
    migrations/count_triggers.py.
    """

    __tablename__ = "lead_counts"
    __table_args__ = (Index(None, "counted"), {"postgresql_with": {"fillfactor": 50}})

    slot: Mapped[int] = mapped_column(Identity, primary_key=True)
    counted: Mapped[str] = mapped_column(Text)
    number: Mapped[int] = mapped_column(BigInteger)


class Import(Base):
    """How far the import of a file has come, written with the rows that it brought.

    A row is there from the start of an import until its end. It says nothing about people.
    """

    __tablename__ = "imports"
    __table_args__ = (UniqueConstraint("fingerprint"),)

    id: Mapped[int] = mapped_column(Identity, primary_key=True)
    # What tells the same file, imported in the same way, from every other.
    fingerprint: Mapped[str] = mapped_column(String(64))
    started_at: Mapped[datetime] = mapped_column(UTCDateTime)
    # How many rows of the file are done, and what became of them.
    rows: Mapped[int] = mapped_column(BigInteger)
    stored: Mapped[int] = mapped_column(BigInteger)
    merged: Mapped[int] = mapped_column(BigInteger)
    ignored: Mapped[int] = mapped_column(BigInteger)
    refused: Mapped[int] = mapped_column(BigInteger)
    # How long the file of refused rows was then.
    refused_bytes: Mapped[int] = mapped_column(BigInteger)
