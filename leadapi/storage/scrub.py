"""Rewrites the file of a SQLite database, so that no deleted data is left in its unused space.

`secure_delete` overwrites deleted rows, but not the copies that remain when SQLite moves rows from one page to another.
"""

from collections.abc import Callable
from typing import Any

from leadapi.storage.backup import INSTRUCTIONS
from leadapi.storage.engines import database_file, db, is_in_memory
from leadapi.storage.transactions import checkpoint

# How long the scrub waits for its turn among the writers.
PATIENCE_SECONDS = 60


class ScrubIncomplete(Exception):
    """A reader still uses the file as it was before."""

    def __str__(self) -> str:
        return "The old content is still in use, by an export for example. Run the command again when that has ended."


class ScrubUnsupported(Exception):
    """PostgreSQL has a command of its own, which only the owner of the tables may run."""

    def __str__(self) -> str:
        tables = ", ".join(sorted(db.metadata.tables))
        return (
            f"PostgreSQL rewrites its files with: VACUUM (FULL) {tables};\n"
            "Run it in psql as the owner of the tables. It locks each table while it rewrites it."
        )


def keep_temporary_files_beside_database() -> None:
    """Let SQLite write its temporary files into the folder of the database: /tmp may be small, and on another disk.

    It is a setting of the process, which must not change while other threads use SQLite.
    """
    file = database_file(db.engine)
    if file is None:
        return
    folder = str(file.parent).replace("'", "''")
    with db.engine.connect() as connection:
        connection.exec_driver_sql(f"PRAGMA temp_store_directory = '{folder}'")


def scrub(until: Callable[[], bool] = lambda: False) -> None:
    """Rewrite the file. Writers wait meanwhile, as they wait for each other; readers go on.

    :param until: called now and then; a true result ends the scrub with an OperationalError, and the file stays.
    :raises ScrubUnsupported: the database is PostgreSQL.
    :raises ScrubIncomplete: a reader kept the old content from being overwritten.
    """
    engine = db.engine
    if engine.dialect.name != "sqlite":
        raise ScrubUnsupported
    if is_in_memory(engine):
        return
    with engine.connect() as connection, connection.info["write_queue"].turn(PATIENCE_SECONDS):
        driver: Any = connection.connection.driver_connection
        driver.set_progress_handler(until, INSTRUCTIONS)
        try:
            connection.exec_driver_sql("VACUUM")
        finally:
            # Ctrl-C closes the connection.
            if not connection.invalidated:
                driver.set_progress_handler(None, 0)
    # The new content is in the write-ahead log until a checkpoint writes it over the old.
    if not checkpoint(engine):
        raise ScrubIncomplete
