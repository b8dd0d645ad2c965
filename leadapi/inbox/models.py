"""The table of sessions."""

from datetime import datetime

from sqlalchemy import LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from leadapi.storage import Base, UTCDateTime


class InboxSession(Base):
    """A browser that has logged in with an API key. It has the scopes of the key, and ends with it."""

    __tablename__ = "inbox_sessions"

    # The SHA-256 of the token in the cookie.
    token_hash: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    key_id: Mapped[str] = mapped_column(String(12))
    created_at: Mapped[datetime] = mapped_column(UTCDateTime)
    expires_at: Mapped[datetime] = mapped_column(UTCDateTime)
