"""flask leads import and export."""

import codecs
import sys
import time
from contextlib import closing, redirect_stdout
from functools import partial
from pathlib import Path
from typing import Any

import click
from flask.cli import with_appcontext
from marshmallow import ValidationError

from leadapi.leads import schemas, service
from leadapi.leads.transfer import exports, files, imports
from leadapi.leads.transfer.errors import UnreadableFile
from leadapi.leads.transfer.output import open_output
from leadapi.leads.transfer.progress import Progress
from leadapi.leads.transfer.tables import EXTENSIONS
from leadapi.storage import schema
from leadapi.storage.commands import exit_on_interrupt, progress_bar
from leadapi.web.parsing import flat


def _mapping(_ctx: click.Context, _param: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    options = {}
    for value in values:
        column, equals, target = value.rpartition("=")
        if not (equals and column and target):
            raise click.BadParameter(f"{value!r} is not COLUMN=FIELD.")
        options[column] = target
    return options


def _encoding(_ctx: click.Context, _param: click.Parameter, value: str | None) -> str | None:
    if value is None:
        return None
    try:
        # Some codecs, such as rot13, do not encode text as bytes.
        "".encode(codecs.lookup(value).name)
    except LookupError as exc:
        raise click.BadParameter(f"{value!r} is not a known encoding.") from exc
    return value


@click.command("import")
@with_appcontext
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True))
@click.option(
    "--format", type=click.Choice(["csv", "ndjson"]), help="The format, if the name of the file does not show it."
)
@click.option(
    "--encoding",
    callback=_encoding,
    help="Of a file without a byte order mark, e.g. latin2.  [default: utf-8, or cp1252 if it cannot be UTF-8]",
)
@click.option(
    "--map",
    "columns",
    multiple=True,
    metavar="COLUMN=FIELD",
    callback=_mapping,
    help="The field of a column; attributes.NAME for an attribute, - to leave it out. COLUMN is a name, #NUMBER, or"
    " several of them joined by +. May be repeated.",
)
@click.option(
    "--on-duplicate",
    type=click.Choice(list(imports.RESOLUTIONS)),
    default="refuse",
    show_default=True,
    help="What to do with a row whose address is already stored.",
)
@click.option("--dry-run", is_flag=True, help="Store nothing, and report what would happen.")
@click.option(
    "--refused",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where refused rows go.  [default: FILE.refused.csv]",
)
@click.option("--restart", is_flag=True, help="Start anew instead of continuing an interrupted run.")
@click.option("--notify", is_flag=True, help="Tell destinations of each lead. Without it, an import sends nothing.")
def import_command(file: str, **options: Any) -> None:
    """Import leads from FILE: CSV or NDJSON, - for standard input.

    Columns are recognised by their names: Full Name is full_name, and so are First Name and Last Name together.
    Columns that are no field of a lead become attributes. Guesses are shown before anything is stored; --dry-run
    stores nothing. After an interruption, the same command continues where the import stopped.

    The exit status is 0 if every row was accepted, and 1 if rows were refused or the import failed.
    """
    schema.require_current()
    started = time.monotonic()
    after_interrupt = "Nothing was stored." if options["dry_run"] else "The same command continues where it stopped."
    with exit_on_interrupt(after_interrupt), progress_bar("Importing") as advance:
        listener = files.Listener(notify=partial(click.echo, err=True), begin=_tell_start, advance=advance)
        try:
            outcome = files.import_file(file, files.Options(**options), listener)
        except UnreadableFile as exc:
            raise click.ClickException(f"{file}: {exc}") from exc
    click.echo(_summary(outcome.counts, time.monotonic() - started, dry_run=options["dry_run"]))
    if outcome.refused:
        click.echo(
            f"The refused rows are in {outcome.refused}. They are people's data: remove it when it is done with."
        )
    if outcome.counts.refused:
        click.get_current_context().exit(1)


@click.command("export")
@with_appcontext
@click.option("--format", type=click.Choice(["csv", "ndjson"]), help="The format.  [default: csv, or by FILE's name]")
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write FILE, which appears when it is complete.",
    metavar="FILE",
)
@click.option("--status", help="Only those with this status.")
@click.option("--source", help="Only those from exactly this source.")
@click.option("--email", help="Only the one with this address.")
@click.option("--created-from", help="Only those captured at this time or later, such as 2026-02-28T10:00:00Z.")
@click.option("--created-to", help="Only those captured at this time or earlier.")
@click.option("--updated-from", help="Only those changed or captured at this time or later.")
@click.option("--q", help="Only those with each of these words, whatever its case and accents.")
@click.option("--sort", help="id, which is the default, or updated_at: the oldest first, or the newest with a minus.")
@click.option("--bom", is_flag=True, help="Begin CSV with a byte order mark, by which Excel recognises UTF-8.")
def export_command(output: Path | None, *, bom: bool, **options: Any) -> None:
    """Write the leads of one moment to standard output or a file.

    The file can be imported again.
    """
    if output and not options["format"]:
        options["format"] = EXTENSIONS.get(output.suffix.lower())
    try:
        args = schemas.LeadExportArgsSchema().load(
            {name: value for name, value in options.items() if value is not None}
        )
    except ValidationError as exc:
        wrong = flat(exc.messages_dict)
        name, (text, *_) = next(iter(wrong.items()))
        raise click.UsageError(f"--{name.replace('_', '-')}: {text}") from exc
    # Keep log lines out of the output.
    with (
        exit_on_interrupt("An export starts anew when the command is run again."),
        open_output(output) as file,
        redirect_stdout(sys.stderr),
    ):
        schema.require_current()
        file_format = args.pop("format", "csv")
        export = service.export_leads(file_format=file_format, **args)
        with closing(export):
            file.writelines(exports.WRITERS[file_format](export.chunks, bom=bom))
        file.flush()


def _tell_start(done: Progress) -> None:
    if done.rows:
        click.echo(f"Going on after row {done.rows:,}, where an earlier run stopped.", err=True)


def _summary(counts: Progress, seconds: float, *, dry_run: bool) -> str:
    what = "Nothing was stored. An import would have:" if dry_run else "Done:"
    return (
        f"{what} stored {counts.stored:,}, merged {counts.merged:,}, ignored {counts.ignored:,},"
        f" refused {counts.refused:,} of {counts.rows:,} rows in {seconds:.1f} seconds."
    )
