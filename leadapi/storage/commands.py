"""How the commands of every feature talk to people."""

from collections.abc import Iterable
from typing import Any

import click
from alembic.util import CommandError
from flask.cli import AppGroup
from sqlalchemy.exc import OperationalError, ProgrammingError

from leadapi.storage import schema
from leadapi.storage.database import db
from leadapi.storage.write_queue import WriteLockUnavailable


class DatabaseGroup(AppGroup):
    """Commands that tell in a sentence when the database does not answer."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (OperationalError, WriteLockUnavailable) as exc:
            cause = getattr(exc, "orig", None) or exc
            raise click.ClickException(f"The database cannot answer: {cause}") from exc
        except ProgrammingError as exc:
            if schema.lacks_schema(exc):
                raise click.ClickException(str(schema.SchemaNotCurrent())) from exc
            raise
        except (CommandError, schema.SchemaNotCurrent) as exc:
            raise click.ClickException(str(exc)) from exc


def need_schema() -> None:
    """Make sure of the newest schema, and leave the session as new: what writes has to begin its transaction itself."""
    schema.require_current()
    db.session.rollback()


def show_table(header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> None:
    """Write rows below their header, each column as wide as what is in it."""
    lines = [header, *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
