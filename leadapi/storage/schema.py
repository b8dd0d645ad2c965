"""Moves the database schema to the newest version, and tells whether it is there."""

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
from sqlalchemy import Connection, inspect, text
from sqlalchemy.exc import OperationalError, ProgrammingError

from leadapi.config import IN_MEMORY, Settings
from leadapi.storage.database import db, scrub
from leadapi.storage.write_queue import WriteLockUnavailable

# Any number will do: it names the PostgreSQL lock under which one host at a time migrates.
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
    """Bring the schema up to date where that is allowed, and say so where it is not.

    A database that cannot be reached does not stop the start: /ready tries again.
    """
    app.config["AUTO_MIGRATE"] = settings.auto_migrate
    if not _is_to_serve():
        return
    with app.app_context():
        try:
            require_current()
            db.session.rollback()
            scrub(db.engine)
        except SchemaNotCurrent as exc:
            logger.warning("database.schema_not_current", extra={"reason": str(exc)})
        except (OperationalError, WriteLockUnavailable) as exc:
            cause = getattr(exc, "orig", None) or exc
            logger.warning("database.unavailable", extra={"error": type(cause).__name__, "reason": str(cause).strip()})
        finally:
            db.session.remove()
            # Servers fork after this, and a connection must not be shared with the children.
            # One in memory is the database itself.
            if settings.database_url.database not in IN_MEMORY:
                db.engine.dispose()


def _is_to_serve() -> bool:
    """Whether the app is made to answer requests: the flask command makes one even to tell which commands there are."""
    context = click.get_current_context(silent=True)
    return context is None or context.info_name == "run"


def require_current() -> None:
    """Make sure that the schema is the newest, by migrating where AUTO_MIGRATE allows it.

    :raises SchemaNotCurrent: it is not.
    """
    if current() == newest():
        return
    if not current_app.config["AUTO_MIGRATE"]:
        raise SchemaNotCurrent
    db.session.rollback()
    try:
        upgrade()
    except CommandError as exc:
        # The database has a version that this code does not know.
        raise SchemaNewer from exc


def lacks_schema(error: ProgrammingError) -> bool:
    """Whether PostgreSQL refused a statement because its tables or columns do not exist yet."""
    return getattr(error.orig, "sqlstate", None) in UNDEFINED


def current() -> str | None:
    """The version of the database's schema, or None where there is none yet."""
    return _version(db.session.connection())


def _version(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    version: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return version


@cache
def newest() -> str | None:
    """The version that the models are written for."""
    return ScriptDirectory.from_config(alembic_config()).get_current_head()


def upgrade() -> None:
    """Migrate to the newest version, in one transaction. Any number of hosts may do so at once."""
    with exclusive_connection() as connection:
        before = _version(connection)
        alembic.command.upgrade(alembic_config(connection), "head")
        after = _version(connection)
    if before != after:
        logger.info("database.migrated", extra={"before": before, "after": after})


def alembic_config(connection: Connection | None = None) -> Config:
    """What would be in an alembic.ini."""
    # The commands say in their own words what was done.
    config = Config(stdout=io.StringIO())
    config.set_main_option("script_location", "leadapi:migrations")
    config.set_main_option("file_template", "%%(rev)s_%%(slug)s")
    config.attributes["connection"] = connection
    return config


@contextmanager
def exclusive_connection() -> Iterator[Connection]:
    """A connection in a transaction that no other migration runs beside; it commits at the end."""
    with db.engine.connect() as connection:
        if connection.dialect.name == "postgresql":
            with connection.begin():
                # A migration may take longer than a request.
                connection.execute(text("SET LOCAL statement_timeout = 0"))
                connection.execute(text("SET LOCAL lock_timeout = 0"))
                connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": ADVISORY_LOCK})
                yield connection
            return

        connection.execution_options(writes=True)
        # Alembic changes a SQLite table by making it anew, and dropping the old one would delete
        # the rows that refer to it. The switch works only outside of a transaction.
        driver: Any = connection.connection.driver_connection
        driver.execute("PRAGMA foreign_keys = OFF")
        try:
            with connection.begin():
                yield connection
                broken = connection.execute(text("PRAGMA foreign_key_check")).all()
                if broken:
                    raise RuntimeError(f"the migration breaks {len(broken)} references")
        finally:
            driver.execute("PRAGMA foreign_keys = ON")
