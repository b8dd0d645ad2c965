"""Files of rows, as programs and spreadsheets write them: CSV and NDJSON, read in constant memory."""

import codecs
import csv
import io
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import blake2b
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from leadapi.leads.transfer.exports import armed, disarmed

# What a file that begins with one of these is written in, whatever anybody says.
MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
SEPARATORS = ",;\t"
# A first line that spreadsheets understand, and write.
NAMED = re.compile(r"sep=([^\r\n])\s*", re.IGNORECASE)
EXTENSIONS = {".csv": "csv", ".tsv": "csv", ".ndjson": "ndjson", ".jsonl": "ndjson"}
# Longer than the longest value that is accepted: the attributes as JSON, with all quotes doubled.
LONGEST_CELL = 2**18
# Brackets in a line of NDJSON. What has fewer can be written as well as read, whatever is in what.
SHALLOW = 200
# The column in which a refused row has its reason.
ERROR = "error"


class Unreadable(Exception):
    """The file is not what it is taken for; the message is a sentence for who wrote it."""


class InTheWay(Exception):
    """There is a file already where the refused rows would be written."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path} is there already. Remove it, or name another file with --refused.")


@dataclass(frozen=True)
class Broken:
    """A line that is no row."""

    line: str


# The cells of a line, or an object.
Row = list[str] | dict[str, Any] | Broken


@dataclass(frozen=True)
class Form:
    """How a file is written."""

    format: str
    separator: str
    encoding: str


def plain(name: str) -> str:
    """What the spellings of a column's name have in common: Full Name is full_name."""
    return re.sub(r"[\s_]+", "", name).casefold()


