"""Connections for reading and transactions for writing: every statement runs on one of these.

Both give a SQLAlchemy connection, which is passed as an argument to the services that take part.
"""

import logging
import math
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from datetime import UTC, datetime
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from flask import Flask, current_app
from sqlalchemy import Connection, Engine, UniqueConstraint
from sqlalchemy.exc import IntegrityError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from leadapi.config import Settings
from leadapi.storage import engines
from leadapi.storage.engines import db, is_in_memory, leave_autocommit
from leadapi.storage.write_queue import WriteLockUnavailable, WriteQueue

# How long a checkpoint holds up other writers of SQLite while it waits for readers of old pages.
CHECKPOINT_SECONDS = 0.2
# How long a request waits for the write lock while the last request did not get it. It may have waited for a thread.
PROBE_SECONDS = 2
# How often a transaction is tried in which PostgreSQL found a deadlock.
ATTEMPTS = 5
DEADLOCK_DETECTED = "40P01"

# The database cannot be reached. A client may repeat its request soon.
UNREACHABLE = (OperationalError, InterfaceError, PoolTimeout)

# A connection in an open transaction.
Transaction = Connection

logger = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")


class DatabaseUnavailable(Exception):
    """The database did not answer the last request that tried it, and another request is trying it now."""

    def __init__(self) -> None:
        super().__init__("the database did not answer, and another request is trying it")


# The database cannot answer now, whatever is asked.
UNAVAILABLE = (*UNREACHABLE, DatabaseUnavailable, WriteLockUnavailable)


class StreamsBusy(Exception):
    """As many streams are open as this process may have at a time."""

    def __str__(self) -> str:
        return "Too many exports are running; try again when one has ended."


class Breaker:
    """Keeps an unreachable database from holding all threads, each for as long as one may wait for it.

    `is_open` says that the database did not answer when it was tried last.
    """

    def __init__(self) -> None:
        self.is_open = False
        self._probe = threading.Lock()

    def call(self, function: Callable[[], T], failures: tuple[type[Exception], ...]) -> T:
        """Call the function. After it raised one of `failures`, one thread at a time calls it until it succeeds.

        :raises DatabaseUnavailable: the last call failed, and another thread is calling it.
        """
        is_probe = self.is_open
        if is_probe and not self._probe.acquire(blocking=False):
            raise DatabaseUnavailable
        try:
            result = function()
        except failures:
            self.is_open = True
            raise
        else:
            self.is_open = False
            return result
        finally:
            if is_probe:
                self._probe.release()


def init_app(app: Flask, settings: Settings) -> None:
    """Give the app its breakers, one for connecting and one for SQLite's write lock, and its number of streams."""
    app.extensions["breakers"] = {"connect": Breaker(), "write": Breaker()}
    # Called after each commit of `write`. A feature may replace it with something as quick.
    app.extensions["after_commit"] = wake_nobody
    # All threads share the connection to a database in memory. They take turns, because the pool rolls back when one
    # returns it.
    with app.app_context():
        app.extensions["only_connection"] = WriteQueue(None) if is_in_memory(db.engine) else None
    # A stream holds a thread and a connection for as long as its client reads. One of each is left for other requests.
    app.extensions["streams"] = threading.BoundedSemaphore(max(1, settings.threads - 1))


def wake_nobody() -> None:
    """Do nothing after a commit: in this process, nobody waits for one."""


def now() -> datetime:
    """The current time to the second, the precision that clients see."""
    return datetime.now(UTC).replace(microsecond=0)


@contextmanager
def read() -> Iterator[Connection]:
    """A connection for statements that read. Each statement sees the database as it is when the statement starts.

    :raises DatabaseUnavailable: the database did not answer a moment ago.
    """
    extensions = current_app.extensions
    only_connection: WriteQueue | None = extensions["only_connection"]
    with only_connection.turn(engines.WAIT_SECONDS) if only_connection else nullcontext():
        breaker: Breaker = extensions["breakers"]["connect"]
        with breaker.call(db.engine.connect, UNREACHABLE) as connection:
            try:
                yield connection
            except UNREACHABLE:
                if connection.invalidated:
                    breaker.is_open = True
                raise


def plan_for_values(connection: Connection) -> None:
    """Let PostgreSQL plan each statement for the values of its parameters, until the connection is returned.

    Otherwise it uses one plan for all values once a statement has been run some times.
    """
    if connection.dialect.name == "postgresql":
        leave_autocommit(connection)
        connection.exec_driver_sql("SET LOCAL plan_cache_mode = force_custom_plan")


@contextmanager
def stream(rows: int) -> Iterator[Connection]:
    """A connection whose results are read in pieces of so many rows, from one snapshot and in constant memory.

    It may be closed outside of the app context, and in another thread.

    :raises StreamsBusy: too many streams are open.
    """
    streams: threading.Semaphore = current_app.extensions["streams"]
    if not streams.acquire(blocking=False):
        raise StreamsBusy
    try:
        with read() as connection:
            leave_autocommit(connection)
            yield connection.execution_options(yield_per=rows)
    finally:
        streams.release()


