"""The table of keys."""

from datetime import datetime

from sqlalchemy import LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from leadapi.storage import Base, UTCDateTime


class ApiKey(Base):
    """A key: its holder has the scopes, until the key expires or is revoked."""

    __tablename__ = "api_keys"

    # The public part of the key.
    id: Mapped[str] = mapped_column(String(12), primary_key=True)
    name: Mapped[str] = mapped_column(String(100))
    # SHA-256 of the secret, which is not stored.
    secret_hash: Mapped[bytes] = mapped_column(LargeBinary)
    # Names, separated by spaces.
    scopes: Mapped[str] = mapped_column(String(100))
    created_at: Mapped[datetime] = mapped_column(UTCDateTime)
    expires_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    revoked_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    last_used_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
