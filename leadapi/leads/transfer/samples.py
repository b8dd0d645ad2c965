"""What the first rows of a file say about columns whose names do not help."""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Any

from leadapi.leads.models import IMPORTED
from leadapi.leads.transfer.tables import ERROR, Row, Table

ROWS = 1000
# Columns of NDJSON, where each row can have other names.
MAX_COLUMNS = 1000

_address = re.compile(r"[^\s@,;<>]{1,64}@[^\s@,;<>]{1,190}\.[^\s@,;<>.]{1,63}")
_reason = re.compile(
    rf"(?:{'|'.join(IMPORTED)})(?:\.[^:]*)?: "
    "|Lead with this email|The row has|This line is not|Two fields are|The file has"
)


@dataclass(frozen=True)
class Sample:
    """Findings about columns, each by its number, or by its name in NDJSON.

    :param addresses: columns in which most cells are email addresses, those with the most addresses first.
    :param has_reasons: whether this is a file of refused rows, with the reasons in the column `error`.
    """

    addresses: list[int | str]
    has_reasons: bool


def take_sample(table: Table) -> Sample:
    """Look at the first rows of a table."""
    filled: Counter[int | str] = Counter()
    addresses: Counter[int | str] = Counter()
    reasons = 0
    error: int | str = ERROR
    if table.header is not None:
        error = len(table.header) - 1 if table.header[-1:] == [ERROR] else ERROR
    for row in islice(table, ROWS):
        for column, cell in _cells(row):
            if isinstance(cell, str) and cell and (column in filled or len(filled) < MAX_COLUMNS):
                filled[column] += 1
                addresses[column] += _address.fullmatch(cell.strip()) is not None
                reasons += column == error and _reason.match(cell) is not None
    likely = [column for column, count in addresses.most_common() if 2 * count >= filled[column] and count]
    return Sample(likely, has_reasons=0 < reasons == filled[error])


def _cells(row: Row) -> Iterable[tuple[int | str, Any]]:
    if isinstance(row, list):
        return enumerate(row)
    return row.items() if isinstance(row, dict) else ()
