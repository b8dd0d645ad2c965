"""The tables of leads."""

from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey, Index, String, Text, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from leadapi.storage import Base, Identity, UTCDateTime

# The roles of a field, as keys of Column.info; every list of fields derives from them.
# shown: clients see it; sent: a sender may give it; merged: a repeat may overwrite it; imported: a file may give it;
# searched: the parameter `q` of lists looks into it.
_SENT = {"shown": True, "sent": True, "merged": True, "imported": True}
_SEARCHED = _SENT | {"searched": True}
_STATE = {"shown": True, "merged": True, "imported": True}
_TIME = {"shown": True, "imported": True}


class Lead(Base):
    """A person's enquiry. Clients see the fields in the order in which they are declared here."""

    __tablename__ = "leads"
    __table_args__ = (
        UniqueConstraint("email_key"),
        # Each serves the pages of one filter in the order of the ids; the first one also counts a source with a status.
        Index(None, "source", "id", "status"),
        Index(None, "status", "id"),
        Index(None, "created_at", "id"),
        # The time of the last change as clients see it.
        Index(
            "ix_leads_changed_at_id",
            text("coalesce(updated_at, created_at)"),
            "id",
            # PostgreSQL reads an index alone only if it has all columns that the statement names.
            postgresql_include=["updated_at", "created_at"],
        ),
        # SQLite must not reuse an id either, so that a link to an erased lead never shows another lead.
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(Identity, primary_key=True, info={"shown": True})
    full_name: Mapped[str] = mapped_column(String(255), info=_SEARCHED)
    email: Mapped[str] = mapped_column(String(254), info=_SEARCHED)
    # What all spellings of the address have in common: see emails.email_key.
    email_key: Mapped[str] = mapped_column(Text)
    company: Mapped[str | None] = mapped_column(String(255), info=_SEARCHED)
    message: Mapped[str | None] = mapped_column(String(2000), info=_SEARCHED)
    source: Mapped[str | None] = mapped_column(String(100), info=_SENT)
    created_at: Mapped[datetime] = mapped_column(UTCDateTime, info=_TIME)
    status: Mapped[str] = mapped_column(String(20), server_default="new", info=_STATE)
    # A JSON object of strings.
    attributes: Mapped[str] = mapped_column(Text, server_default="{}", info=_SEARCHED)
    # Null until the lead is changed for the first time; clients then see created_at.
    updated_at: Mapped[datetime | None] = mapped_column(UTCDateTime, info=_TIME)


def _fields(role: str) -> tuple[str, ...]:
    return tuple(column.name for column in Lead.metadata.tables["leads"].columns if role in column.info)


SHOWN = _fields("shown")
SENT = _fields("sent")
MERGED = _fields("merged")
IMPORTED = _fields("imported")
SEARCHED = _fields("searched")


class LeadSearch(Base):
    """The text in which a lead is searched: see search.py. Apart from the leads, so that the rows of lists stay short.

    On PostgreSQL with the extension pg_trgm, a migration adds an index to the text.
    """

    __tablename__ = "lead_search"

    lead_id: Mapped[int] = mapped_column(
        Identity, ForeignKey("leads.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    search_text: Mapped[str] = mapped_column(Text)


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
    """The progress of an import, written in the transactions that store the leads of the file.

    A row exists from the start of an import until its end. It says nothing about people.
    """

    __tablename__ = "imports"
    __table_args__ = (UniqueConstraint("fingerprint"),)

    id: Mapped[int] = mapped_column(Identity, primary_key=True)
    # A digest of the content of the file and the options of the import.
    fingerprint: Mapped[str] = mapped_column(String(64))
    started_at: Mapped[datetime] = mapped_column(UTCDateTime)
    # Numbers of rows.
    rows: Mapped[int] = mapped_column(BigInteger)
    stored: Mapped[int] = mapped_column(BigInteger)
    merged: Mapped[int] = mapped_column(BigInteger)
    ignored: Mapped[int] = mapped_column(BigInteger)
    refused: Mapped[int] = mapped_column(BigInteger)
    # The length of the file of refused rows.
    refused_bytes: Mapped[int] = mapped_column(BigInteger)
