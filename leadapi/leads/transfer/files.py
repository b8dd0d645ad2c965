"""Imports one file, from opening it to the last of its rows."""

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
from leadapi.leads.transfer.checks import Refused, check
from leadapi.leads.transfer.columns import Columns, Misfit
from leadapi.leads.transfer.imports import RESOLUTIONS, Import, Judge
from leadapi.leads.transfer.progress import Progress
from leadapi.leads.transfer.tables import EXTENSIONS, InTheWay, RefusedRows, Row, Table

STANDARD_INPUT = "-"


@dataclass(frozen=True)
class Wishes:
    """How a file is to be imported.

    :param format: `csv` or `ndjson`; None to find out.
    :param encoding: of a file without a byte order mark.
    :param columns: see `columns.Columns`.
    :param on_duplicate: one of `imports.RESOLUTIONS`.
    :param refused: where refused rows go; None for a file beside the imported one.
    :param dry_run: store nothing.
    :param restart: begin anew, though an earlier run was interrupted.
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
    """What became of the rows, and where those are that were refused; None where there are none to see."""

    counts: Progress
    refused: Path | None


def import_file(
    name: str, wishes: Wishes, *, begun: Callable[[Progress], None], moved: Callable[[int, int | None], None]
) -> Outcome:
    """Import a file. It can be called again after it was interrupted: what is done is not done twice.

    :param name: its path, or `-` for standard input, which is read once and cannot go on.
    :param begun: called at the beginning with how far an earlier run came.
    :param moved: called after each chunk with how many bytes are read, and the size of the file, which is None
        where it is not known.
    :raises tables.Unreadable: it is not what it is taken for. A file is read to its end first, so nothing is stored.
    :raises columns.Unmapped: it is not clear which column is which field.
    :raises tables.InTheWay: see there.
    :raises progress.ImportedElsewhere: another process imports the same file.
    """
    form = wishes.format or EXTENSIONS.get(Path(name).suffix.lower())
    with _seldom_collecting(), _opened(name) as (file, size):
        fingerprint = None
        if size is not None:
            fingerprint = _fingerprint(file, form, wishes)
            file.seek(0)
        table = Table(file, format=form, encoding=wishes.encoding)
        judge = _judge(Columns(table.header, wishes.columns))
        path = wishes.refused or _beside(name, table.form.format)
        with closing(RefusedRows(path, table)) as refused:
            if wishes.dry_run:
                job = Import(judge, RESOLUTIONS[wishes.on_duplicate], refused.add if wishes.refused else _forget)
                _refuse_overwriting(path if wishes.refused else None)
                done, steps = Progress(), job.foresee(table)
            else:
                job = Import(judge, RESOLUTIONS[wishes.on_duplicate], refused.add, fingerprint)
                done = _begin(fingerprint, path, restart=wishes.restart)
                steps = job.run(islice(table, done.rows, None), done)
            begun(done)
            for step in steps:
                done = step
                moved(table.position, size)
        table.release()
    return Outcome(done, path if done.refused and (wishes.refused or not wishes.dry_run) else None)


@contextmanager
def _seldom_collecting() -> Iterator[None]:
    """Look for circles of objects less often: rows have none, and looking took a fifth of the time."""
    before = gc.get_threshold()
    gc.set_threshold(50_000, 20, 100)
    try:
        yield
    finally:
        gc.set_threshold(*before)


@contextmanager
def _opened(name: str) -> Iterator[tuple[Any, int | None]]:
    """The bytes of a file, and how many they are; None for what is not a file, and can be read only once."""
    if name == STANDARD_INPUT:
        yield sys.stdin.buffer, None
        return
    with Path(name).open("rb", buffering=0) as file:
        status = Path(name).stat()
        yield file, status.st_size if stat.S_ISREG(status.st_mode) else None


def _fingerprint(file: BinaryIO | io.RawIOBase, form: str | None, wishes: Wishes) -> str:
    """What tells this import from others. The file is read to its end, so what is wrong with it is found first."""
    table = Table(file, format=form, encoding=wishes.encoding)
    Columns(table.header, wishes.columns)
    for _ in table:
        pass
    how = orjson.dumps([form, wishes.encoding, sorted(wishes.columns.items()), wishes.on_duplicate])
    digest = blake2b(table.fingerprint + how, digest_size=32).hexdigest()
    table.release()
    return digest


def _judge(columns: Columns) -> Judge:
    def judge(row: Row) -> tuple[Row, NewLead | None, str]:
        try:
            return row, NewLead(check(columns.pick(row))), ""
        except (Misfit, Refused) as exc:
            return row, None, str(exc)

    return judge


def _begin(fingerprint: str | None, path: Path, *, restart: bool) -> Progress:
    """How far an earlier run came, whose file of refused rows goes on, too."""
    if fingerprint is None:
        _refuse_overwriting(path)
        return Progress()
    found = progress.find(fingerprint)
    if found is None or restart:
        _refuse_overwriting(path)
        return progress.begin(fingerprint)
    return found


def _refuse_overwriting(path: Path | None) -> None:
    # It may have rows that somebody is correcting.
    if path and path.exists():
        raise InTheWay(path)


def _beside(name: str, form: str) -> Path:
    return Path(f"{'stdin' if name == STANDARD_INPUT else name}.refused.{form}")


def _forget(_rows: Any, at: int) -> int:
    return at
