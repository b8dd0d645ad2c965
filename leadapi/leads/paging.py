"""Reads a page of leads, so that a walk over the pages misses none."""

import time
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row

from leadapi.leads import queries
from leadapi.leads.errors import LeadsUnsettled

# How long a page waits at most for transactions that may still store leads on it, and how often it asks.
SETTLE_SECONDS = 2
ASK_SECONDS = 0.02
# Rows of `queries.page`: id, JSON, total, and the time of the last change or None. They are read by position: by name,
# that takes half as long as the query.
PageRows = Sequence[Row[int, str, int, datetime | None]]
# The id of a lead and, in the order of the last change, its time.
Position = tuple[int, datetime | None]


def read_page(connection: Connection, statement: Any, values: dict[str, Any]) -> tuple[PageRows, Position | None]:
    """The rows of a page, and the position after which the next page begins."""
    rows = connection.execute(statement, values).all()
    most = values["limit"] - 1
    return rows[:most], _position(rows[most - 1]) if len(rows) > most else None


def _position(row: Row[int, str, int, datetime | None]) -> Position:
    return row[0], row[3]


def read_settled(connection: Connection, statement: Any, values: dict[str, Any]) -> tuple[PageRows, Position | None]:
    """The same on PostgreSQL, where a lead can appear after leads with larger ids.

    A walk over the pages must not pass an id that an open transaction may still use. So a page with a next page ends
    at a settled id, and waits for the transactions that keep it from being full: clients that count offsets expect
    full pages. The last page shows everything.

    :raises LeadsUnsettled: none of its rows is settled in time.
    """
    deadline = time.monotonic() + SETTLE_SECONDS
    # A settled id stays settled. It has to be read before the rows: leads up to it may have appeared since.
    settled = connection.info.get("settled", 0)
    while True:
        rows, next_after = read_page(connection, statement, values)
        if next_after is None or next_after[0] <= settled:
            return rows, next_after
        if time.monotonic() >= deadline:
            break
        settled = connection.info["settled"] = _wait_until_settled(connection, next_after[0], deadline)
    rows = [row for row in rows if row[0] <= settled]
    if not rows:
        raise LeadsUnsettled
    return rows, _position(rows[-1])


def _wait_until_settled(connection: Connection, lead_id: int, deadline: float) -> int:
    """The largest settled id, once it is as large as asked for or the time is over."""
    while True:
        settled: int = connection.execute(queries.settled).scalar_one()
        if settled >= lead_id or time.monotonic() >= deadline:
            return settled
        time.sleep(ASK_SECONDS)
