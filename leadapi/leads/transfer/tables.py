"""Read the rows of CSV and NDJSON files, in bounded memory."""

import csv
import io
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from typing import Any, BinaryIO

import orjson

from leadapi.leads.transfer.errors import UnreadableFile
from leadapi.leads.transfer.formulas import unescape_formula

SEPARATORS = ",;\t"
# A first line in which spreadsheets name the separator.
NAMED = re.compile(r"sep=([^\r\n])\s*", re.IGNORECASE)
EXTENSIONS = {".csv": "csv", ".tsv": "csv", ".ndjson": "ndjson", ".jsonl": "ndjson"}
# In characters. The longest valid cell is the attributes as JSON, with all quotes doubled.
MAX_CELL_LENGTH = 2**18
MAX_ROW_LENGTH = 2**20
# orjson reads deeper nesting than it writes. A line with at most this many brackets can be written.
SHALLOW = 200
# The column with the reason in files of refused rows, where it is the last one.
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


class Table:
    """The rows of a file, which can be iterated over once.

    :param format: `csv` or `ndjson`; None to recognise it.
    :param encoding: see `decoding.examine`.
    :param has_reasons: leave out the column `error`, which has the reasons for refusals.
    :raises UnreadableFile: the file is empty, or no CSV.
    """

    def __init__(
        self,
        file: BinaryIO,
        *,
        format: str | None,  # noqa: A002  # the option's name
        encoding: str,
        has_reasons: bool = False,
    ) -> None:
        file.seek(0)
        self._text = io.TextIOWrapper(file, encoding, newline="")
        self._has_reasons = has_reasons
        # Lines before the current row, and characters of the current row.
        self._line = self._length = 0
        first = next((line for line in self._lines() if line.strip()), None)
        if first is None:
            raise UnreadableFile("The file is empty.")
        kind = format or ("ndjson" if first.lstrip().startswith("{") else "csv")
        self.dialect = Dialect(kind, guess_separator(first) if kind == "csv" else "", encoding)
        self.header: list[str] | None = None
        self._rows = self._records(first) if kind == "csv" else self._objects(first)

    def __iter__(self) -> Iterator[Row]:
        return self._rows

    def release(self) -> None:
        """Detach the file, which stays open for another reading."""
        self._text.detach()

    def _lines(self) -> Iterator[str]:
        """The lines, as long as the row that they are part of is not too long."""
        readline = self._text.readline
        while line := readline(MAX_ROW_LENGTH + 1):
            self._line += 1
            self._length += len(line)
            if self._length > MAX_ROW_LENGTH:
                raise UnreadableFile(f"Line {self._line} is longer than {MAX_ROW_LENGTH:,} characters.")
            yield line

    @contextmanager
    def _errors_located(self) -> Iterator[None]:
        """Turn errors of the CSV reader into a sentence with the line."""
        try:
            yield
        except csv.Error as exc:
            raise UnreadableFile(f"Line {self._line} cannot be read as CSV: {exc}.") from exc

    def _records(self, first: str) -> Iterator[Row]:
        """The rows of a CSV file. The header is read before this returns."""
        csv.field_size_limit(MAX_CELL_LENGTH)
        start = [] if NAMED.fullmatch(first) else [first]
        reader = csv.reader(chain(start, self._lines()), delimiter=self.dialect.separator, strict=True)
        with self._errors_located():
            header = next((cells for cells in reader if any(cells)), None)
        if header is None:
            raise UnreadableFile("The file has no line that names its columns.")
        width = len(header)
        self.header = [unescape_formula(name) for name in (header[:-1] if self._has_reasons else header)]
        return self._cells(reader, width)

    def _cells(self, reader: Iterable[list[str]], width: int) -> Iterator[Row]:
        """The rows that are not blank."""
        with self._errors_located():
            self._length = 0
            for cells in reader:
                self._length = 0
                # Spreadsheets write a blank row as separators only.
                if not cells or not (cells[0] or any(cells)):
                    continue
                if self._has_reasons and len(cells) >= width:
                    del cells[width - 1]
                yield cells

    def _objects(self, first: str) -> Iterator[Row]:
        """The lines of an NDJSON file."""
        for line in chain([first], self._lines()):
            self._length = 0
            if line.strip():
                row = _object(line)
                if self._has_reasons and isinstance(row, dict):
                    row.pop(ERROR, None)
                yield row


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
    return row if isinstance(row, dict) else BrokenLine(line.rstrip("\r\n"))
