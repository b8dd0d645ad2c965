"""Import a file, from opening it to its last row."""

import gc
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, BinaryIO

import orjson

from leadapi.keys.service import OPERATOR
from leadapi.leads.captures import NewLead
from leadapi.leads.transfer import progress
from leadapi.leads.transfer.checks import check
from leadapi.leads.transfer.columns import Columns
from leadapi.leads.transfer.decoding import examine
from leadapi.leads.transfer.errors import FileExists, RowError
from leadapi.leads.transfer.imports import RESOLUTIONS, Import
from leadapi.leads.transfer.progress import Progress
from leadapi.leads.transfer.refused import RefusedRows
from leadapi.leads.transfer.samples import take_sample
from leadapi.leads.transfer.tables import EXTENSIONS, Row, Table

STANDARD_INPUT = "-"


@dataclass(frozen=True)
class Options:
    """The options of an import.

    :param format: `csv` or `ndjson`; None to recognise it.
    :param encoding: of a file without a byte order mark; None to recognise UTF-8 and windows-1252.
    :param columns: see `columns.Columns`.
    :param on_duplicate: one of `imports.RESOLUTIONS`.
    :param refused: the file for refused rows; None for one beside the imported file.
    :param dry_run: store nothing.
    :param restart: do not continue an interrupted run.
    :param notify: tell destinations of each lead.
    """

    format: str | None = None
    encoding: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    on_duplicate: str = "refuse"
    refused: Path | None = None
    dry_run: bool = False
    restart: bool = False
    notify: bool = False


@dataclass(frozen=True)
class Outcome:
    """The numbers of rows by outcome, and the file of refused rows; None if there is none."""

    counts: Progress
    refused: Path | None


@dataclass(frozen=True)
class Listener:
    """Receives the course of an import.

    :param notify: called with each guess and other notices, before anything is stored.
    :param begin: called with the progress of the interrupted run.
    :param advance: called after each chunk with the number of bytes that were read, and the size of the file.
    """

    notify: Callable[[str], None]
    begin: Callable[[Progress], None]
    advance: Callable[[int, int], None]


def import_file(name: str, options: Options, listener: Listener) -> Outcome:
    """Import a file. If an earlier run was interrupted, continue after the last stored row.

    :param name: its path, or `-` for standard input.
    :raises errors.UnreadableFile: the file is not valid. It is read to its end first, so nothing is stored.
    :raises errors.UnknownColumn: the field of a column is unknown.
    :raises errors.FileExists: the file for refused rows exists.
    :raises errors.ImportRunning: another process imports the same file.
    """
    with _rare_garbage_collection(), _opened(name) as file:
        source = _inspect(file, options.format or EXTENSIONS.get(Path(name).suffix.lower()), options)
        for notice in source.notices:
            listener.notify(notice)
        table = source.open_table()
        path = options.refused or _default_refused_path(name, table.dialect.format)
        resolution = RESOLUTIONS[options.on_duplicate]
        found = None if options.dry_run or options.restart else progress.find(source.fingerprint)
        if found is None and (options.refused or not options.dry_run):
            _refuse_overwriting(path)
        with closing(RefusedRows(path, table, continues=found is not None)) as refused:
            if options.dry_run:
                done = Progress()
                job = Import(source.parse, resolution, refused.add if options.refused else _discard)
                steps = job.simulate(table)
            else:
                done = found or progress.begin(source.fingerprint)
                by = replace(OPERATOR, announces=options.notify)
                job = Import(source.parse, resolution, refused.add, source.fingerprint, by)
                steps = job.run(islice(table, done.rows, None), done)
            listener.begin(done)
            for step in steps:
                done = step
                listener.advance(file.tell(), source.size)
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
def _opened(name: str) -> Iterator[BinaryIO]:
    """A file that can be read several times. A stream is copied to a temporary file without a name."""
    if name != STANDARD_INPUT and Path(name).is_file():
        with Path(name).open("rb") as file:
            yield file
        return
    with TemporaryFile() as copy:
        with nullcontext(sys.stdin.buffer) if name == STANDARD_INPUT else Path(name).open("rb") as stream:
            shutil.copyfileobj(stream, copy, 2**20)
        yield copy


@dataclass(frozen=True)
class _Source:
    """A file whose encoding and columns are known."""

    open_table: Callable[[], Table]
    columns: Columns
    notices: list[str]
    fingerprint: str
    size: int

    def parse(self, row: Row) -> tuple[Row, NewLead | None, str]:
        try:
            return row, NewLead(check(self.columns.pick(row))), ""
        except RowError as exc:
            return row, None, str(exc)


def _inspect(file: BinaryIO, file_format: str | None, options: Options) -> _Source:
    """Read a file to its end, which finds errors before rows are stored."""
    content = examine(file, options.encoding)
    size = file.tell()

    def open_table(*, has_reasons: bool) -> Table:
        return Table(file, format=file_format, encoding=content.encoding, has_reasons=has_reasons)

    table = open_table(has_reasons=False)
    sample = take_sample(table)
    table.release()
    table = open_table(has_reasons=sample.has_reasons)
    columns = Columns(table.header, options.columns, sample.addresses)
    for row in table:
        if columns.has_notices_in_rows:
            with suppress(RowError):
                columns.pick(row)
    table.release()
    how = orjson.dumps([file_format, options.encoding, sorted(options.columns.items()), options.on_duplicate])
    return _Source(
        partial(open_table, has_reasons=sample.has_reasons),
        columns,
        [content.notice, *columns.notices] if content.notice else columns.notices,
        blake2b(content.digest + how, digest_size=32).hexdigest(),
        size,
    )


def _refuse_overwriting(path: Path) -> None:
    # The file may have rows that somebody is correcting.
    if path.exists():
        raise FileExists(path)


def _default_refused_path(name: str, file_format: str) -> Path:
    return Path(f"{'stdin' if name == STANDARD_INPUT else name}.refused.{file_format}")


def _discard(_rows: Any, at: int) -> int:
    return at
