"""Leads as a file: CSV for people, NDJSON for programs."""

import codecs
import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from leadapi.leads.models import SHOWN
from leadapi.leads.transfer.formulas import escape_formula

Chunks = Iterable[Sequence[Sequence[Any]]]


def write_csv(chunks: Chunks, *, bom: bool = False) -> Iterator[bytes]:
    """RFC 4180 in UTF-8, with a header; formulas are escaped. Excel needs the byte order mark to recognise UTF-8."""
    yield (codecs.BOM_UTF8 if bom else b"") + f"{','.join(SHOWN)}\r\n".encode()
    for rows in chunks:
        text = io.StringIO(newline="")
        csv.writer(text).writerows(map(_escape_row, rows))
        yield text.getvalue().encode()


def write_ndjson(chunks: Chunks, *, bom: bool = False) -> Iterator[bytes]:  # noqa: ARG001  # JSON has no mark
    """One JSON object per line, as the API shows it."""
    for rows in chunks:
        yield "".join([f"{json}\n" for (json,) in rows]).encode()


def _escape_row(row: Sequence[Any]) -> list[Any]:
    lead_id, *texts = row
    return [lead_id, *[escape_formula(text) if text else text for text in texts]]


WRITERS = {"csv": write_csv, "ndjson": write_ndjson}
# The first is the default.
MEDIA_TYPES = {"text/csv": "csv", "application/x-ndjson": "ndjson"}
