"""Inserts and updates of any number of rows by one statement, which receives them as one JSON parameter.

A multi-row VALUES clause has a parameter for every cell: for 4,000 rows of ten columns, PostgreSQL took 105 µs a
row that way and takes 25 µs this way (.github/decisions/0005). The statement is the same for one row and for many,
so that it is compiled once.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import orjson
from sqlalchemy import (
    JSON,
    ColumnClause,
    ColumnElement,
    Connection,
    CursorResult,
    Select,
    Table,
    Text,
    bindparam,
    cast,
    column,
    func,
    literal_column,
    select,
    true,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite


class RowsInsert:
    """An INSERT of rows given as mappings from column names to values.

    :param names: the columns to fill; a row that lacks one has null there.
    :param conflict: a unique column; rows whose value is taken are left out. None to fail instead.
    :param replaced: columns that such rows overwrite in the stored row instead.
    :param returning: what to return of each inserted row.
    """

    def __init__(
        self,
        table: Table,
        names: Sequence[str],
        *,
        conflict: str | None = None,
        replaced: Sequence[str] = (),
        returning: Sequence[ColumnElement[Any]] = (),
    ) -> None:
        self._names = names
        inserts: dict[str, Any] = {"sqlite": sqlite.insert(table), "postgresql": postgresql.insert(table)}
        # By the name of the dialect; the parameters are those of `parameters`.
        self.statements: dict[str, Any] = {}
        for dialect, rows in records([column(name, table.c[name].type) for name in names]).items():
            statement = inserts[dialect].from_select(names, rows)
            if conflict and replaced:
                new = {name: statement.excluded[name] for name in replaced}
                statement = statement.on_conflict_do_update(index_elements=[conflict], set_=new)
            elif conflict:
                statement = statement.on_conflict_do_nothing(index_elements=[conflict])
            self.statements[dialect] = statement.returning(*returning) if returning else statement

    def execute(self, tx: Connection, rows: Sequence[Mapping[str, Any]]) -> CursorResult[Any]:
        """Insert the rows in their order."""
        return tx.execute(self.statements[tx.dialect.name], parameters(tx, self._names, rows))


class RowsUpdate:
    """An UPDATE of rows that are found by their `id`.

    :param names: the columns to set; a row that lacks one gets null there.
    """

    def __init__(self, table: Table, names: Sequence[str]) -> None:
        self._names = ["id", *names]
        self._statements: dict[str, Any] = {}
        for dialect, rows in records([column(name, table.c[name].type) for name in self._names]).items():
            new = rows.subquery("new")
            values = {name: new.c[name] for name in names}
            self._statements[dialect] = update(table).where(table.c.id == new.c.id).values(values)

    def execute(self, tx: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
        """Update the rows. Each must be there once."""
        tx.execute(self._statements[tx.dialect.name], parameters(tx, self._names, rows))


def parameters(tx: Connection, names: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """The parameters of a statement for these rows."""
    given: Sequence[Any] = rows
    if tx.dialect.name == "sqlite":
        # SQLite takes a third less time to find a cell by its place than by its name.
        given = [[row.get(name) for name in names] for row in rows]
    return {"rows": orjson.dumps(given, time_text, orjson.OPT_PASSTHROUGH_DATETIME).decode()}


def records(columns: Sequence[ColumnClause[Any]]) -> dict[str, Select[Any]]:
    """The rows of the JSON parameter as a SELECT of these columns, by the name of the dialect."""
    rows = bindparam("rows", type_=Text)
    arrays = func.json_each(rows).table_valued("value")
    cells = [
        func.json_extract(arrays.c.value, literal_column(f"'$[{place}]'")).label(each.name)
        for place, each in enumerate(columns)
    ]
    table = func.json_to_recordset(cast(rows, JSON)).table_valued(*columns).render_derived(with_types=True)
    return {
        # In an INSERT, SQLite needs the WHERE to tell ON CONFLICT from the ON of a join.
        "sqlite": select(*cells).where(true()),
        "postgresql": select(*(table.c[each.name] for each in columns)),
    }


@lru_cache(64)
def time_text(value: Any) -> str:
    """A time as both databases read it: in UTC without a zone, the form in which SQLAlchemy stores it in SQLite."""
    if not isinstance(value, datetime):
        raise TypeError
    return f"{value.astimezone(UTC).isoformat(' ')[:19]}.000000"
