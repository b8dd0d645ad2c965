"""flask db: migrate, check, back up, copy and scrub the database."""

import sqlite3
from pathlib import Path

import alembic.command
import click
from alembic.util import CommandError
from marshmallow import ValidationError
from sqlalchemy import URL
from sqlalchemy.exc import OperationalError

from leadapi.config_fields import DatabaseUrl
from leadapi.storage import backup as backups
from leadapi.storage import copy as copying
from leadapi.storage import schema
from leadapi.storage import scrub as scrubbing
from leadapi.storage.commands import DatabaseGroup, exit_on_interrupt, exit_on_signals, progress_bar, show_table
from leadapi.storage.restore import DatabaseInUse
from leadapi.storage.transactions import read

commands = DatabaseGroup("db", help="Migrate, check, back up, restore, copy and scrub the database.")


@commands.command()
def upgrade() -> None:
    """Migrate to the newest version."""
    before = schema.current()
    with exit_on_interrupt("Run the command again."):
        schema.upgrade()
    after = schema.current()
    click.echo(f"The schema is at {after}." if before == after else f"Migrated from {before} to {after}.")


@commands.command()
def current() -> None:
    """Show the version of the database."""
    version = schema.current()
    click.echo(f"{version} (newest)" if version == schema.newest() else f"{version}")


@commands.command()
def check() -> None:
    """Fail unless the database is at the newest version and the models ask for nothing more."""
    if schema.current() != schema.newest():
        raise click.ClickException(str(schema.SchemaNotCurrent()))
    try:
        with read() as connection:
            alembic.command.check(schema.alembic_config(connection))
    except CommandError as exc:
        raise click.ClickException(str(exc)) from exc
    click.echo("The schema is current and is what the models ask for.")


@commands.command()
def scrub() -> None:
    """Rewrite SQLite's file, so that no erased data is left in it.

    Captures wait meanwhile. The folder of the database needs twice the size of the database as free space.
    """
    with exit_on_interrupt("The file is as it was before. Run the command again."):
        try:
            scrubbing.keep_temporary_files_beside_database()
            scrubbing.scrub()
        except (scrubbing.ScrubUnsupported, scrubbing.ScrubIncomplete) as exc:
            raise click.ClickException(str(exc)) from exc
        except OperationalError as exc:
            # SQLite swallows the exception of a signal.
            if getattr(exc.orig, "sqlite_errorcode", None) == sqlite3.SQLITE_INTERRUPT:
                raise KeyboardInterrupt from exc
            raise
    click.echo("The database file is rewritten. Nothing that was erased is left in it.")


@commands.command()
@click.argument("folder", metavar="DIR", type=click.Path(file_okay=False, path_type=Path))
@click.option("--keep", type=click.IntRange(1), help="Keep so many backups in DIR; delete older ones.", metavar="N")
def backup(folder: Path, keep: int | None) -> None:
    """Write a checked copy of SQLite's database into DIR, while the service runs."""
    with (
        exit_on_interrupt("No backup was written. Run the command again."),
        exit_on_signals(),
        progress_bar("Copying") as advance,
    ):
        try:
            written = backups.back_up(folder, keep=keep, progress=advance)
        except (backups.BackupUnsupported, backups.Damaged) as exc:
            raise click.ClickException(str(exc)) from exc
        except sqlite3.Error as exc:
            raise click.ClickException(f"The backup failed: {exc}.") from exc
        except OSError as exc:
            raise click.ClickException(f"{exc.filename or folder}: {exc.strerror}.") from exc
    click.echo(f"Wrote {written}.")


def _postgresql(_ctx: click.Context, _param: click.Parameter, value: str) -> URL:
    try:
        url = DatabaseUrl().deserialize(value)
    except ValidationError as exc:
        raise click.BadParameter(f"It {exc.messages[0]}") from exc
    if not isinstance(url, URL) or url.get_backend_name() != "postgresql":
        raise click.BadParameter("It must begin with postgresql://.")
    return url


@commands.command()
@click.argument("url", callback=_postgresql)
@click.option("--restart", is_flag=True, help="Delete what an unfinished copy has stored, and start anew.")
def copy(url: URL, *, restart: bool) -> None:
    """Copy SQLite's database to an empty PostgreSQL database at URL, while the service is stopped.

    After an interruption, the same command continues where the copy stopped.
    """
    with (
        exit_on_interrupt("The same command continues where it stopped."),
        exit_on_signals(),
        progress_bar("Copying") as advance,
    ):
        try:
            totals = copying.copy_to(url, restart=restart, begin=_tell_start, progress=advance)
        except (copying.CopyRefused, DatabaseInUse) as exc:
            raise click.ClickException(str(exc)) from exc
    show_table(("table", "rows"), [(name, f"{number:,}") for name, number in totals.items()])
    click.echo("Both databases have these numbers of rows. Set DATABASE_URL to the new one and start the service.")


def _tell_start(rows: int) -> None:
    if rows:
        click.echo(f"Going on after {rows:,} rows, where an earlier run stopped.", err=True)


@commands.command()
@click.argument("version")
@click.option("-m", "--message", required=True, help="What changes, in a few words.")
def revision(version: str, message: str) -> None:
    """Write a migration VERSION, such as 0002, from the models' changes."""
    with read() as connection:
        config = schema.alembic_config(connection)
        alembic.command.revision(config, message, autogenerate=True, rev_id=version)
