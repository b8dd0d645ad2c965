"""The file of refused rows."""

import codecs
import csv
import io
import os
from collections.abc import Iterable
from pathlib import Path

import orjson

from leadapi.leads.transfer.errors import FileExists
from leadapi.leads.transfer.formulas import escape_formula, unescape_formula
from leadapi.leads.transfer.tables import ERROR, Row, Table, guess_separator


class RefusedRows:
    """Writes refused rows in the dialect of the imported file, with the reason in a last column.

    The file is created with the first refused row, and only its owner can read it, because it has personal data.

    :param continues: whether an interrupted run may have created the file.
    """

    def __init__(self, path: Path, table: Table, *, continues: bool = False) -> None:
        self.path = path
        self._continues = continues
        self._dialect = table.dialect
        self._header = table.header
        self._file: io.RawIOBase | None = None

    def add(self, rows: Iterable[tuple[Row, str]], at: int) -> int:
        """Write rows at the position `at`, truncate the file after them, and return the new size.

        The rows are synced to the disk before this returns.

        :raises FileExists: the file is shorter, or does not continue with rows that an interrupted run wrote.
        """
        is_first = self._file is None
        size = at
        if self._file is None:
            self._file = self._open()
            size = os.fstat(self._file.fileno()).st_size
            # If the file was removed meanwhile, it starts anew instead of with zeros.
            at = at if size else 0
        text = self._ndjson(rows) if self._dialect.format == "ndjson" else self._csv(rows, with_header=not at)
        # A mark overrides --encoding, so this file can be imported with the options of the original one.
        mark = b"" if at or self._dialect.encoding == "utf-8" else codecs.BOM_UTF8
        text = mark + text
        self._file.seek(at)
        # Do not overwrite rows that somebody has corrected, or another file.
        if is_first and (size < at or not text.startswith(self._file.read(len(text) + 1))):
            raise FileExists(self.path)
        self._file.seek(at)
        self._file.truncate()
        data = memoryview(text)
        while data:
            data = data[self._file.write(data) :]
        os.fsync(self._file.fileno())
        return self._file.tell()

    def _open(self) -> io.FileIO:
        flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            # O_EXCL: never write personal data to a file that somebody else has prepared.
            handle = os.open(self.path, flags | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError as exc:
            if not self._continues:
                raise FileExists(self.path) from exc
            handle = os.open(self.path, flags)
        return io.FileIO(handle, "r+")

    def close(self) -> None:
        """Close the file, if it was opened."""
        if self._file is not None:
            self._file.close()

    def _csv(self, rows: Iterable[tuple[Row, str]], *, with_header: bool) -> bytes:
        text = io.StringIO(newline="")
        writer = csv.writer(text, delimiter=self._dialect.separator)
        header = self._header or []
        if with_header:
            writer.writerow([*map(escape_formula, header), ERROR])
        for row, reason in rows:
            cells = [escape_formula(unescape_formula(cell)) for cell in row] if isinstance(row, list) else []
            # The reason stays in its column if the row has more cells than the file has columns.
            missing = [""] * (len(header) - len(cells))
            writer.writerow([*cells[: len(header)], *missing, reason, *cells[len(header) :]])
        text.seek(0)
        # The original may have had a line sep=, without which the separator would be guessed wrong.
        is_clear = not with_header or guess_separator(text.readline()) == self._dialect.separator
        return ("" if is_clear else f"sep={self._dialect.separator}\r\n").encode() + text.getvalue().encode()

    def _ndjson(self, rows: Iterable[tuple[Row, str]]) -> bytes:
        return b"".join(
            orjson.dumps(
                {**(row if isinstance(row, dict) else {"line": getattr(row, "line", "")}), ERROR: reason},
                option=orjson.OPT_APPEND_NEWLINE,
            )
            for row, reason in rows
        )
