"""Databases and apps that tests use one after another: making them takes longer than most tests."""

import logging.config
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flask import Flask
from sqlalchemy import MetaData, create_engine, insert, text

from leadapi import create_app, logs
from leadapi.destinations import embedded
from leadapi.retention import worker as retention
from leadapi.storage import db, transactions

# A test that changes tables fails, unless it uses the fixture `own_app`. Temporary tables are allowed.
REFUSE = """
CREATE FUNCTION refuse_{event}() RETURNS event_trigger LANGUAGE plpgsql AS
    $$ BEGIN
        IF EXISTS (SELECT FROM {changed}() WHERE schema_name = 'public') THEN
            RAISE 'Other tests use these tables too: use the fixture own_app';
        END IF;
    END $$;
CREATE EVENT TRIGGER refuse_{event} ON {event} EXECUTE FUNCTION refuse_{event}();
"""
# A killed service may have left a statement that still runs.
END_OTHERS = """
SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
"""


class SqliteDatabase:
    """A SQLite file in a folder of its own.

    :param migrated: the file that it starts as.
    """

    def __init__(self, migrated: Path, folder: Path) -> None:
        self._migrated, self._folder = migrated, folder
        self.url = f"sqlite:///{folder}/leads.db"

    def empty(self) -> None:
        """Remove all leads, and what is beside the file."""
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir()
        shutil.copy(self._migrated, self._folder / "leads.db")


class PostgresDatabase:
    """A database of a PostgreSQL server.

    :param url: a migrated database.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._engine = create_engine(
            url.replace("postgresql:", "postgresql+psycopg:"),
            isolation_level="AUTOCOMMIT",
            connect_args={"options": "-c lock_timeout=10s"},
        )
        metadata = MetaData()
        metadata.reflect(self._engine)
        tables = list(reversed(metadata.sorted_tables))
        with self._engine.connect() as connection:
            connection.exec_driver_sql(REFUSE.format(event="sql_drop", changed="pg_event_trigger_dropped_objects"))
            connection.exec_driver_sql(REFUSE.format(event="ddl_command_end", changed="pg_event_trigger_ddl_commands"))
            # What migrations have written, and the numbers that they have used.
            sequences = connection.execute(text("SELECT sequencename, last_value FROM pg_sequences")).all()
            self._first_rows = [
                (insert(table), [dict(row) for row in rows])
                for table in tables
                if (rows := connection.execute(table.select()).mappings().all())
            ]
        # TRUNCATE takes fifteen times as long, because it makes new files for all tables and indexes.
        self._statements = "; ".join(
            [
                END_OTHERS,
                *(f"DELETE FROM {table.name}" for table in tables),
                *(f"SELECT setval('{name}', {last or 1}, {last is not None})" for name, last in sequences),
            ]
        )

    def empty(self) -> None:
        """Remove all rows that tests have written, and end the connections of others."""
        with self._engine.connect() as connection:
            connection.exec_driver_sql(self._statements)
            for statement, rows in self._first_rows:
                connection.execute(statement, rows)

    def close(self) -> None:
        """Close the connection that empties it."""
        self._engine.dispose()


def new_app(**environ: str) -> Flask:
    """An app that one test uses."""
    return create_app(environ)


class SharedApps:
    """The apps that this process has made, by their settings."""

    def __init__(self) -> None:
        self._apps: dict[tuple[tuple[str, str], ...], Flask] = {}

    def get(self, **environ: str) -> Flask:
        """An app with these settings, in the state in which `create_app` returns it."""
        key = tuple(sorted(environ.items()))
        app = self._apps.get(key)
        if app is None:
            app = self._apps[key] = create_app(environ)
            # From now on, Flask refuses to add routes and functions to it.
            app.test_client().get("/health")
            return app
        settings = app.extensions["settings"]
        logging.config.dictConfig(logs.dict_config(settings.log_level))
        transactions.init_app(app, settings)
        embedded.init_app(app, settings)
        retention.init_app(app, settings)
        return app


@contextmanager
def closing_connections() -> Iterator[list[Flask]]:
    """Close the connections of the apps that are added to the list."""
    apps: list[Flask] = []
    yield apps
    for app in apps:
        with app.app_context():
            db.engine.dispose()
