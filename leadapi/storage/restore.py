"""Replace a SQLite database by a copy, as a whole or not at all, while nobody else has it open."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

from sqlalchemy import Engine, create_engine

from leadapi.storage.backup import Progress
from leadapi.storage.engines import db, prepare_sqlite

# How many pages are copied between two calls of a progress function.
PAGES = 4096


class DatabaseInUse(Exception):
    """Another process has the database open."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"Another process uses {path}. Stop the service and its commands, then run this one again.")


@contextmanager
def exclusive(path: Path) -> Iterator[sqlite3.Connection]:
    """The database, which no other process can open until the block ends.

    Files that are no database any more are renamed, so that an empty one takes their place.

    :raises DatabaseInUse: another process has it open.
    """
    # The connections of this process are not to count as others.
    db.engine.dispose()
    try:
        connection = open_exclusively(path)
    except sqlite3.DatabaseError as exc:
        if isinstance(exc, sqlite3.OperationalError):
            raise
        # The database itself goes last: SQLite would apply a log that is left alone to another database.
        for suffix in ("-wal", "-shm", "-journal", ""):
            with suppress(FileNotFoundError):
                Path(f"{path}{suffix}").rename(f"{path}.damaged{suffix}")
        connection = open_exclusively(path)
    with closing(connection):
        yield connection


def open_exclusively(path: Path) -> sqlite3.Connection:
    """Open a database that no other process can open until the connection is closed.

    :raises DatabaseInUse: another process has it open.
    """
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    connection = sqlite3.connect(path, timeout=0, isolation_level=None)
    try:
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        # Fails if another connection to the database is open, even an idle one.
        connection.execute("PRAGMA journal_mode = DELETE")
        connection.execute("BEGIN EXCLUSIVE")
        connection.execute("COMMIT")
    except sqlite3.DatabaseError as exc:
        connection.close()
        if exc.sqlite_errorcode in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise DatabaseInUse(path) from exc
        raise
    return connection


def copy_into(target: sqlite3.Connection, source: Path, progress: Progress) -> None:
    """Replace the content of a database by that of a file that nobody uses.

    It is one transaction: after an interruption or a crash, the target has its old content.
    """
    with closing(sqlite3.connect(f"file:{quote(str(source.absolute()))}?mode=ro", uri=True)) as connection:
        connection.backup(target, pages=PAGES, progress=lambda _status, rest, pages: progress(pages - rest, pages))


@contextmanager
def engine_of(path: Path) -> Iterator[Engine]:
    """An engine for a database other than that of the app."""
    engine = create_engine(db.engine.url.set(database=str(path)), hide_parameters=True)
    prepare_sqlite(engine)
    try:
        yield engine
    finally:
        engine.dispose()
