"""flask leads: bring leads in from files, and write them to files."""

import codecs
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, redirect_stdout
from pathlib import Path
from typing import IO, Any

import click
from marshmallow import ValidationError
from sqlalchemy.exc import DBAPIError

from leadapi.leads import captures, schemas, service
from leadapi.leads.transfer import exports, files, imports
from leadapi.leads.transfer.columns import Unmapped
from leadapi.leads.transfer.progress import ImportedElsewhere, Progress
from leadapi.leads.transfer.tables import EXTENSIONS, InTheWay, Unreadable
from leadapi.quarantine import service as quarantine
from leadapi.quarantine.errors import SuspectMissing
from leadapi.storage import schema
from leadapi.storage.commands import DatabaseGroup, show_table
from leadapi.web.fields import MAX_ID
from leadapi.web.parsing import flat

COLUMNS = ("ID", "TIME", "REASON", "ADDRESS", "NAME")


class LeadsGroup(DatabaseGroup):
    """Commands that need the newest schema, and say in a sentence what went wrong."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (Unreadable, Unmapped, InTheWay, ImportedElsewhere) as exc:
            raise click.ClickException(str(exc)) from exc
        except BrokenPipeError:
            # Who reads has enough; click knows what to do then.
            raise
        except OSError as exc:
            raise click.ClickException(f"{exc.filename or 'A file'}: {exc.strerror}.") from exc
        except DBAPIError as exc:
            # Its words may repeat what people wrote.
            raise click.ClickException(f"The database refused it: {type(exc.orig).__name__}.") from exc


commands = LeadsGroup("leads", help="Bring leads in from files, and write them to files.")


def _mapping(_ctx: click.Context, _param: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    wishes = {}
    for value in values:
        column, equals, target = value.rpartition("=")
        if not (equals and column and target):
            raise click.BadParameter(f"{value!r} is not COLUMN=FIELD.")
        wishes[column] = target
    return wishes


def _encoding(_ctx: click.Context, _param: click.Parameter, value: str) -> str:
    try:
        # Some codecs are no encodings of text.
        "".encode(codecs.lookup(value).name)
    except LookupError as exc:
        raise click.BadParameter(f"{value!r} is not a known encoding.") from exc
    return value


@commands.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True))
@click.option("--format", type=click.Choice(["csv", "ndjson"]), help="The kind of file, if its name does not tell.")
@click.option(
    "--encoding", default="utf-8", callback=_encoding, show_default=True, help="If it has no mark, e.g. cp1252."
)
@click.option(
    "--map",
    "columns",
    multiple=True,
    metavar="COLUMN=FIELD",
    callback=_mapping,
    help="Which field a column is; attributes.NAME for an attribute, - to leave it out. May be repeated.",
)
@click.option(
    "--on-duplicate",
    type=click.Choice(list(imports.RESOLUTIONS)),
    default="refuse",
    show_default=True,
    help="What to do with a row whose address is stored already.",
)
@click.option("--dry-run", is_flag=True, help="Store nothing, and tell what would happen.")
@click.option(
    "--refused",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where refused rows go.  [default: FILE.refused.csv]",
)
@click.option("--restart", is_flag=True, help="Begin anew, though an earlier run was interrupted.")
def import_(file: str, **wishes: Any) -> None:
    """Bring in leads from FILE: CSV or NDJSON, - for standard input.

    Columns are told by their names; Full Name is full_name. Those that are no field of a lead become attributes.
    Interrupted, it goes on where it stopped when the same command is given again.

    The exit status is 0 when every row was taken, and 1 when some were refused or it could not be done.
    """
    schema.require_current()
    started = time.monotonic()
    with _bar() as moved:
        outcome = files.import_file(file, files.Wishes(**wishes), begun=_say_where, moved=moved)
    click.echo(_summary(outcome.counts, time.monotonic() - started, dry_run=wishes["dry_run"]))
    if outcome.refused:
        click.echo(
            f"The refused rows are in {outcome.refused}. They are people's data: remove it when it is done with."
        )
    if outcome.counts.refused:
        click.get_current_context().exit(1)


@commands.command("export")
@click.option(
    "--format", type=click.Choice(["csv", "ndjson"]), help="The kind of file.  [default: csv, or by FILE's name]"
)
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write FILE when all is there.",
    metavar="FILE",
)
@click.option("--status", help="Only those with this status.")
@click.option("--source", help="Only those from exactly this source.")
@click.option("--email", help="Only the one with this address.")
@click.option("--created-from", help="Only those captured at this time or later, such as 2026-02-28T10:00:00Z.")
@click.option("--created-to", help="Only those captured at this time or earlier.")
@click.option("--sort", help="id for the oldest first, which is the default; -id for the newest.")
def export(output: Path | None, **wishes: Any) -> None:
    """Write leads to standard output or a file, as they are at one moment.

    What is written can be imported again.
    """
    if output and not wishes["format"]:
        wishes["format"] = EXTENSIONS.get(output.suffix.lower())
    try:
        args = schemas.LeadExportArgsSchema().load({name: value for name, value in wishes.items() if value is not None})
    except ValidationError as exc:
        wrong = flat(exc.messages_dict)
        name, (text, *_) = next(iter(wrong.items()))
        raise click.UsageError(f"--{name.replace('_', '-')}: {text}") from exc
    # What is logged must not get between the leads.
    with _written(output) as file, redirect_stdout(sys.stderr):
        schema.require_current()
        file_format = args.pop("format", "csv")
        export = service.export_leads(file_format=file_format, **args)
        with closing(export):
            file.writelines(exports.WRITERS[file_format](export.chunks))
        file.flush()


@commands.group("quarantine")
def quarantined() -> None:
    """Look at what was caught by a trap, and let it in."""


@quarantined.command("list")
@click.option("--limit", type=click.IntRange(1, quarantine.MOST_KEPT), default=50, show_default=True, help="At most.")
def list_quarantined(limit: int) -> None:
    """Show what was caught in the last 30 days, the newest first."""
    schema.require_current()
    show_table(COLUMNS, map(_row, quarantine.list_caught(limit=limit)))


@quarantined.command()
@click.argument("ids", metavar="ID...", type=click.IntRange(1, MAX_ID), nargs=-1, required=True)
def release(ids: tuple[int, ...]) -> None:
    """Let in what has this ID, as the list shows it, as a lead.

    Where a lead with its address is stored, it is merged into that one. The exit status is 1 when
    nothing has one of the IDs.
    """
    schema.require_current()
    missing = False
    for suspect_id in ids:
        try:
            capture = captures.release(suspect_id)
        except SuspectMissing as exc:
            missing = True
            click.echo(f"{suspect_id}: {exc}", err=True)
        else:
            done = "stored as lead" if capture.created else "added to what is known of lead"
            click.echo(f"{suspect_id}: {done} {capture.lead and capture.lead.id}.")
    if missing:
        click.get_current_context().exit(1)


def _row(caught: quarantine.Caught) -> tuple[str, ...]:
    texts = (caught.lead["email"], caught.lead["full_name"])
    # Whoever wrote them may have tried to write more to the terminal than is to be seen.
    printable = ("".join(letter if letter.isprintable() else "\ufffd" for letter in text) for text in texts)
    return (str(caught.id), f"{caught.time:%Y-%m-%dT%H:%M:%SZ}", caught.reason, *printable)


def _say_where(done: Progress) -> None:
    if done.rows:
        click.echo(f"Going on after row {done.rows:,}, where an earlier run stopped.", err=True)


@contextmanager
def _bar() -> Iterator[Callable[[int, int | None], None]]:
    """What shows how far an import is, where somebody looks."""
    if not sys.stderr.isatty():
        yield lambda _position, _size: None
        return
    with click.progressbar(length=1, label="Importing", file=sys.stderr) as bar:

        def moved(position: int, size: int | None) -> None:
            # Of a stream, nobody knows the end.
            bar.length = size or position + 1
            bar.update(position - bar.pos)

        yield moved


def _summary(counts: Progress, seconds: float, *, dry_run: bool) -> str:
    what = "Nothing was stored. An import would have:" if dry_run else "Done:"
    return (
        f"{what} stored {counts.stored:,}, merged {counts.merged:,}, ignored {counts.ignored:,},"
        f" refused {counts.refused:,} of {counts.rows:,} rows in {seconds:.1f} seconds."
    )


@contextmanager
def _written(path: Path | None) -> Iterator[IO[bytes]]:
    """A file that is there when it is whole, and for its owner alone; or standard output."""
    if path is None:
        yield sys.stdout.buffer
        return
    # A pipe or a device, such as /dev/stdout, is written to. A file must not take its place.
    if path.exists() and not path.is_file():
        with path.open("wb") as file:
            yield file
        return
    # A link stays, and leads to what is written.
    path = path.resolve()
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with _ending_in_order(), os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink()
        raise


@contextmanager
def _ending_in_order() -> Iterator[None]:
    """Let who is told to end, or whose terminal is closed, take away first what nobody would look for."""
    numbers = [number for number in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(number) == signal.SIG_DFL]
    for number in numbers:
        signal.signal(number, lambda number, _frame: sys.exit(128 + number))
    try:
        yield
    finally:
        for number in numbers:
            signal.signal(number, signal.SIG_DFL)
