"""All leads as a file: CSV for people, NDJSON for programs."""

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

import orjson

from leadapi.leads.queries import SHOWN
from leadapi.leads.representations import fields_of

Chunks = Iterable[Sequence[Sequence[Any]]]

# A spreadsheet runs a cell that begins with one of these as a formula (OWASP, CSV Injection).
FORMULA = "=+-@\t\r"
# What gets a ' more in a file, and what has one too many in it. The ones a value has itself count
# as well, so that each is the exact inverse of the other.
_to_disarm = re.compile(rf"'*[{re.escape(FORMULA)}]").match
_disarmed = re.compile(rf"'+[{re.escape(FORMULA)}]").match


def write_csv(chunks: Chunks) -> Iterator[bytes]:
    """RFC 4180 in UTF-8, with a header; a cell that a spreadsheet would run has a ' before it, see `disarmed`."""
    yield f"{','.join(SHOWN)}\r\n".encode()
    for rows in chunks:
        text = io.StringIO(newline="")
        csv.writer(text).writerows([_cell(value) for value in row] for row in rows)
        yield text.getvalue().encode()


def write_ndjson(chunks: Chunks) -> Iterator[bytes]:
    """One JSON object a line, as the API shows it; nothing is lost."""
    options = orjson.OPT_UTC_Z | orjson.OPT_APPEND_NEWLINE
    for rows in chunks:
        yield b"".join([orjson.dumps(fields_of(row), option=options) for row in rows])


def disarmed(value: str) -> str:
    """A value as a cell that no spreadsheet runs."""
    return f"'{value}" if _to_disarm(value) else value


def armed(cell: str) -> str:
    """The value of a cell that may have been disarmed."""
    return cell[1:] if _disarmed(cell) else cell


def _cell(value: Any) -> Any:
    if isinstance(value, str):
        return disarmed(value)
    if isinstance(value, datetime):
        return f"{value.isoformat()[:19]}Z"
    return value


WRITERS = {"csv": write_csv, "ndjson": write_ndjson}
# The first is what a client gets that has no wish.
MEDIA_TYPES = {"text/csv": "csv", "application/x-ndjson": "ndjson"}
