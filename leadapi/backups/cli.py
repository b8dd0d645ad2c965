"""flask db restore."""

import sqlite3
from pathlib import Path

import click
from flask.cli import with_appcontext

from leadapi.backups import service
from leadapi.backups.errors import NotABackup
from leadapi.storage.backup import BackupUnsupported, Damaged, require_file
from leadapi.storage.commands import DatabaseCommand, exit_on_interrupt, exit_on_signals, progress_bar
from leadapi.storage.restore import DatabaseInUse


@click.command("restore", cls=DatabaseCommand)
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--yes", is_flag=True, help="Do not ask.")
@with_appcontext
def restore_command(file: Path, *, yes: bool) -> None:
    """Replace SQLite's database by the backup FILE, while the service is stopped.

    People who were erased since the backup are erased again.
    """
    try:
        path = require_file()
        if not yes:
            click.confirm(f"Replace {path} by {file}? What was stored since is lost.", abort=True)
        with (
            exit_on_interrupt("The database is as it was before, unless all was done. Run the command again."),
            exit_on_signals(),
            progress_bar("Restoring") as advance,
        ):
            restored = service.restore(file, progress=advance)
    except (BackupUnsupported, Damaged, DatabaseInUse, NotABackup) as exc:
        raise click.ClickException(str(exc)) from exc
    except sqlite3.Error as exc:
        raise click.ClickException(f"The restore failed: {exc}.") from exc
    except OSError as exc:
        raise click.ClickException(f"{exc.filename or path}: {exc.strerror}.") from exc
    click.echo(f"Restored {restored.leads:,} leads. {restored.erased:,} were erased again.")
    click.echo("What was due for destinations at the time of the backup is sent, even if it was sent since.", err=True)
    click.echo("Keys that were revoked since are valid again: see flask keys list.", err=True)
