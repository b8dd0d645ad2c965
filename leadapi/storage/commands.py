"""The behaviour that the commands of all features share."""

import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
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


@contextmanager
def exit_on_interrupt(advice: str) -> Iterator[None]:
    """Exit on Ctrl-C with the status that shells use for it."""
    try:
        yield
    except KeyboardInterrupt:
        click.echo(f"\nInterrupted. {advice}", err=True)
        click.get_current_context().exit(130)


@contextmanager
def exit_on_signals() -> Iterator[None]:
    """Raise SystemExit on SIGTERM and SIGHUP, so that temporary files are removed."""
    numbers = [number for number in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(number) == signal.SIG_DFL]
    for number in numbers:
        signal.signal(number, lambda number, _frame: sys.exit(128 + number))
    try:
        yield
    finally:
        for number in numbers:
            signal.signal(number, signal.SIG_DFL)


@contextmanager
def progress_bar(label: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar, if standard error is a terminal: a function that is called with the position and the size."""
    if not sys.stderr.isatty():
        yield lambda _position, _size: None
        return
    with ExitStack() as stack:
        bars: list[Any] = []

        def advance(position: int, size: int) -> None:
            # The bar is drawn after the notices.
            if not bars:
                bars.append(stack.enter_context(click.progressbar(length=size, label=label, file=sys.stderr)))
            bars[0].update(position - bars[0].pos)

        yield advance
