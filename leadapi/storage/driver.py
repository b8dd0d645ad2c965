"""Statements run straight on the driver, for the requests that come most often.

There SQLAlchemy's own way of running one costs more than the database's work. It still writes the
statement, once for each database, and keeps the connections; only the execution is ours. Rows hold
what the driver gives: the statements ask for numbers and text, which need no conversion.
"""

from collections.abc import Mapping
from typing import Any, Self

from sqlalchemy import ClauseElement, Dialect

from leadapi.storage.database import begin_sqlite_write, db, driver_errors, joined

Row = tuple[Any, ...]
# The words, the order of the parameters where they have one, those that SQLAlchemy made of constants,
# and what turns a value into the driver's.
_Compiled = tuple[str, tuple[str, ...] | None, dict[str, Any], Mapping[str, Any]]


class Statement:
    """One statement for both databases, compiled when it is first run.

    :param statement: what SQLAlchemy writes it from; its parameters get their values when it is run.
    :param names: for an INSERT, the columns that get a value.
    """

    def __init__(self, statement: ClauseElement, names: list[str] | None = None) -> None:
        self._statement = statement
        self._names = names
        self._compiled: dict[str, _Compiled] = {}

    def words(self, dialect: Dialect) -> _Compiled:
        """The statement as the driver takes it."""
        return self._compiled.get(dialect.name) or self._compile(dialect)

    def _compile(self, dialect: Dialect) -> _Compiled:
        compiled: Any = self._statement.compile(dialect=dialect, column_keys=self._names)
        state = compiled.construct_expanded_state(compiled.params)
        order = tuple(state.positiontup) if compiled.positional else None
        constants = {name: value for name, value in compiled.params.items() if value is not None}
        processors = {
            name: processor
            for name, bind in compiled.binds.items()
            if (processor := bind.type.dialect_impl(dialect).bind_processor(dialect))
        }
        self._compiled[dialect.name] = found = (state.statement, order, constants, processors)
        return found


class DriverConnection:
    """A connection of the pool, which goes back to it at the end of the block."""

    def __init__(self) -> None:
        engine = db.engine
        self.dialect = engine.dialect
        outer = joined.get()
        # Part of a larger transaction, which begins, commits and ends without us.
        self.is_joined = outer is not None
        with driver_errors(None, self.dialect):
            self.pooled = engine.raw_connection() if outer is None else outer.connection
        # What is worth remembering for as long as the connection lives.
        self.memory = self.pooled.info

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        # The pool rolls back what was not committed.
        if not self.is_joined:
            self.pooled.close()

    def run(self, statement: Statement, values: Mapping[str, Any]) -> list[Row]:
        """The rows of a statement. Outside of a transaction, each sees its own moment.

        :raises sqlalchemy.exc.DBAPIError: what SQLAlchemy itself would raise.
        """
        sql, order, constants, processors = statement.words(self.dialect)
        values = {**constants, **values}
        for name in processors.keys() & values.keys():
            values[name] = processors[name](values[name])
        with driver_errors(self.pooled, self.dialect):
            cursor = self.pooled.cursor()
            cursor.execute(sql, values if order is None else [values[name] for name in order])
            rows = cursor.fetchall()
            cursor.close()
        return list(rows)

    def begin_write(self) -> None:
        """Begin a transaction where one is needed: PostgreSQL makes one of a single statement by itself.

        :raises leadapi.storage.write_queue.WriteLockUnavailable: others have been writing for too long.
        """
        if self.dialect.name == "sqlite" and not self.is_joined:
            begin_sqlite_write(self.pooled, self.dialect)

    def commit(self) -> None:
        """Keep what was written."""
        if self.is_joined:
            return
        with driver_errors(self.pooled, self.dialect):
            self.pooled.commit()


def read(statement: Statement, values: Mapping[str, Any]) -> list[Row]:
    """The rows of one statement that reads; they are all of one moment."""
    with DriverConnection() as connection:
        return connection.run(statement, values)
