"""Copy a SQLite database to PostgreSQL: every table, with its ids.

The copy is made in batches, each of them a transaction that also notes how far the copy is, in a table of the target.
So a copy that was interrupted can go on. The row triggers, which count leads and enqueue deliveries, do not run for the
copied rows: the tables that they fill are copied as they are.
"""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import (
    URL,
    BigInteger,
    Column,
    Connection,
    Engine,
    MetaData,
    StaticPool,
    Table,
    Text,
    create_engine,
    func,
    inspect,
    literal_column,
    select,
    text,
    update,
)

from leadapi.storage import schema
from leadapi.storage.backup import Progress
from leadapi.storage.engines import database_file, db, postgresql_options, prepare_postgresql, without_limits
from leadapi.storage.restore import open_exclusively
from leadapi.storage.transactions import begin_write

# How many rows are in a transaction.
ROWS = 5000
# The tables in which migrations store rows.
FILLED_BY_MIGRATIONS = {"lead_counts"}
# Modes, counters and versions, which change when the database is only opened.
HEADER_BYTES = 100

# In the target, from the start of a copy until its end. SQLite's rowid is the order in which a table is copied.
progress_table = Table(
    "copy_progress",
    MetaData(),
    Column("table_name", Text, primary_key=True),
    Column("source", Text, nullable=False),
    Column("last_rowid", BigInteger, nullable=False),
    Column("rows", BigInteger, nullable=False),
)
_rowid = literal_column("rowid", BigInteger)


class CopyRefused(Exception):
    """The databases are not such that one can be copied to the other; the message says why."""


def copy_to(url: URL, *, restart: bool, begin: Callable[[int], object], progress: Progress) -> dict[str, int]:
    """Copy the database of the app, which no other process may have open.

    :param restart: whether to start anew instead of continuing an unfinished copy.
    :param begin: called with the number of rows that an unfinished copy has stored before.
    :return: the number of rows of each table, which is the same in both databases.
    :raises CopyRefused: the source is no SQLite file, the target has other data or does not accept a row, or the
        numbers of rows differ.
    :raises leadapi.storage.restore.DatabaseInUse: another process has the source open.
    """
    path = database_file(db.engine)
    if path is None:
        raise CopyRefused("DATABASE_URL must be that of a SQLite file, from which to copy.")
    if not path.exists():
        raise CopyRefused(f"There is no database at {path}.")
    schema.require_current()
    # The connections of this process are not to count as others.
    db.engine.dispose()
    with _target(url) as target, _source(path) as (source, fingerprint):
        schema.upgrade(target)
        _begin(target, fingerprint, restart=restart)
        totals = {table.name: source.scalar(select(func.count()).select_from(table)) or 0 for table in _tables()}
        with target.connect() as connection:
            done = connection.scalar(select(func.sum(progress_table.c.rows))) or 0
        begin(done)
        for table in _tables():
            for rows in _batches(source, target, table):
                done += rows
                progress(done, sum(totals.values()))
        _finish(source, target, totals)
    return totals


def _tables() -> list[Table]:
    """The tables of all models; a table comes after those that it refers to."""
    return db.metadata.sorted_tables


@contextmanager
def _source(path: Path) -> Iterator[tuple[Connection, str]]:
    """A connection to the SQLite file, and a digest of its content."""
    # Closing a file releases the locks that SQLite has on it in this process, so this one is closed last.
    with path.open("rb") as file, closing(open_exclusively(path)) as driver:
        file.seek(HEADER_BYTES)
        fingerprint = hashlib.file_digest(file, "sha256").hexdigest()
        engine = create_engine("sqlite://", creator=lambda: driver, poolclass=StaticPool, hide_parameters=True)
        with engine.connect() as connection:
            yield connection, fingerprint


@contextmanager
def _target(url: URL) -> Iterator[Engine]:
    engine = create_engine(url, hide_parameters=True, **postgresql_options())
    prepare_postgresql(engine)
    try:
        yield engine
    finally:
        engine.dispose()


@contextmanager
def _transaction(target: Engine) -> Iterator[Connection]:
    with target.connect() as tx, begin_write(tx), without_limits(tx):
        yield tx


