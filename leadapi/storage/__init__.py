"""The database: engines, transactions, column types, and the version of the schema."""

from leadapi.storage.engines import db
from leadapi.storage.erased import note_erased
from leadapi.storage.transactions import (
    UNAVAILABLE,
    DatabaseUnavailable,
    StreamsBusy,
    Transaction,
    checkpoint,
    now,
    plan_for_values,
    read,
    retries_deadlocks,
    stream,
    violated,
    write,
)
from leadapi.storage.types import Base, Identity, UTCDateTime
from leadapi.storage.write_queue import WriteLockUnavailable

__all__ = [
    "UNAVAILABLE",
    "Base",
    "DatabaseUnavailable",
    "Identity",
    "StreamsBusy",
    "Transaction",
    "UTCDateTime",
    "WriteLockUnavailable",
    "checkpoint",
    "db",
    "note_erased",
    "now",
    "plan_for_values",
    "read",
    "retries_deadlocks",
    "stream",
    "violated",
    "write",
]