class Table:
    """The rows of a file, to be read once. An `error` column is left out: it tells why a row was refused before.

    :param file: read from where it is.
    :param format: `csv` or `ndjson`; None to find out.
    :param encoding: of a file that does not begin with a byte order mark.
    :raises Unreadable: it has no rows, or is in another encoding.
    """

    def __init__(self, file: io.RawIOBase | BinaryIO, *, format: str | None, encoding: str) -> None:  # noqa: A002  # the option's name
        self._bytes = _Counted(file)  # type: ignore[arg-type]  # any file that can be read will do
        start = self._bytes.peek(8)
        encoding = next((name for mark, name in MARKS.items() if start.startswith(mark)), codecs.lookup(encoding).name)
        self._lines = io.TextIOWrapper(self._bytes, encoding, newline="")
        self._reader: Any = None
        # How many lines the reader does not count.
        self._before = 0
        self.form = Form(format or "", "", encoding)
        first = self._first()
        form = format or ("ndjson" if first.lstrip().startswith("{") else "csv")
        self.form = Form(form, _separator(first) if form == "csv" else "", encoding)
        self.header: list[str] | None = None
        self._rows = self._records(first) if form == "csv" else self._objects(first)

    def __iter__(self) -> Iterator[Row]:
        return self._rows

    @property
    def position(self) -> int:
        """How many bytes have been read."""
        return self._bytes.total

    @property
    def fingerprint(self) -> bytes:
        """A digest of what has been read."""
        return self._bytes.digest.digest()

    def release(self) -> None:
        """Leave the file open, so that it can be read again."""
        self._lines.detach().detach()

    def _first(self) -> str:
        """The first line that has something in it."""
        with self._explained():
            while line := self._lines.readline():
                self._before += 1
                if line.strip():
                    return line
        raise Unreadable("The file is empty.")

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Say what is wrong, and where."""
        try:
            yield
        except UnicodeError as exc:
            # The last part of what was taken is what could not be decoded.
            rest = len(exc.object) - exc.start if isinstance(exc, UnicodeDecodeError) else 0
            name = "UTF-8" if self.form.encoding.startswith("utf-8") else self.form.encoding
            raise Unreadable(
                f"The file is not {name}: see byte {self._bytes.total - rest}, counted from 0."
                " Save it as UTF-8, or tell its encoding, such as --encoding cp1252."
            ) from exc
        except csv.Error as exc:
            line = self._before + (self._reader.line_num if self._reader else 0)
            raise Unreadable(f"Line {line} cannot be read as CSV: {exc}.") from exc

    def _records(self, first: str) -> Iterator[Row]:
        """The lines of a CSV file, after its header, which is read at once."""
        csv.field_size_limit(LONGEST_CELL)
        start = [] if NAMED.fullmatch(first) else [first]
        self._before -= len(start)
        self._reader = csv.reader(chain(start, self._lines), delimiter=self.form.separator, strict=True)
        with self._explained():
            header = next((cells for cells in self._reader if any(cells)), None)
        if header is None:
            raise Unreadable("The file has no line that names its columns.")
        told = [index for index, name in enumerate(header) if plain(name) == ERROR]
        self.header = [armed(name) for index, name in enumerate(header) if index not in told]
        return self._cells(self._reader, told[::-1], len(header))

    def _cells(self, reader: Iterable[list[str]], left_out: list[int], width: int) -> Iterator[Row]:
        """The lines that have something in them, without some columns."""
        with self._explained():
            for cells in reader:
                # A line of separators alone is an empty one of a spreadsheet.
                if not cells or not (cells[0] or any(cells)):
                    continue
                if left_out and len(cells) >= width:
                    for index in left_out:
                        del cells[index]
                yield cells

    def _objects(self, first: str) -> Iterator[Row]:
        """The lines of an NDJSON file."""
        with self._explained():
            for line in chain([first], self._lines):
                if line.strip():
                    yield _object(line)


def _separator(first: str) -> str:
    """What the first line of a file names, or has most of, outside of quotes."""
    if named := NAMED.fullmatch(first):
        return named[1]
    bare = re.sub(r'"[^"]*"', "", first)
    return max(SEPARATORS, key=bare.count)


def _object(line: str) -> Row:
    try:
        row = orjson.loads(line)
        if line.count("[") + line.count("{") > SHALLOW:
            # What is too deep to be written could not be put among the refused rows, where it will go.
            orjson.dumps(row)
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):
        row = None
    if not isinstance(row, dict):
        return Broken(line.rstrip("\r\n"))
    row.pop(ERROR, None)
    return row


class _Counted(io.BufferedReader):
    """Bytes, counted and digested as they are taken."""

    def __init__(self, raw: io.RawIOBase) -> None:
        super().__init__(raw, 2**16)
        self.total = 0
        self.digest = blake2b(digest_size=32)

    def read1(self, size: int = -1, /) -> bytes:
        data = super().read1(size)
        self.total += len(data)
        self.digest.update(data)
        return data


class RefusedRows:
    """A file for rows that were refused, written as the file they come from, with the reason in a last column.

    It is made when there is one to write, and for its owner alone, because it holds people's data.
    """

    def __init__(self, path: Path, table: Table) -> None:
        self.path = path
        self._form = table.form
        self._header = table.header
        self._file: io.RawIOBase | None = None

    def add(self, rows: Iterable[tuple[Row, str]], at: int) -> int:
        """Write rows where the file had this size, forget what came after it, and return the new size.

        What is written is on disk when this returns.

        :raises InTheWay: it is shorter, or what came after is not what an interrupted run has left of these rows.
        """
        is_first = self._file is None
        size = at
        if self._file is None:
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            self._file = io.FileIO(os.open(self.path, flags, 0o600), "r+")
            size = os.fstat(self._file.fileno()).st_size
            # Where somebody took the file away meanwhile, what it had is not to be made up by zeros.
            at = at if size else 0
        text = self._ndjson(rows) if self._form.format == "ndjson" else self._csv(rows, with_header=not at)
        # A mark goes before --encoding, so that the file can be imported with the options of the first.
        mark = b"" if at or self._form.encoding == "utf-8" else codecs.BOM_UTF8
        text = mark + text
        self._file.seek(at)
        # Rows that somebody has corrected, or those of another file, are not forgotten, nor mixed with these.
        if is_first and (size < at or not text.startswith(self._file.read(len(text) + 1))):
            raise InTheWay(self.path)
        self._file.seek(at)
        self._file.truncate()
        data = memoryview(text)
        while data:
            data = data[self._file.write(data) :]
        os.fsync(self._file.fileno())
        return self._file.tell()

    def close(self) -> None:
        """Close the file, where there is one."""
        if self._file is not None:
            self._file.close()

    def _csv(self, rows: Iterable[tuple[Row, str]], *, with_header: bool) -> bytes:
        text = io.StringIO(newline="")
        writer = csv.writer(text, delimiter=self._form.separator)
        header = self._header or []
        if with_header:
            writer.writerow([*map(disarmed, header), ERROR])
        for row, reason in rows:
            cells = [disarmed(armed(cell)) for cell in row] if isinstance(row, list) else []
            # The reason stands in its column, also where the row has more cells than there are columns.
            missing = [""] * (len(header) - len(cells))
            writer.writerow([*cells[: len(header)], *missing, reason, *cells[len(header) :]])
        text.seek(0)
        # It may have been told by a line that is none of the rows.
        is_clear = not with_header or _separator(text.readline()) == self._form.separator
        return ("" if is_clear else f"sep={self._form.separator}\r\n").encode() + text.getvalue().encode()

    def _ndjson(self, rows: Iterable[tuple[Row, str]]) -> bytes:
        return b"".join(
            orjson.dumps(
                {**(row if isinstance(row, dict) else {"line": getattr(row, "line", "")}), ERROR: reason},
                option=orjson.OPT_APPEND_NEWLINE,
            )
            for row, reason in rows
        )
