"""The list of erased leads beside a SQLite file. A restore erases them again, because a backup still has them.

It contains ids only, one on each line, and only grows: the oldest backup may be the one that is restored.
"""

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Connection

from leadapi.storage.engines import database_file, db
from leadapi.storage.write_queue import WriteLockUnavailable


def list_beside(database: Path) -> Path:
    """The path of the list."""
    return database.with_name(f"{database.name}.erased")


def note_erased(tx: Connection, lead_ids: Sequence[int]) -> None:
    """Append ids to the list and sync it to the disk. Call it last in the transaction that erases them.

    If the commit fails after that, the list has an id too many, which a restore ignores. PostgreSQL has no such list.

    :raises WriteLockUnavailable: the list cannot be written, so the transaction must not be committed.
    """
    database = database_file(tx.engine)
    if database is None:
        return
    path = list_beside(database)
    try:
        handle = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(handle, "ab") as file:
            size = os.fstat(handle).st_size
            if size and os.pread(handle, 1, size - 1) != b"\n":
                # A crash has cut off the last line. Its beginning could be the id of somebody else.
                file.write(b"?\n")
            file.write("".join(f"{lead_id}\n" for lead_id in lead_ids).encode())
            file.flush()
            os.fsync(handle)
        if not size:
            sync(path.parent)
    except OSError as exc:
        raise WriteLockUnavailable(f"{path}: {exc.strerror}") from exc


def read_erased(database: Path) -> set[int]:
    """The ids on the list."""
    try:
        lines = list_beside(database).read_bytes().splitlines(keepends=True)
    except FileNotFoundError:
        return set()
    # A last line without an end was cut off by a crash before the commit.
    return {int(line) for line in lines if line.endswith(b"\n") and line.strip().isdigit()}


def last_erasure() -> datetime | None:
    """When an id was added to the list of the app's database for the last time; None if there is no list."""
    database = database_file(db.engine)
    if database is None:
        return None
    try:
        return datetime.fromtimestamp(list_beside(database).stat().st_mtime, UTC)
    except FileNotFoundError:
        return None


def sync(folder: Path) -> None:
    """Make the names in a folder durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
