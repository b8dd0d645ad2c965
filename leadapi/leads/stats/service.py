"""Count leads by day, by source or by status."""

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from itertools import pairwise
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from sqlalchemy import CompoundSelect, Connection, Select, Text, bindparam, column, func, literal, select, union_all

from leadapi import storage
from leadapi.leads.queries import AFTER_MARK, FILTERS, counts, leads, total
from leadapi.storage import UTCDateTime
from leadapi.storage.rows import parameters, records

# The days that are counted when no ends are given: a file may have brought leads with any time.
FIRST_DAY, LAST_DAY = date(2000, 1, 1), date(2099, 12, 31)

_days = records([column("day", Text), column("start", UTCDateTime), column("end", UTCDateTime)])
_FILTERS = FILTERS | {
    "start": leads.c.created_at >= bindparam("start", type_=UTCDateTime),
    "end": leads.c.created_at < bindparam("end", type_=UTCDateTime),
}


@dataclass(frozen=True)
class Counts:
    """How many leads match, and how many of them have each key: a date, a source or a status."""

    total: int
    items: list[tuple[str | None, int]]


def count_leads(
    *, by: str, first: date | None = None, last: date | None = None, zone: ZoneInfo, **filters: str
) -> Counts:
    """Count the leads that match.

    :param by: `day`, `source` or `status`. Days are in their order, and those without leads are there with 0; other
        keys are ordered by their number, the largest first.
    :param first: the first day; None for the day of the first lead that matches, or the last day if there is none.
    :param last: the last day; None for today, or the day of the last lead if that is later. An end that is not given
        is not before FIRST_DAY and not after LAST_DAY.
    :param zone: the time zone of the days.
    :param filters: any of `source` and `status`.
    """
    values: dict[str, Any] = dict(filters)
    with storage.read() as connection:
        if by == "day":
            items = _by_day(connection, _Days(first, last, zone), values)
        else:
            items = _by_column(connection, by, _Days(first, last, zone), values)
    return Counts(sum(count for _, count in items), items)


class _Days(NamedTuple):
    """A range of days in a time zone; None for an end that is not given."""

    first: date | None
    last: date | None
    zone: ZoneInfo

    def day_of(self, moment: datetime) -> date:
        try:
            day = moment.astimezone(self.zone).date()
        except OverflowError:
            # It is in the year 0 or 10000 there.
            day = moment.date()
        return min(max(day, FIRST_DAY), LAST_DAY)

    def start_of(self, day: date) -> datetime:
        """The instant at which a day begins. Where clocks skip midnight, this is the instant at which they do so."""
        return datetime.combine(day, time(), self.zone).astimezone(UTC)


def _by_day(connection: Connection, days: _Days, values: dict[str, Any]) -> list[tuple[str | None, int]]:
    first, last = days.first, days.last
    if last is None:
        newest = connection.execute(_extreme("max", frozenset(values)), values).scalar_one()
        last = max(days.day_of(moment) for moment in (storage.now(), newest) if moment)
    if first is None:
        oldest = connection.execute(_extreme("min", frozenset(values)), values).scalar_one()
        first = days.day_of(oldest) if oldest else last
    length = max(0, (last - first).days + 1)
    starts = [days.start_of(first + timedelta(number)) for number in range(length + 1)]
    rows = [
        {"day": (first + timedelta(number)).isoformat(), "start": start, "end": end}
        for number, (start, end) in enumerate(pairwise(starts))
    ]
    statement = _daily(frozenset(values), connection.dialect.name)
    values |= parameters(connection, ["day", "start", "end"], rows)
    return [(row.day, row.number) for row in connection.execute(statement, values)]


def _by_column(connection: Connection, name: str, days: _Days, values: dict[str, Any]) -> list[tuple[str | None, int]]:
    if days.first:
        values["start"] = days.start_of(days.first)
    if days.last:
        values["end"] = days.start_of(days.last + timedelta(1))
    numbers: Counter[str | None] = Counter()
    if values:
        numbers.update(dict(connection.execute(_grouped(name, frozenset(values)), values).all()))
    else:
        for counted, number in connection.execute(_kept(name)):
            numbers[counted.partition(":")[2] if counted else None] += number
        # The leads without a source are those that are left of all.
        numbers[None] -= sum(number for key, number in numbers.items() if key is not None)
    return sorted(((key, number) for key, number in numbers.items() if number), key=_largest_first)


def _largest_first(item: tuple[str | None, int]) -> tuple[int, str]:
    key, number = item
    return -number, key or ""


@cache
def _extreme(which: str, filters: frozenset[str]) -> Select[Any]:
    """The time of the oldest (`min`) or the newest (`max`) lead that matches."""
    return _where(select(getattr(func, which)(leads.c.created_at)), filters)


@cache
def _daily(filters: frozenset[str], dialect: str) -> Select[Any]:
    """The number of leads of each day. The days are the rows of the parameter."""
    days = _days[dialect].subquery("days")
    within = select(func.count()).where(leads.c.created_at >= days.c.start, leads.c.created_at < days.c.end)
    counting = _where(within, filters).scalar_subquery().label("number")
    return select(days.c.day, counting).order_by(days.c.day)


@cache
def _grouped(name: str, filters: frozenset[str]) -> Select[Any]:
    """The number of leads of each value of a column."""
    key = leads.c[name].label("key")
    return _where(select(key, func.count().label("number")), filters).group_by(key)


@cache
def _kept(name: str) -> CompoundSelect[Any]:
    """The number of all leads, and those of each value of a column: the kept parts (see LeadCount) and counts."""
    prefix = literal(f"{name}:", Text)
    value = leads.c[name]
    later = select(prefix.concat(value), func.count()).where(*AFTER_MARK, value.is_not(None)).group_by(value)
    return union_all(
        select(counts.c.counted, counts.c.number).where(counts.c.counted.startswith(prefix)),
        later,
        select(literal("", Text), total(frozenset(), words=0).scalar_subquery()),
    )


def _where(statement: Select[Any], filters: frozenset[str]) -> Select[Any]:
    return statement.select_from(leads).where(*(_FILTERS[name] for name in sorted(filters)))
