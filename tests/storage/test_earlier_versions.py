"""Databases of earlier versions, filled with data and migrated."""

from datetime import UTC, datetime
from typing import Any

import alembic.command
from alembic.script import ScriptDirectory
from sqlalchemy import MetaData, Table, func, select

from conftest import MakeApp, body
from leadapi import storage
from leadapi.storage import schema


def row(table: Table, number: int) -> dict[str, Any]:
    """Values for all columns of a table, by their types. Equal numbers and texts refer to each other."""
    by_name = {"events": '["lead.*"]', "attributes": "{}", "data": "{}", "headers": "{}", "lead": "{}"}
    by_type = {
        bool: False,
        int: number,
        str: str(number),
        bytes: str(number).encode(),
        datetime: datetime(2026, 2, 28, tzinfo=UTC),
    }
    return {column.name: by_name.get(column.name, by_type[column.type.python_type]) for column in table.c}


def test_every_migration_keeps_the_data_of_every_earlier_version(make_app: MakeApp, empty_database_url: str) -> None:
    """Before each migration, every table gets a row."""
    app = make_app(DATABASE_URL=empty_database_url, AUTO_MIGRATE="off")
    versions = [each.revision for each in ScriptDirectory.from_config(schema.alembic_config()).walk_revisions()]
    kept: list[tuple[str, dict[str, Any]]] = []
    with app.app_context():
        for step, version in enumerate(reversed(versions), start=1):
            with schema.exclusive_transaction() as connection:
                alembic.command.upgrade(schema.alembic_config(connection), version)
            tables = MetaData()
            with storage.write() as tx:
                tables.reflect(tx, resolve_fks=False)
                for table in tables.sorted_tables:
                    # The first has one row, and triggers fill the other.
                    if table.name not in {"alembic_version", "lead_counts"}:
                        kept.append((table.name, row(table, step * 1000)))
                        tx.execute(table.insert(), kept[-1][1])

        with storage.read() as connection:
            for name, values in kept:
                table = tables.tables[name]
                found = select(func.count()).select_from(table)
                assert connection.scalar(found.where(*(table.c[each] == value for each, value in values.items()))) == 1
    client = app.test_client()
    assert body(client.get("/leads"))["total"] == len(versions)
    assert body(client.get("/stats?by=source"))["items"] == [
        {"key": str(step * 1000), "count": 1} for step in sorted(range(1, len(versions) + 1), key=str)
    ]
    assert app.test_cli_runner().invoke(args=["db", "check"]).exit_code == 0
