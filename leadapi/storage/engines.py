"""The engine of an app: set-up for SQLite and PostgreSQL."""

import os
import select
import sqlite3
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import Connection, Engine, event
from sqlalchemy.exc import InvalidatePoolError
from sqlalchemy.pool import ConnectionPoolEntry, QueuePool

from leadapi.config import IN_MEMORY, Settings
from leadapi.storage.types import Base
from leadapi.storage.write_queue import WriteQueue

if TYPE_CHECKING:
    import psycopg

# How long a request may wait for a connection, a lock or a statement before it is answered with 503.
WAIT_SECONDS = 5
# How long connecting may take, and how much longer than a statement may run PostgreSQL's answer may take. A request
# that has to wait for both gives up within 8 seconds.
CONNECT_SECONDS = 2
GRACE_SECONDS = 0.5

db = SQLAlchemy(model_class=Base)


def init_app(app: Flask, settings: Settings) -> None:
    """Give the app its engine. No connection is opened yet."""
    url = settings.database_url
    # Keep personal data out of tracebacks.
    options: dict[str, Any] = {"hide_parameters": True}
    if url.database not in IN_MEMORY:
        options |= {
            "poolclass": QueuePool,
            # One for each thread that answers requests, and one for a dispatcher of deliveries.
            "pool_size": settings.threads + 1,
            "max_overflow": 0,
            "pool_timeout": WAIT_SECONDS,
        }
    if url.get_backend_name() == "sqlite":
        options["connect_args"] = {"timeout": WAIT_SECONDS, "check_same_thread": False}
    else:
        options |= postgresql_options()
    # Of two threads, one runs and one takes over while a request is held up. Calls to a distant PostgreSQL wait for the
    # network, so that more are of use.
    app.config["THREADS_AT_ONCE"] = 1 if url.get_backend_name() == "sqlite" else max(1, settings.threads - 1)
    app.config["SQLALCHEMY_DATABASE_URI"] = url
    app.config["SQLALCHEMY_ENGINE_OPTIONS"] = options
    db.init_app(app)
    with app.app_context():
        if db.engine.dialect.name == "sqlite":
            prepare_sqlite(db.engine)
        else:
            prepare_postgresql(db.engine)


@contextmanager
def without_limits(tx: Connection) -> Iterator[None]:
    """Let statements of a transaction on PostgreSQL take as long as they need."""
    tx.exec_driver_sql("SET LOCAL statement_timeout = 0")
    tx.exec_driver_sql("SET LOCAL lock_timeout = 0")
    driver: Any = tx.connection.driver_connection
    limit, driver.answer_seconds = driver.answer_seconds, None
    try:
        yield
    finally:
        driver.answer_seconds = limit


def is_in_memory(engine: Engine) -> bool:
    """Whether the database is SQLite in memory, which all threads reach by one connection."""
    return engine.dialect.name == "sqlite" and engine.url.database in IN_MEMORY


def database_file(engine: Engine) -> Path | None:
    """The file of a SQLite database; None for one in memory and for PostgreSQL."""
    if engine.dialect.name != "sqlite" or is_in_memory(engine):
        return None
    return Path(str(engine.url.database))


def prepare_sqlite(engine: Engine) -> None:
    """Make SQLite durable and strict."""
    queue = WriteQueue(None if is_in_memory(engine) else f"{engine.url.database}.lock")

    if not is_in_memory(engine):
        _keep_files_private(engine)

    @event.listens_for(engine, "connect")
    def connect(connection: sqlite3.Connection, record: ConnectionPoolEntry) -> None:
        # Read by transactions.py.
        record.info["write_queue"] = queue
        # The driver's own transactions begin too late and lose updates; transactions.write begins them.
        connection.isolation_level = None
        # NORMAL may lose acknowledged commits when the power fails.
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        # 8 MiB: an insert changes a page of every index, and SQLite's default keeps only 2 MiB of pages.
        connection.execute("PRAGMA cache_size = -8192")
        # Deleted rows are overwritten with zeros: an erasure must leave nothing in the pages of the table.
        connection.execute("PRAGMA secure_delete = ON")
        if connection.execute("PRAGMA journal_mode").fetchone() == ("delete",):
            # Workers that start together on a new file must not all switch its mode.
            with queue.turn(WAIT_SECONDS):
                connection.execute("PRAGMA journal_mode = WAL")


def _keep_files_private(engine: Engine) -> None:
    """Let nobody but the owner open the database and the files beside it, whatever the umask."""
    path = str(engine.url.database)
    creating = threading.Lock()

    @event.listens_for(engine, "do_connect")
    def do_connect(*_arguments: Any) -> None:
        # SQLite gives its log and its shared memory the mode of the database. The file is opened only if it is new:
        # closing a file releases the locks that other connections of this process have on it.
        with creating, suppress(OSError):
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        # Files of earlier versions.
        for file in (Path(f"{path}{suffix}") for suffix in ("", "-wal", "-shm", ".lock")):
            with suppress(OSError):
                status = file.stat()
                if status.st_uid == os.geteuid() and stat.S_IMODE(status.st_mode) & 0o077:
                    file.chmod(0o600)


def leave_autocommit(connection: Connection) -> None:
    """Let several statements share a transaction, until the connection is returned to the pool.

    On SQLite, a statement begins the transaction instead: see `transactions.begin_write`.
    """
    if connection.dialect.name == "postgresql":
        connection.execution_options(isolation_level="READ COMMITTED")


def postgresql_options() -> dict[str, Any]:
    """The options of an engine for PostgreSQL."""
    return {
        "connect_args": {
            "connect_timeout": CONNECT_SECONDS,
            "tcp_user_timeout": WAIT_SECONDS * 1000,
            "options": f"-c statement_timeout={WAIT_SECONDS}s -c lock_timeout={WAIT_SECONDS - 1}s"
            " -c idle_in_transaction_session_timeout=60s -c timezone=UTC",
        },
        # A single statement is a transaction by itself: it needs no BEGIN, no COMMIT and no ROLLBACK.
        "isolation_level": "AUTOCOMMIT",
        "skip_autocommit_rollback": True,
    }


def prepare_postgresql(engine: Engine) -> None:
    """Limit how long a connection waits, and replace broken connections without a ping."""

    @event.listens_for(engine, "do_connect")
    def do_connect(_dialect: Any, _record: Any, arguments: Any, parameters: dict[str, Any]) -> Any:
        from leadapi.storage.postgresql import PostgresConnection  # noqa: PLC0415  # the driver takes 40 ms to load

        connection = PostgresConnection.connect(*arguments, **parameters)
        connection.answer_seconds = WAIT_SECONDS + GRACE_SECONDS
        return connection

    @event.listens_for(engine, "checkout")
    def checkout(connection: "psycopg.Connection[Any]", _record: Any, _proxy: Any) -> None:
        # An idle connection has something to read only if the server has ended it. Polling the socket costs a
        # microsecond, a ping costs a round trip.
        readable = select.poll()
        readable.register(connection.fileno(), select.POLLIN)
        if connection.closed or readable.poll(0):
            raise InvalidatePoolError
