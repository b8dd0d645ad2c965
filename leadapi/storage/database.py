"""The database: engine set-up for SQLite and PostgreSQL, write transactions, column types."""

import logging
import math
import select
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

import psycopg
from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from flask_sqlalchemy.session import Session
from sqlalchemy import BigInteger, Connection, DateTime, Dialect, Engine, Integer, MetaData, UniqueConstraint, event
from sqlalchemy.exc import DBAPIError, IntegrityError, InvalidatePoolError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection, QueuePool
from sqlalchemy.types import TypeDecorator

from leadapi.config import IN_MEMORY, Settings
from leadapi.storage.write_queue import WriteLock, WriteLockUnavailable

# How long a request may wait for a connection, a lock or a statement before it is answered 503.
WAIT_SECONDS = 5
# How long an erasure holds up other writers of SQLite, waiting for readers of old pages.
SCRUB_SECONDS = 0.2

logger = logging.getLogger(__name__)


class Base(DeclarativeBase):
    """The models' base. Every constraint has a name, so that migrations and errors can use it."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


# The connection with the transaction that all writing belongs to for now: see `one_transaction`.
joined: ContextVar[Connection | None] = ContextVar("joined", default=None)


class JoiningSession(Session):
    """A session that takes part in `one_transaction`: there its commits and rollbacks are those of savepoints."""

    def get_bind(self, *args: Any, **kwargs: Any) -> Engine | Connection:
        """Where statements go."""
        return joined.get() or super().get_bind(*args, **kwargs)


db = SQLAlchemy(
    model_class=Base, session_options={"class_": JoiningSession, "join_transaction_mode": "create_savepoint"}
)


# An id. SQLite counts by itself only what it calls an INTEGER, which has as many bits there.
Identity = BigInteger().with_variant(Integer, "sqlite")


class UTCDateTime(TypeDecorator[datetime]):
    """An aware datetime in UTC, the same on every database.

    SQLite has no zones: its driver would store 12:00+05:00 as 12:00 and give it back naive.
    """

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a datetime without a zone names no instant")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def now() -> datetime:
    """The time to the second, which is what is shown: a time that was read can be compared with one stored."""
    return datetime.now(UTC).replace(microsecond=0)


def init_app(app: Flask, settings: Settings) -> None:
    """Give the app its engine. No connection is opened yet."""
    url = settings.database_url
    # Without the first, a traceback shows what people wrote.
    options: dict[str, Any] = {"hide_parameters": True}
    if url.database not in IN_MEMORY:
        options |= {
            "poolclass": QueuePool,
            "pool_size": settings.threads,
            "max_overflow": 0,
            "pool_timeout": WAIT_SECONDS,
        }
    if url.get_backend_name() == "sqlite":
        options["connect_args"] = {"timeout": WAIT_SECONDS, "check_same_thread": False}
    else:
        options["connect_args"] = {
            "connect_timeout": WAIT_SECONDS - 1,
            "tcp_user_timeout": WAIT_SECONDS * 1000,
            "options": f"-c statement_timeout={WAIT_SECONDS}s -c lock_timeout={WAIT_SECONDS - 1}s"
            " -c idle_in_transaction_session_timeout=60s -c timezone=UTC",
        }
    # SQLite is a part of this process, and Python does one thing at a time; to wait for PostgreSQL is nothing to do.
    app.config["THREADS_AT_ONCE"] = 1 if url.get_backend_name() == "sqlite" else settings.threads
    app.config["SQLALCHEMY_DATABASE_URI"] = url
    app.config["SQLALCHEMY_ENGINE_OPTIONS"] = options
    db.init_app(app)
    with app.app_context():
        if db.engine.dialect.name == "sqlite":
            _prepare_sqlite(db.engine)
        else:
            _prepare_postgresql(db.engine)


def begin_write() -> None:
    """Start the session's transaction as a writing one. Call it before the first statement.

    SQLite lets one connection write at a time, and a transaction that began by reading cannot
    always become a writing one, so a writer says so at its beginning and queues here. It costs
    PostgreSQL nothing.

    :raises leadapi.storage.write_queue.WriteLockUnavailable: others have been writing for too long.
    """
    db.session.connection(execution_options={"writes": True})


@contextmanager
def one_transaction() -> Iterator[None]:
    """Let all that services write in this block be one transaction, which commits at its end.

    They need not know: what they commit is kept if all is kept. The session must not have been
    used before. An exception that leaves the block undoes everything.

    :raises leadapi.storage.write_queue.WriteLockUnavailable: others have been writing for too long.
    """
    with db.engine.connect().execution_options(writes=True) as connection, connection.begin():
        token = joined.set(connection)
        try:
            yield
        finally:
            if db.session.registry.has():
                db.session.close()
            joined.reset(token)


def scrub(engine: Engine) -> None:
    """Leave no copy of what was deleted beside the database: SQLite's log (WAL) has pages as they were.

    Call it after the commit, which it cannot undo: it raises nothing. A reader that is still at an
    old page is left alone, and so is who has been writing for too long: then the log says so, and the
    next call does it, which is at the end of an export, or at the next erasure or start.
    """
    if engine.dialect.name != "sqlite" or engine.url.database in IN_MEMORY:
        return
    try:
        with driver_errors(None, engine.dialect), closing(engine.raw_connection()) as connection:
            # No two connections may be at the log at once. The lock is freed when the connection goes back.
            connection.info["write_lock"] = connection.info["write_queue"].acquire(time.monotonic() + WAIT_SECONDS)
            driver: Any = connection.driver_connection
            _let_wait(connection, SCRUB_SECONDS)
            busy, _, _ = driver.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    except (OperationalError, PoolTimeout, WriteLockUnavailable):
        busy = True
    if busy:
        logger.warning("database.wal_still_read")


def begin_sqlite_write(connection: PoolProxiedConnection, dialect: Dialect, patience: float = WAIT_SECONDS) -> None:
    """Queue for writing, and begin; the queue moves on when the connection goes back to the pool.

    :param patience: how many seconds to wait at most.
    :raises leadapi.storage.write_queue.WriteLockUnavailable: others have been writing for too long.
    """
    deadline = time.monotonic() + patience
    connection.info["write_lock"] = connection.info["write_queue"].acquire(deadline)
    driver: Any = connection.driver_connection
    with driver_errors(connection, dialect):
        # Only a foreign program can hold the database now. It gets what is left of the time.
        _let_wait(connection, max(0, math.ceil(deadline - time.monotonic())))
        driver.execute("BEGIN IMMEDIATE")


def _let_wait(connection: PoolProxiedConnection, seconds: float) -> None:
    """Set how long SQLite waits for other programs."""
    if connection.info.get("busy_seconds") != seconds:
        driver: Any = connection.driver_connection
        driver.execute(f"PRAGMA busy_timeout = {int(seconds * 1000)}")
        connection.info["busy_seconds"] = seconds


@contextmanager
def driver_errors(connection: PoolProxiedConnection | None, dialect: Dialect) -> Iterator[None]:
    """Let the driver's errors appear as SQLAlchemy's, and a connection that is lost be replaced.

    :param connection: None where there is none yet.
    :raises sqlalchemy.exc.DBAPIError: what SQLAlchemy would have raised.
    """
    try:
        yield
    except dialect.loaded_dbapi.Error as exc:
        lost = connection is not None and dialect.is_disconnect(exc, connection, None)
        if connection is not None and lost:
            connection.invalidate(exc)
        raise DBAPIError.instance(
            None, None, exc, dialect.loaded_dbapi.Error, hide_parameters=True, connection_invalidated=lost
        ) from exc


def violated(exc: IntegrityError) -> str | None:
    """The name of the constraint that refused a statement, or None where it cannot be told."""
    diagnostics = getattr(exc.orig, "diag", None)
    if diagnostics is not None:
        name: str | None = diagnostics.constraint_name
        return name
    # SQLite names the columns: "UNIQUE constraint failed: leads.email_key"
    _, _, columns = str(exc.orig).partition("UNIQUE constraint failed: ")
    table = db.metadata.tables.get(columns.partition(".")[0])
    for constraint in table.constraints if table is not None else ():
        if not isinstance(constraint, UniqueConstraint):
            continue
        if columns == ", ".join(f"{table}.{column.name}" for column in constraint.columns):
            return str(constraint.name)
    return None


def _prepare_sqlite(engine: Engine) -> None:
    """Make SQLite durable, strict and fair to many writers."""
    in_memory = engine.url.database in IN_MEMORY
    lock = WriteLock(None if in_memory else f"{engine.url.database}.lock")

    @event.listens_for(engine, "connect")
    def connect(connection: sqlite3.Connection, record: ConnectionPoolEntry) -> None:
        record.info["write_queue"] = lock
        # The driver's own transactions begin too late and lose updates; `begin` below starts them.
        connection.isolation_level = None
        # NORMAL may lose what was already acknowledged when the power fails.
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        # What is deleted is overwritten with zeros, because a person's erasure is a promise.
        connection.execute("PRAGMA secure_delete = ON")
        if connection.execute("PRAGMA journal_mode").fetchone() == ("delete",):
            # Workers that start together on a new file must not all switch its mode.
            release = lock.acquire(time.monotonic() + WAIT_SECONDS)
            try:
                connection.execute("PRAGMA journal_mode = WAL")
            finally:
                release()

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # A database in memory is one connection, so even readers take turns.
        if not in_memory and not connection.get_execution_options().get("writes"):
            # Straight to the driver, because this cannot fail and SQLAlchemy's way costs more than the statement.
            driver: Any = connection.connection.driver_connection
            driver.execute("BEGIN")
            return
        patience = connection.get_execution_options().get("patience", WAIT_SECONDS)
        begin_sqlite_write(connection.connection, connection.dialect, patience)

    @event.listens_for(engine, "checkin")
    def checkin(_connection: sqlite3.Connection | None, record: ConnectionPoolEntry) -> None:
        release = record.info.pop("write_lock", None)
        if release is not None:
            release()


def _prepare_postgresql(engine: Engine) -> None:
    """Spare PostgreSQL what a single statement does not need: BEGIN, ROLLBACK and a ping before it."""

    @event.listens_for(engine, "connect")
    def connect(connection: psycopg.Connection[Any], _record: ConnectionPoolEntry) -> None:
        # The driver would begin a transaction before every statement; `begin` below does where one is wanted.
        connection.autocommit = True

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        driver: Any = connection.connection.driver_connection
        with driver_errors(connection.connection, connection.dialect):
            driver.execute("BEGIN")

    @event.listens_for(engine, "checkout")
    def checkout(connection: psycopg.Connection[Any], _record: Any, _proxy: Any) -> None:
        # A server that nobody has asked anything says something only when it ends the connection.
        # To look costs a microsecond; to ask whether it is there would cost a round trip.
        heard = select.poll()
        heard.register(connection.fileno(), select.POLLIN)
        if connection.closed or heard.poll(0):
            raise InvalidatePoolError