@contextmanager
def write(
    within: Connection | None = None,
    *,
    patience: float | None = None,
    one_statement: bool = False,
    asynchronous: bool = False,
) -> Iterator[Connection]:
    """A transaction that commits at the end of the block, and rolls back if the block raises.

    SQLite lets one connection write at a time, and a transaction that began by reading cannot always become a
    writing one. So the transaction queues for the write lock and begins as a writing one.

    :param within: an open transaction to take part in instead; its owner commits it.
    :param patience: how many seconds to wait for the write lock at most, instead of as long as a request may wait.
    :param one_statement: whether the block writes by a single statement on PostgreSQL. It is committed when it has run,
        which saves two round trips.
    :param asynchronous: whether PostgreSQL commits without waiting for the disk. The transaction is lost if the machine
        crashes within a second (https://www.postgresql.org/docs/current/wal-async-commit.html).
    :raises WriteLockUnavailable: others have been writing for too long.
    :raises DatabaseUnavailable: the database did not answer a moment ago.
    """
    if within is not None:
        yield within
        return
    with read() as connection:
        if one_statement and connection.dialect.name == "postgresql":
            yield connection
        else:
            with begin_write(connection, patience=patience):
                if asynchronous and connection.dialect.name == "postgresql":
                    connection.exec_driver_sql("SET LOCAL synchronous_commit = off")
                yield connection
    current_app.extensions["after_commit"]()


@contextmanager
def begin_write(connection: Connection, *, patience: float | None = None) -> Iterator[None]:
    """The transaction of `write`, on a connection that the caller has prepared."""
    if connection.dialect.name != "sqlite":
        leave_autocommit(connection)
        with connection.begin():
            yield
        return
    breaker: Breaker = current_app.extensions["breakers"]["write"]
    seconds = engines.WAIT_SECONDS if patience is None else patience
    if breaker.is_open:
        seconds = min(seconds, PROBE_SECONDS)
    with ExitStack() as transaction:

        def begin() -> None:
            deadline = time.monotonic() + seconds
            transaction.enter_context(connection.info["write_queue"].turn(seconds))
            transaction.enter_context(connection.begin())
            _begin_immediate(connection, deadline)

        # An impatient writer that gives up early does not prove that the database is locked.
        breaker.call(begin, (WriteLockUnavailable,) if patience is None else ())
        yield


def retries_deadlocks(operation: Callable[P, T]) -> Callable[P, T]:
    """Decorator for an operation that owns its transaction: run it again when PostgreSQL ended it to break a deadlock.

    An operation that was given an open transaction, as the keyword `within`, is left to the owner of that transaction.
    """

    @wraps(operation)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        for _ in range(ATTEMPTS - 1):
            try:
                return operation(*args, **kwargs)
            except OperationalError as exc:
                if kwargs.get("within") is not None or getattr(exc.orig, "sqlstate", None) != DEADLOCK_DETECTED:
                    raise
        return operation(*args, **kwargs)

    return run


def checkpoint(engine: Engine) -> bool:
    """Truncate SQLite's write-ahead log, which holds pages as they were before an erasure.

    Called after a commit, it raises nothing. If a reader still uses an old page, or another process has been
    writing for too long, the log keeps its pages until the next call: at the end of an export, after the next
    erasure, or at the next start.

    :return: whether no old page is left in the log.
    """
    if engines.database_file(engine) is None:
        return True
    try:
        with engine.connect() as connection, connection.info["write_queue"].turn(engines.WAIT_SECONDS):
            _set_busy_timeout(connection, CHECKPOINT_SECONDS)
            busy = bool(connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").one()[0])
    except (*UNREACHABLE, WriteLockUnavailable):
        busy = True
    if busy:
        logger.warning("database.checkpoint_incomplete")
    return not busy


def violated(exc: IntegrityError) -> str | None:
    """The name of the constraint that refused a statement, or None where the driver does not tell."""
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


def _begin_immediate(connection: Connection, deadline: float) -> None:
    driver: Any = connection.connection.driver_connection
    try:
        # Only another program can hold the database now. It gets the rest of the time, in whole seconds if there are
        # some, so that the timeout need not be set for each transaction.
        rest = max(0.0, deadline - time.monotonic())
        _set_busy_timeout(connection, math.ceil(rest) if rest > 1 else rest)
        driver.execute("BEGIN IMMEDIATE")
    except sqlite3.OperationalError as exc:
        raise WriteLockUnavailable(str(exc)) from exc


def _set_busy_timeout(connection: Connection, seconds: float) -> None:
    """Set how long SQLite waits for other programs."""
    if connection.info.get("busy_seconds") != seconds:
        driver: Any = connection.connection.driver_connection
        driver.execute(f"PRAGMA busy_timeout = {int(seconds * 1000)}")
        connection.info["busy_seconds"] = seconds
