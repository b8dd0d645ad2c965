"""The tables of answers stored for idempotency keys."""

from sqlalchemy import BigInteger, ForeignKey, Integer, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from leadapi.storage import Base


class IdempotencyRecord(Base):
    """The first answer to a request with an Idempotency-Key; repeats of the request get the same answer.

    The row is written in the transaction of the request's own changes, so both are committed or neither is.
    A committed row always has its answer.
    """

    __tablename__ = "idempotency_records"

    # SHA-256 of caller and key. The key itself is not stored, because clients may derive it from personal data.
    key_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    # SHA-256 of method, path and content of the request.
    fingerprint: Mapped[str] = mapped_column(String(64))
    # Unix time.
    expires_at: Mapped[int] = mapped_column(BigInteger, index=True)
    status: Mapped[int | None] = mapped_column(Integer)
    # A JSON list of pairs.
    headers: Mapped[str | None] = mapped_column(Text)
    body: Mapped[str | None] = mapped_column(Text)
    # The only lead that the answer shows, so that an erasure of the lead finds the answer.
    lead_id: Mapped[int | None] = mapped_column(BigInteger, index=True)


class IdempotencyLead(Base):
    """One of several leads that an answer shows."""

    __tablename__ = "idempotency_leads"

    lead_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    key_hash: Mapped[str] = mapped_column(
        ForeignKey("idempotency_records.key_hash", ondelete="CASCADE"), primary_key=True, index=True
    )
