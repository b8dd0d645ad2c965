"""flask leads: import and export leads, and release leads from the quarantine."""

from typing import Any

import click
from sqlalchemy.exc import DBAPIError

from leadapi.leads import captures
from leadapi.leads.transfer.cli import export_command, import_command
from leadapi.leads.transfer.errors import FileExists, ImportRunning, UnknownColumn, UnreadableFile
from leadapi.quarantine import service as quarantine
from leadapi.quarantine.errors import QuarantinedLeadMissing
from leadapi.storage import schema
from leadapi.storage.commands import DatabaseGroup, show_table
from leadapi.web.fields import MAX_ID

COLUMNS = ("ID", "TIME", "REASON", "ADDRESS", "NAME")


class LeadsGroup(DatabaseGroup):
    """Commands that report the errors of files and of the database in one sentence."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (UnreadableFile, UnknownColumn, FileExists, ImportRunning) as exc:
            raise click.ClickException(str(exc)) from exc
        except BrokenPipeError:
            # The reader of a pipe has closed it; click exits quietly.
            raise
        except OSError as exc:
            raise click.ClickException(f"{exc.filename or 'A file'}: {exc.strerror}.") from exc
        except DBAPIError as exc:
            # The message of the database may contain personal data.
            raise click.ClickException(f"The database refused it: {type(exc.orig).__name__}.") from exc


commands = LeadsGroup("leads", help="Import, export and purge leads, and release them from the quarantine.")
commands.add_command(import_command)
commands.add_command(export_command)


@commands.group("quarantine")
def quarantined() -> None:
    """List and release what the spam traps caught."""


@quarantined.command("list")
@click.option("--limit", type=click.IntRange(1, quarantine.MAX_KEPT), default=50, show_default=True, help="At most.")
def list_quarantined(limit: int) -> None:
    """List what the traps caught in the last 30 days, newest first."""
    schema.require_current()
    show_table(COLUMNS, map(_row, quarantine.list_caught(limit=limit).items))


@quarantined.command()
@click.argument("ids", metavar="ID...", type=click.IntRange(1, MAX_ID), nargs=-1, required=True)
def release(ids: tuple[int, ...]) -> None:
    """Store entries with these IDs of the list as leads.

    An entry whose address is already stored is merged into that lead. The exit status is 1 if an ID does not
    exist.
    """
    schema.require_current()
    missing = False
    for item_id in ids:
        try:
            capture = captures.release(item_id)
        except QuarantinedLeadMissing as exc:
            missing = True
            click.echo(f"{item_id}: {exc}", err=True)
        else:
            done = "stored as lead" if capture.created else "added to what is known of lead"
            click.echo(f"{item_id}: {done} {capture.lead and capture.lead.id}.")
    if missing:
        click.get_current_context().exit(1)


def _row(caught: quarantine.Caught) -> tuple[str, ...]:
    texts = (caught.lead["email"], caught.lead["full_name"])
    # The texts of strangers may contain escape sequences of terminals.
    printable = ("".join(letter if letter.isprintable() else "\ufffd" for letter in text) for text in texts)
    return (str(caught.id), f"{caught.time:%Y-%m-%dT%H:%M:%SZ}", caught.reason, *printable)
