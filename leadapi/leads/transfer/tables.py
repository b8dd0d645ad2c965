"""Read the rows of CSV and NDJSON files."""

import codecs
import csv
import io
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import blake2b
from itertools import chain
from typing import Any, BinaryIO

import orjson

from leadapi.leads.transfer.errors import UnreadableFile
from leadapi.leads.transfer.formulas import unescape_formula

# Byte order marks, which override `--encoding`.
MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
SEPARATORS = ",;\t"
# A first line in which spreadsheets name the separator.
NAMED = re.compile(r"sep=([^\r\n])\s*", re.IGNORECASE)
EXTENSIONS = {".csv": "csv", ".tsv": "csv", ".ndjson": "ndjson", ".jsonl": "ndjson"}
# In characters. The longest valid cell is the attributes as JSON, with all quotes doubled.
LONGEST_CELL = 2**18
# orjson reads deeper nesting than it writes. A line with at most this many brackets can be written.
SHALLOW = 200
# The column with the reason in files of refused rows.
ERROR = "error"


@dataclass(frozen=True)
class BrokenLine:
    """A line of NDJSON that is not an object."""

    line: str


# The cells of a CSV row, or an object of NDJSON.
Row = list[str] | dict[str, Any] | BrokenLine


@dataclass(frozen=True)
class Dialect:
    """The format, separator and encoding of a file."""

    format: str
    separator: str
    encoding: str


def normalize_name(name: str) -> str:
    """The name of a column without spaces, underscores and case: Full Name is full_name."""
    return re.sub(r"[\s_]+", "", name).casefold()


class Table:
    """The rows of a file, which can be iterated over once, without the column `error` of refused rows.

    :param file: read from its current position.
    :param format: `csv` or `ndjson`; None to recognise it.
    :param encoding: of a file that does not begin with a byte order mark.
    :raises UnreadableFile: it is empty or not in this encoding.
    """

    def __init__(self, file: io.RawIOBase | BinaryIO, *, format: str | None, encoding: str) -> None:  # noqa: A002  # the option's name
        self._bytes = _DigestingReader(file)  # type: ignore[arg-type]  # any file that can be read will do
        start = self._bytes.peek(8)
        encoding = next((name for mark, name in MARKS.items() if start.startswith(mark)), codecs.lookup(encoding).name)
        self._lines = io.TextIOWrapper(self._bytes, encoding, newline="")
        self._reader: Any = None
        # The number of lines that the CSV reader does not count.
        self._before = 0
        self.dialect = Dialect(format or "", "", encoding)
        first = self._first()
        form = format or ("ndjson" if first.lstrip().startswith("{") else "csv")
        self.dialect = Dialect(form, guess_separator(first) if form == "csv" else "", encoding)
        self.header: list[str] | None = None
        self._rows = self._records(first) if form == "csv" else self._objects(first)

    def __iter__(self) -> Iterator[Row]:
        return self._rows

    @property
    def position(self) -> int:
        """The number of bytes that have been read."""
        return self._bytes.total

    @property
    def fingerprint(self) -> bytes:
        """A digest of the bytes that have been read."""
        return self._bytes.digest.digest()

    def release(self) -> None:
        """Detach the file, which stays open for another reading."""
        self._lines.detach().detach()

    def _first(self) -> str:
        """The first line that is not blank."""
        with self._errors_located():
            while line := self._lines.readline():
                self._before += 1
                if line.strip():
                    return line
        raise UnreadableFile("The file is empty.")

    @contextmanager
    def _errors_located(self) -> Iterator[None]:
        """Turn errors of the codec and the CSV reader into a sentence with the position."""
        try:
            yield
        except UnicodeError as exc:
            # The codec got the last bytes that were read, and failed at exc.start of them.
            rest = len(exc.object) - exc.start if isinstance(exc, UnicodeDecodeError) else 0
            name = "UTF-8" if self.dialect.encoding.startswith("utf-8") else self.dialect.encoding
            raise UnreadableFile(
                f"The file is not {name}: see byte {self._bytes.total - rest}, counted from 0."
                " Save it as UTF-8, or tell its encoding, such as --encoding cp1252."
            ) from exc
        except csv.Error as exc:
            line = self._before + (self._reader.line_num if self._reader else 0)
            raise UnreadableFile(f"Line {line} cannot be read as CSV: {exc}.") from exc

    def _records(self, first: str) -> Iterator[Row]:
        """The rows of a CSV file. The header is read before this returns."""
        csv.field_size_limit(LONGEST_CELL)
        start = [] if NAMED.fullmatch(first) else [first]
        self._before -= len(start)
        self._reader = csv.reader(chain(start, self._lines), delimiter=self.dialect.separator, strict=True)
        with self._errors_located():
            header = next((cells for cells in self._reader if any(cells)), None)
        if header is None:
            raise UnreadableFile("The file has no line that names its columns.")
        error_columns = [index for index, name in enumerate(header) if normalize_name(name) == ERROR]
        self.header = [unescape_formula(name) for index, name in enumerate(header) if index not in error_columns]
        return self._cells(self._reader, error_columns[::-1], len(header))

    def _cells(self, reader: Iterable[list[str]], left_out: list[int], width: int) -> Iterator[Row]:
        """The rows that are not blank, without the columns `left_out`, which are in descending order."""
        with self._errors_located():
            for cells in reader:
                # Spreadsheets write a blank row as separators only.
                if not cells or not (cells[0] or any(cells)):
                    continue
                if left_out and len(cells) >= width:
                    for index in left_out:
                        del cells[index]
                yield cells

    def _objects(self, first: str) -> Iterator[Row]:
        """The lines of an NDJSON file."""
        with self._errors_located():
            for line in chain([first], self._lines):
                if line.strip():
                    yield _object(line)


def guess_separator(first: str) -> str:
    """The separator that the first line names, or that is the most frequent one outside of quotes."""
    if named := NAMED.fullmatch(first):
        return named[1]
    bare = re.sub(r'"[^"]*"', "", first)
    return max(SEPARATORS, key=bare.count)


def _object(line: str) -> Row:
    try:
        row = orjson.loads(line)
        if line.count("[") + line.count("{") > SHALLOW:
            # A row that cannot be written could not go to the refused rows.
            orjson.dumps(row)
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):
        row = None
    if not isinstance(row, dict):
        return BrokenLine(line.rstrip("\r\n"))
    row.pop(ERROR, None)
    return row


class _DigestingReader(io.BufferedReader):
    """A reader that counts and digests the bytes it returns."""

    def __init__(self, raw: io.RawIOBase) -> None:
        super().__init__(raw, 2**16)
        self.total = 0
        self.digest = blake2b(digest_size=32)

    def read1(self, size: int = -1, /) -> bytes:
        data = super().read1(size)
        self.total += len(data)
        self.digest.update(data)
        return data
