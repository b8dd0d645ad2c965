"""Backups of a SQLite database: one file each, complete and checked when it appears."""

import os
import re
import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from leadapi.storage import schema
from leadapi.storage.engines import database_file, db, is_in_memory
from leadapi.storage.erased import sync
from leadapi.storage.transactions import checkpoint, read

NAME = re.compile(r"leadapi-\d{8}T\d{6}Z\.db")
# How many instructions of SQLite's virtual machine lie between two calls of a progress handler: some milliseconds.
INSTRUCTIONS = 200_000

# Called now and then with the number of bytes that are done, and of all bytes.
Progress = Callable[[int, int], object]


class BackupUnsupported(Exception):
    """The database is not a SQLite file."""

    def __str__(self) -> str:
        if is_in_memory(db.engine):
            return "A database in memory has no backups."
        return "Use pg_dump and pg_restore for PostgreSQL, as leadapi/guide/operations.md describes."


class Damaged(Exception):
    """SQLite finds a fault in a file."""

    def __init__(self, path: Path, fault: str) -> None:
        # SQLite says first in which of the connected databases it is.
        super().__init__(f"{path} is damaged: {fault.splitlines()[-1].rstrip('.')}.")


def require_file() -> Path:
    """The path of the database.

    :raises BackupUnsupported: it is not a SQLite file.
    """
    path = database_file(db.engine)
    if path is None:
        raise BackupUnsupported
    return path


def back_up(folder: Path, *, keep: int | None, progress: Progress) -> Path:
    """Write a backup of the database as it is at this moment; return its path. The service goes on meanwhile.

    :param folder: is created if it is missing; its parent must exist.
    :param keep: how many backups may be in the folder afterwards; older ones are deleted. None keeps all.
    :raises BackupUnsupported: the database is not a SQLite file.
    :raises Damaged: the backup fails SQLite's check, because the database is damaged.
    :raises SchemaNotCurrent: there is nothing to back up.
    :raises KeyboardInterrupt: a signal arrived. No half file is left, as after any other error.
    """
    path = require_file()
    if schema.current() is None:
        raise schema.SchemaNotCurrent
    folder.mkdir(mode=0o700, exist_ok=True)
    backup = folder / f"leadapi-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.db"
    # The file is created with the mode 0600, and SQLite writes into an empty one.
    handle, name = tempfile.mkstemp(prefix=f".{backup.name}.", dir=folder)

    def tell() -> None:
        progress(os.fstat(handle).st_size, path.stat().st_size)

    try:
        with read() as connection:
            driver: Any = connection.connection.driver_connection
            run(driver, "VACUUM INTO ?", name, tick=tell)
        check(Path(name), shown_as=path, tick=tell)
        os.fsync(handle)
        Path(name).replace(backup)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    finally:
        os.close(handle)
        # An erasure during the backup may have left pages in SQLite's log that the backup was still using.
        checkpoint(db.engine)
    sync(folder)
    if keep is not None:
        _prune(folder, backup, keep)
    return backup


def check(path: Path, *, shown_as: Path, tick: Callable[[], object]) -> None:
    """Let SQLite check a whole database.

    :raises Damaged: it finds a fault.
    """
    try:
        with closing(sqlite3.connect(path)) as connection:
            [fault] = run(connection, "PRAGMA integrity_check(1)", tick=tick).fetchone()
    except sqlite3.DatabaseError as exc:
        fault = str(exc)
    if fault != "ok":
        raise Damaged(shown_as, fault)


def run(connection: sqlite3.Connection, statement: str, *parameters: str, tick: Callable[[], object]) -> sqlite3.Cursor:
    """Run a statement that takes long.

    :param tick: called now and then; a true result ends the statement.
    :raises KeyboardInterrupt: `tick` ended it, or a signal, whose exception SQLite swallows.
    """
    connection.set_progress_handler(tick, INSTRUCTIONS)  # type: ignore[arg-type]  # None is as good as 0
    try:
        return connection.execute(statement, parameters)
    except sqlite3.OperationalError as exc:
        if exc.sqlite_errorcode == sqlite3.SQLITE_INTERRUPT:
            raise KeyboardInterrupt from exc
        raise
    finally:
        connection.set_progress_handler(None, 0)


def _prune(folder: Path, newest: Path, keep: int) -> None:
    """Delete all backups but the newest `keep`. Names tell the order, unless the clock was set back."""
    older = sorted(file for file in folder.iterdir() if NAME.fullmatch(file.name) and file != newest)
    for file in older[: max(0, len(older) - keep + 1)]:
        file.unlink()
