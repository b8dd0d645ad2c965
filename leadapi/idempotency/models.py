"""The tables of answers that are kept."""

from sqlalchemy import BigInteger, ForeignKey, Integer, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from leadapi.storage import Base


class IdempotencyRecord(Base):
    """The first answer to an Idempotency-Key, given again to whoever sends the same request with it.

    It is written in the transaction that did what was asked for, so either both are there or
    neither. Who sees the row sees the answer: without one it is never committed.
    """

    __tablename__ = "idempotency_records"

    # SHA-256 of caller and key: a key may have been made from what it is about.
    key_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    # SHA-256 of what was asked for.
    fingerprint: Mapped[str] = mapped_column(String(64))
    # In seconds since 1970.
    expires_at: Mapped[int] = mapped_column(BigInteger, index=True)
    status: Mapped[int | None] = mapped_column(Integer)
    # A list of pairs, in JSON.
    headers: Mapped[str | None] = mapped_column(Text)
    body: Mapped[str | None] = mapped_column(Text)
    # The lead in the answer, so that it can be erased there, too.
    lead_id: Mapped[int | None] = mapped_column(BigInteger, index=True)


class IdempotencyLead(Base):
    """One of the leads in an answer that has several."""

    __tablename__ = "idempotency_leads"

    lead_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    key_hash: Mapped[str] = mapped_column(
        ForeignKey("idempotency_records.key_hash", ondelete="CASCADE"), primary_key=True, index=True
    )
