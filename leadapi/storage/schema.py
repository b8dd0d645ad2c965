"""The version of the database schema: whether it is current, and how to migrate it."""

import io
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import alembic.command
import click
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from flask import Flask, current_app
from sqlalchemy import Connection, Engine, inspect, text
from sqlalchemy.exc import DBAPIError

from leadapi.config import Settings
from leadapi.storage.engines import db, is_in_memory, without_limits
from leadapi.storage.transactions import UNAVAILABLE, begin_write, checkpoint, read

# An arbitrary number that names the PostgreSQL lock under which one host at a time migrates.
ADVISORY_LOCK = 5_117_317
# PostgreSQL's undefined_table and undefined_column.
UNDEFINED = {"42P01", "42703"}

logger = logging.getLogger(__name__)


class SchemaNotCurrent(Exception):
    """The database does not have the schema that this version of leadapi works with."""

    def __str__(self) -> str:
        return "The database schema is not current; run: flask db upgrade"


class SchemaNewer(SchemaNotCurrent):
    """The database was migrated by a later version of leadapi."""

    def __str__(self) -> str:
        return "The database schema is newer than this version of leadapi; run the newer version."


def init_app(app: Flask, settings: Settings) -> None:
    """Migrate the database where AUTO_MIGRATE allows it, and log a warning where it does not.

    A database that cannot be reached does not stop the start: /ready tries again.
    """
    app.config["AUTO_MIGRATE"] = settings.auto_migrate
    if not is_going_to_serve():
        return
    with app.app_context():
        try:
            require_current()
            checkpoint(db.engine)
        except SchemaNotCurrent as exc:
            logger.warning("database.schema_not_current", extra={"reason": str(exc)})
        except UNAVAILABLE as exc:
            cause = getattr(exc, "orig", None) or exc
            logger.warning("database.unavailable", extra={"error": type(cause).__name__, "reason": str(cause).strip()})
        finally:
            close_before_fork()


def close_before_fork() -> None:
    """Close the connections: servers fork after this, and must not share a connection with their children."""
    # The connection to a database in memory is the database itself.
    if not is_in_memory(db.engine):
        db.engine.dispose()


def is_going_to_serve() -> bool:
    """Whether the app answers requests: the `flask` command builds an app even to list its commands."""
    context = click.get_current_context(silent=True)
    return context is None or context.info_name == "run"


def require_current() -> None:
    """Make sure that the schema is the newest, by migrating where AUTO_MIGRATE allows it.

    :raises SchemaNotCurrent: it is not the newest.
    """
    if current() == newest():
        return
    if not current_app.config["AUTO_MIGRATE"]:
        raise SchemaNotCurrent
    try:
        upgrade()
    except CommandError as exc:
        # The database has a version that this code does not know.
        raise SchemaNewer from exc


def lacks_schema(exc: DBAPIError) -> bool:
    """Whether a statement failed because a table or column is missing, which a migration would create."""
    missing = str(exc.orig).startswith(("no such table", "no such column"))
    return missing or getattr(exc.orig, "sqlstate", None) in UNDEFINED


def is_outage(exc: Exception) -> bool:
    """Whether the database cannot answer now, or lacks the current schema. Other errors are bugs."""
    return isinstance(exc, UNAVAILABLE) or (isinstance(exc, DBAPIError) and lacks_schema(exc))


def current() -> str | None:
    """The version of the database's schema, or None where there is no schema yet."""
    with read() as connection:
        return _version(connection)


def _version(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    version: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return version


@cache
def newest() -> str | None:
    """The version that the models are written for."""
    return ScriptDirectory.from_config(alembic_config()).get_current_head()


def upgrade(engine: Engine | None = None) -> None:
    """Migrate to the newest version, in one transaction. Any number of hosts may do so at once.

    :param engine: of another database than that of the app.
    """
    with exclusive_transaction(engine) as tx:
        before = _version(tx)
        alembic.command.upgrade(alembic_config(tx), "head")
        after = _version(tx)
    if before != after:
        logger.info("database.migrated", extra={"before": before, "after": after})


def alembic_config(connection: Connection | None = None) -> Config:
    """The content of an alembic.ini."""
    # The `flask db` commands print their own messages.
    config = Config(stdout=io.StringIO())
    config.set_main_option("script_location", "leadapi:migrations")
    config.set_main_option("file_template", "%%(rev)s_%%(slug)s")
    config.attributes["connection"] = connection
    return config


@contextmanager
def exclusive_transaction(engine: Engine | None = None) -> Iterator[Connection]:
    """A transaction in which no other migration runs."""
    engine = engine or db.engine
    if engine.dialect.name == "postgresql":
        # A migration may take longer than a request.
        with engine.connect() as tx, begin_write(tx), without_limits(tx):
            tx.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": ADVISORY_LOCK})
            yield tx
        return
    with engine.connect() as connection:
        # Alembic changes a SQLite table by creating it anew, and dropping the old table would delete the rows that
        # refer to it. The pragma has no effect inside a transaction.
        driver: Any = connection.connection.driver_connection
        driver.execute("PRAGMA foreign_keys = OFF")
        try:
            with begin_write(connection):
                yield connection
                broken = connection.execute(text("PRAGMA foreign_key_check")).all()
                if broken:
                    raise RuntimeError(f"the migration breaks {len(broken)} references")
        finally:
            # SQLAlchemy closes a connection that a signal interrupted.
            if not connection.invalidated:
                driver.execute("PRAGMA foreign_keys = ON")
