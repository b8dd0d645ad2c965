"""The behaviour that the commands of all features share."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import click
from alembic.util import CommandError
from flask.cli import AppGroup
from sqlalchemy.exc import DBAPIError, OperationalError, ProgrammingError

from leadapi.storage import schema
from leadapi.storage.transactions import DatabaseUnavailable
from leadapi.storage.write_queue import WriteLockUnavailable


class DatabaseGroup(AppGroup):
    """Commands that say in one sentence that the database does not answer."""

    def invoke(self, ctx: click.Context) -> Any:
        with _database_errors_as_sentences():
            return super().invoke(ctx)


class DatabaseCommand(click.Command):
    """A command outside of a group that does so."""

    def invoke(self, ctx: click.Context) -> Any:
        with _database_errors_as_sentences():
            return super().invoke(ctx)


@contextmanager
def _database_errors_as_sentences() -> Iterator[None]:
    try:
        yield
    except (OperationalError, ProgrammingError, DatabaseUnavailable, WriteLockUnavailable) as exc:
        if isinstance(exc, DBAPIError) and schema.lacks_schema(exc):
            raise click.ClickException(str(schema.SchemaNotCurrent())) from exc
        if isinstance(exc, ProgrammingError):
            raise
        cause = getattr(exc, "orig", None) or exc
        raise click.ClickException(f"The database cannot answer: {cause}") from exc
    except (CommandError, schema.SchemaNotCurrent) as exc:
        raise click.ClickException(str(exc)) from exc


def show_table(header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> None:
    """Print rows below their header, each column as wide as its widest cell."""
    lines = [header, *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
