"""Leads that nobody has changed for a while. `updated_at` decides, as clients see it."""

from collections.abc import Sequence
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, bindparam, func, or_, select

from leadapi import storage
from leadapi.leads.queries import changed_at, leads

# How many leads a statement looks at, so that it stays short however few of them match.
SEARCHED_AT_ONCE = 1000

_before = bindparam("before", type_=storage.UTCDateTime)


def find_unchanged(
    connection: Connection, *, status: str | None, before: datetime, after: int
) -> tuple[list[int], int | None]:
    """Look at some leads, by id: which of them were last changed before a time, and the id after which to go on.

    :param status: only those with this status; None for all.
    :param after: the id after which to begin.
    :return: the ids, and None instead of the last id if there are no more leads.
    """
    values = {"status": status, "before": before, "after": after}
    rows = connection.execute(_search(by_status=status is not None), values).all()
    return [row.id for row in rows if row.is_old], rows[-1].id if rows else None


def lock_unchanged(tx: Connection, lead_ids: Sequence[int], *, status: str | None, before: datetime) -> list[int]:
    """Those of some leads for which the same is still true. They stay so until the transaction `tx` ends."""
    values = {"status": status, "before": before, "lead_ids": lead_ids}
    return list(tx.scalars(_lock(by_status=status is not None), values))


@cache
def _search(*, by_status: bool) -> Select[Any]:
    piece = select(leads.c.id, (changed_at < _before).label("is_old")).where(
        leads.c.id > bindparam("after"), *_of_status(by_status=by_status)
    )
    chunk = piece.order_by(leads.c.id).limit(SEARCHED_AT_ONCE).cte("chunk")
    last = select(func.max(chunk.c.id)).scalar_subquery()
    return select(chunk).where(or_(chunk.c.is_old, chunk.c.id == last)).order_by(chunk.c.id)


@cache
def _lock(*, by_status: bool) -> Select[Any]:
    of_ids = leads.c.id.in_(bindparam("lead_ids", expanding=True))
    # One order for all transactions, so that two of them do not wait for each other.
    return (
        select(leads.c.id)
        .where(of_ids, changed_at < _before, *_of_status(by_status=by_status))
        .order_by(leads.c.id)
        .with_for_update()
    )


def _of_status(*, by_status: bool) -> list[ColumnElement[bool]]:
    return [leads.c.status == bindparam("status")] if by_status else []
