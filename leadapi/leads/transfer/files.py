"""Import a file, from opening it to its last row."""

import gc
import io
import stat
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from leadapi.leads.captures import NewLead
from leadapi.leads.transfer import progress
from leadapi.leads.transfer.checks import check
from leadapi.leads.transfer.columns import Columns
from leadapi.leads.transfer.errors import FileExists, RowError
from leadapi.leads.transfer.imports import RESOLUTIONS, Import, ParseRow
from leadapi.leads.transfer.progress import Progress
from leadapi.leads.transfer.refused import RefusedRows
from leadapi.leads.transfer.tables import EXTENSIONS, Row, Table

STANDARD_INPUT = "-"


@dataclass(frozen=True)
class Options:
    """The options of an import.

    :param format: `csv` or `ndjson`; None to recognise it.
    :param encoding: of a file without a byte order mark.
    :param columns: see `columns.Columns`.
    :param on_duplicate: one of `imports.RESOLUTIONS`.
    :param refused: the file for refused rows; None for one beside the imported file.
    :param dry_run: store nothing.
    :param restart: do not continue an interrupted run.
    """

    format: str | None = None
    encoding: str = "utf-8"
    columns: Mapping[str, str] = field(default_factory=dict)
    on_duplicate: str = "refuse"
    refused: Path | None = None
    dry_run: bool = False
    restart: bool = False


@dataclass(frozen=True)
class Outcome:
    """The numbers of rows by outcome, and the file of refused rows; None if there is none."""

    counts: Progress
    refused: Path | None


def import_file(
    name: str, options: Options, *, begun: Callable[[Progress], None], moved: Callable[[int, int | None], None]
) -> Outcome:
    """Import a file. If an earlier run was interrupted, continue after the last stored row.

    :param name: its path, or `-` for standard input, which cannot be continued.
    :param begun: called at the beginning with the progress of the interrupted run.
    :param moved: called after each chunk with the number of bytes that were read, and the size of the file, or
        None if it is not known.
    :raises errors.UnreadableFile: the file is not valid. It is read to its end first, so nothing is stored.
    :raises errors.UnknownColumn: the field of a column is unknown or ambiguous.
    :raises errors.FileExists: the file for refused rows exists.
    :raises errors.ImportRunning: another process imports the same file.
    """
    form = options.format or EXTENSIONS.get(Path(name).suffix.lower())
    with _rare_garbage_collection(), _opened(name) as (file, size):
        fingerprint = None
        if size is not None:
            fingerprint = _fingerprint(file, form, options)
            file.seek(0)
        table = Table(file, format=form, encoding=options.encoding)
        parse = _parse(Columns(table.header, options.columns))
        path = options.refused or _default_refused_path(name, table.dialect.format)
        with closing(RefusedRows(path, table)) as refused:
            if options.dry_run:
                job = Import(parse, RESOLUTIONS[options.on_duplicate], refused.add if options.refused else _discard)
                _refuse_overwriting(path if options.refused else None)
                done, steps = Progress(), job.simulate(table)
            else:
                job = Import(parse, RESOLUTIONS[options.on_duplicate], refused.add, fingerprint)
                done = _begin(fingerprint, path, restart=options.restart)
                steps = job.run(islice(table, done.rows, None), done)
            begun(done)
            for step in steps:
                done = step
                moved(table.position, size)
        table.release()
    return Outcome(done, path if done.refused and (options.refused or not options.dry_run) else None)


@contextmanager
def _rare_garbage_collection() -> Iterator[None]:
    """Collect reference cycles less often: rows have none, and the collector took a fifth of the time."""
    before = gc.get_threshold()
    gc.set_threshold(50_000, 20, 100)
    try:
        yield
    finally:
        gc.set_threshold(*before)


@contextmanager
def _opened(name: str) -> Iterator[tuple[Any, int | None]]:
    """A file and its size; None for a stream, which can be read only once."""
    if name == STANDARD_INPUT:
        yield sys.stdin.buffer, None
        return
    with Path(name).open("rb", buffering=0) as file:
        status = Path(name).stat()
        yield file, status.st_size if stat.S_ISREG(status.st_mode) else None


def _fingerprint(file: BinaryIO | io.RawIOBase, form: str | None, options: Options) -> str:
    """A digest of the file and the options. The file is read to its end, which finds errors before rows are stored."""
    table = Table(file, format=form, encoding=options.encoding)
    Columns(table.header, options.columns)
    for _ in table:
        pass
    how = orjson.dumps([form, options.encoding, sorted(options.columns.items()), options.on_duplicate])
    digest = blake2b(table.fingerprint + how, digest_size=32).hexdigest()
    table.release()
    return digest


def _parse(columns: Columns) -> ParseRow:
    def parse(row: Row) -> tuple[Row, NewLead | None, str]:
        try:
            return row, NewLead(check(columns.pick(row))), ""
        except RowError as exc:
            return row, None, str(exc)

    return parse


def _begin(fingerprint: str | None, path: Path, *, restart: bool) -> Progress:
    """The progress of an interrupted run, or that of a new one."""
    if fingerprint is None:
        _refuse_overwriting(path)
        return Progress()
    found = progress.find(fingerprint)
    if found is None or restart:
        _refuse_overwriting(path)
        return progress.begin(fingerprint)
    return found


def _refuse_overwriting(path: Path | None) -> None:
    # The file may have rows that somebody is correcting.
    if path and path.exists():
        raise FileExists(path)


def _default_refused_path(name: str, form: str) -> Path:
    return Path(f"{'stdin' if name == STANDARD_INPUT else name}.refused.{form}")


def _discard(_rows: Any, at: int) -> int:
    return at
