"""Rewrites the file of a SQLite database, so that no deleted data is left in its unused space.

`secure_delete` overwrites deleted rows, but not the copies that remain when SQLite moves rows from one page to another.
"""

from pathlib import Path

from leadapi.storage.engines import db, is_in_memory
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


def scrub() -> None:
    """Rewrite the file. Writers wait meanwhile, as they wait for each other; readers go on.

    :raises ScrubUnsupported: the database is PostgreSQL.
    :raises ScrubIncomplete: a reader kept the old content from being overwritten.
    """
    engine = db.engine
    if engine.dialect.name != "sqlite":
        raise ScrubUnsupported
    if is_in_memory(engine):
        return
    # The temporary copy belongs on the volume of the database: /tmp may be small, and on another disk. The pragma is in
    # force for the whole process, which is that of the command.
    folder = str(Path(str(engine.url.database)).parent).replace("'", "''")
    with engine.connect() as connection, connection.info["write_queue"].turn(PATIENCE_SECONDS):
        connection.exec_driver_sql(f"PRAGMA temp_store_directory = '{folder}'")
        connection.exec_driver_sql("VACUUM")
    # The new content is in the write-ahead log until a checkpoint writes it over the old.
    if not checkpoint(engine):
        raise ScrubIncomplete
