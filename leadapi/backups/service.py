"""Restore a backup of a SQLite database: checked, migrated, and without the people who were erased since."""

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from alembic.util import CommandError
from sqlalchemy import Engine, inspect, text

from leadapi.backups.errors import NotABackup
from leadapi.keys.service import OPERATOR
from leadapi.leads import service as leads
from leadapi.storage import restore as restoring
from leadapi.storage import schema
from leadapi.storage.backup import Progress, check, require_file
from leadapi.storage.erased import read_erased
from leadapi.storage.transactions import begin_write

# How many leads a statement erases: SQLite limits the number of its parameters.
ERASED_AT_ONCE = 500

_continue = text("UPDATE sqlite_sequence SET seq = max(seq, :last) WHERE name = :name")
_begin = text("INSERT INTO sqlite_sequence (name, seq) VALUES (:name, :last)")


@dataclass(frozen=True)
class Restored:
    """How many leads the database has now, and how many of the backup were erased again."""

    leads: int
    erased: int


def restore(file: Path, *, progress: Progress) -> Restored:
    """Replace the database by a backup.

    All work is done on a copy, which then replaces the database in one transaction. No process can open the database
    meanwhile.

    :raises leadapi.storage.backup.BackupUnsupported: the database is not a SQLite file.
    :raises leadapi.storage.backup.Damaged: the backup is damaged.
    :raises leadapi.storage.restore.DatabaseInUse: another process has the database open.
    :raises NotABackup: the file is something else, or of a later version of leadapi.
    """
    path = require_file()
    if path.exists() and file.samefile(path):
        raise NotABackup(file, "is the database itself")
    with restoring.exclusive(path) as database, _empty_folder(path.with_name(f".{path.name}.restore")) as folder:
        copy = folder / path.name
        try:
            with closing(sqlite3.connect(copy)) as target:
                restoring.copy_into(target, file, progress)
        except sqlite3.DatabaseError as exc:
            raise NotABackup(file, f"cannot be read: {exc}") from exc
        check(copy, shown_as=file, tick=lambda: None)
        with restoring.engine_of(copy) as engine:
            _migrate(engine, file)
            restored = _erase_again(engine, path, database)
        restoring.copy_into(database, copy, progress)
    return restored


@contextmanager
def _empty_folder(path: Path) -> Iterator[Path]:
    """A folder for the length of the block, which only its owner can read. A killed process may have left one."""
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(mode=0o700)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def _migrate(engine: Engine, file: Path) -> None:
    tables = inspect(engine)
    if not (tables.has_table("alembic_version") and tables.has_table("leads")):
        raise NotABackup(file, "is not a database of leadapi")
    try:
        schema.upgrade(engine)
    except CommandError as exc:
        raise NotABackup(file, "was made by a later version of leadapi; restore it with that version") from exc


def _erase_again(engine: Engine, path: Path, database: sqlite3.Connection) -> Restored:
    """Erase in the copy those who were erased since the backup, and let ids go on where they are now.

    Ids would be given twice otherwise: a receiver of webhooks takes an event with a known id for a repetition, and an
    id on the list of erased leads would become that of another person.
    """
    erased = read_erased(path)
    last_ids = {"leads": max(erased, default=0)}
    # A database that is damaged or new cannot tell.
    with suppress(sqlite3.DatabaseError):
        for name, last in database.execute("SELECT name, seq FROM sqlite_sequence"):
            last_ids[name] = max(last, last_ids.get(name, 0))
        # The commit of an erasure can fail after its id was noted.
        erased.difference_update(lead_id for (lead_id,) in database.execute("SELECT id FROM leads"))
    again = 0
    doomed = sorted(erased)
    with engine.connect() as connection, begin_write(connection):
        for start in range(0, len(doomed), ERASED_AT_ONCE):
            again += len(leads.erase_leads(connection, doomed[start : start + ERASED_AT_ONCE], by=OPERATOR))
        for name, last in last_ids.items():
            if connection.execute(_continue, {"name": name, "last": last}).rowcount == 0:
                connection.execute(_begin, {"name": name, "last": last})
        left = connection.execute(text("SELECT count(*) FROM leads")).scalar_one()
    return Restored(left, again)
