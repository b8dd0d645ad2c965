"""All leads as a file: CSV for people, NDJSON for programs."""

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from leadapi.leads.models import SHOWN

Chunks = Iterable[Sequence[Sequence[Any]]]

# A spreadsheet runs a cell that begins with one of these as a formula (OWASP, CSV Injection).
FORMULA = "=+-@\t\r"
_first_of_formula = frozenset("'" + FORMULA)
# What gets a ' more in a file, and what has one too many in it. The ones a value has itself count
# as well, so that each is the exact inverse of the other.
_to_disarm = re.compile(rf"'*[{re.escape(FORMULA)}]").match
_disarmed = re.compile(rf"'+[{re.escape(FORMULA)}]").match


def write_csv(chunks: Chunks) -> Iterator[bytes]:
    """RFC 4180 in UTF-8, with a header; a cell that a spreadsheet would run has a ' before it, see `disarmed`."""
    yield f"{','.join(SHOWN)}\r\n".encode()
    for rows in chunks:
        text = io.StringIO(newline="")
        csv.writer(text).writerows(map(_disarm_all, rows))
        yield text.getvalue().encode()


def write_ndjson(chunks: Chunks) -> Iterator[bytes]:
    """One JSON object a line, as the API shows it; nothing is lost."""
    for rows in chunks:
        yield "".join([f"{json}\n" for (json,) in rows]).encode()


def disarmed(value: str) -> str:
    """A value as a cell that no spreadsheet runs."""
    return f"'{value}" if _to_disarm(value) else value


def armed(cell: str) -> str:
    """The value of a cell that may have been disarmed."""
    return cell[1:] if _disarmed(cell) else cell


def _disarm_all(row: Sequence[Any]) -> list[Any]:
    lead_id, *texts = row
    return [lead_id, *[disarmed(text) if text and text[0] in _first_of_formula else text for text in texts]]


WRITERS = {"csv": write_csv, "ndjson": write_ndjson}
# The first is what a client gets that has no wish.
MEDIA_TYPES = {"text/csv": "csv", "application/x-ndjson": "ndjson"}