def _begin(target: Engine, fingerprint: str, *, restart: bool) -> None:
    """Prepare the target for a new copy, unless it has a part of this one.

    :raises CopyRefused: it has other data.
    """
    with _transaction(target) as tx:
        if inspect(tx).has_table(progress_table.name):
            unfinished = tx.scalar(select(progress_table.c.source).limit(1))
            if unfinished == fingerprint and not restart:
                return
            if not restart:
                raise CopyRefused(
                    "The target has a part of another copy: this database has changed since, or the copy is of another"
                    " one. To delete that part and start anew, add --restart."
                )
            progress_table.drop(tx)
        else:
            for table in _tables():
                if table.name not in FILLED_BY_MIGRATIONS and tx.execute(select(table).limit(1)).first():
                    raise CopyRefused(f"The target is not empty: {table.name} has rows.")
        tx.execute(text(f"TRUNCATE {', '.join(table.name for table in _tables())}"))
        progress_table.create(tx)
        start = {"source": fingerprint, "last_rowid": 0, "rows": 0}
        tx.execute(progress_table.insert(), [{"table_name": table.name, **start} for table in _tables()])


def _batches(source: Connection, target: Engine, table: Table) -> Iterator[int]:
    """Copy what the target lacks of a table; yields the number of rows of each batch."""
    of_table = progress_table.c.table_name == table.name
    with target.connect() as connection:
        last = connection.scalar(select(progress_table.c.last_rowid).where(of_table))
    while rows := source.execute(
        select(_rowid, *table.c).select_from(table).where(_rowid > last).order_by(_rowid).limit(ROWS)
    ).all():
        last = rows[-1][0]
        with _transaction(target) as tx:
            # In the transaction of the batch, so that a crash leaves the triggers enabled. The owner of the table may
            # do so; triggers of foreign keys stay enabled.
            tx.execute(text(f"ALTER TABLE {table.name} DISABLE TRIGGER USER"))
            _store(tx, table, rows)
            tx.execute(text(f"ALTER TABLE {table.name} ENABLE TRIGGER USER"))
            tx.execute(
                update(progress_table).where(of_table).values(last_rowid=last, rows=progress_table.c.rows + len(rows))
            )
        yield len(rows)


def _store(tx: Connection, table: Table, rows: Any) -> None:
    """Store rows, each of which begins with its rowid, by COPY: it takes less time than INSERT.

    :raises CopyRefused: PostgreSQL does not accept a row.
    """
    quoted = tx.dialect.identifier_preparer.quote
    statement = f"COPY {quoted(table.name)} ({', '.join(quoted(column.name) for column in table.c)}) FROM STDIN"
    driver: Any = tx.connection.driver_connection
    try:
        with driver.cursor() as cursor, cursor.copy(statement) as copy:
            for row in rows:
                copy.write_row(row[1:])
    except tx.dialect.loaded_dbapi.Error as exc:
        # The lines after the first one quote data.
        raise CopyRefused(f"PostgreSQL refuses the data: {str(exc).splitlines()[0]}") from exc


def _finish(source: Connection, target: Engine, totals: dict[str, int]) -> None:
    """Compare the numbers of rows, and let ids go on where they are in the source.

    :raises CopyRefused: the numbers differ.
    """
    # The last ids that were given, also to rows that are deleted.
    given = {row.name: row.seq for row in source.execute(text("SELECT name, seq FROM sqlite_sequence"))}
    with _transaction(target) as tx:
        for table in _tables():
            stored = tx.scalar(select(func.count()).select_from(table))
            if stored != totals[table.name]:
                raise CopyRefused(
                    f"The target has {stored:,} rows of {table.name} instead of {totals[table.name]:,}: another program"
                    " has written to it. To delete all of it and start anew, add --restart."
                )
            for column in table.primary_key:
                sequence = tx.scalar(select(func.pg_get_serial_sequence(table.name, column.name)))
                last = max(given.get(table.name, 0), source.scalar(select(func.max(column))) or 0) if sequence else 0
                if last:
                    tx.execute(select(func.setval(sequence, last)))
        progress_table.drop(tx)
        # Otherwise statements are planned as for empty tables until PostgreSQL does so by itself.
        tx.execute(text(f"ANALYZE {', '.join(table.name for table in _tables())}"))
