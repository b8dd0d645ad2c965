"""The table of jobs, which one process at a time does."""

from datetime import datetime

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from leadapi.storage import Base, UTCDateTime


class Job(Base):
    """A job that is done again and again: who does it now, and when it was done."""

    __tablename__ = "jobs"

    name: Mapped[str] = mapped_column(String(20), primary_key=True)
    # The token of the process that does it, and until when no other one may begin; null while nobody does it.
    lease: Mapped[str | None] = mapped_column(String(32))
    leased_until: Mapped[datetime | None] = mapped_column(UTCDateTime)
    # When the last run that was completed had begun.
    done_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
