"""The numbers: leads per day, by source and by status, each as a chart and as a table."""

from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo, available_timezones

from flask import Blueprint

from leadapi import storage
from leadapi.inbox.reading import read_query
from leadapi.inbox.rendering import day, render
from leadapi.inbox.schemas import PERIODS, NumbersQuerySchema
from leadapi.leads.schemas import STATUSES
from leadapi.leads.stats import service

MOST_SOURCES = 10
# Areas of the IANA database. The other zones are old names, and offsets without a place.
AREAS = ("Africa/", "America/", "Antarctica/", "Asia/", "Atlantic/", "Australia/", "Europe/", "Indian/", "Pacific/")

blp = Blueprint("numbers", __name__, url_prefix="/numbers")


class Source(NamedTuple):
    """The leads from a source; None for those without one."""

    name: str | None
    leads: int
    converted: int


@blp.get("")
def show_numbers() -> str:
    """The numbers of the last 30 or 365 days."""
    args = read_query(NumbersQuerySchema)
    days, zone = args["days"], args["zone"]
    last = storage.now().astimezone(zone).date()
    first = last - timedelta(days - 1)
    period: dict[str, Any] = {"first": first, "last": last, "zone": zone}
    daily = service.count_leads(by="day", **period)
    statuses = dict.fromkeys(STATUSES, 0) | dict(service.count_leads(by="status", **period).items)
    sources = _sources(period)
    earlier = {"first": first - timedelta(days), "last": first - timedelta(1), "zone": zone}
    return render(
        "numbers.html",
        section="numbers",
        periods=PERIODS,
        days=days,
        zone=zone.key,
        zones=_zones(zone.key),
        daily=[(day(date.fromisoformat(key or "")), count) for key, count in daily.items],
        total=daily.total,
        total_before=service.count_leads(by="status", **earlier).total,
        statuses=statuses,
        closed=statuses["converted"] + statuses["lost"],
        sources=sources[:MOST_SOURCES],
        other_sources=sources[MOST_SOURCES:],
        since=_start(first, zone),
    )


def _sources(period: dict[str, Any]) -> list[Source]:
    """The sources, that with the most leads first."""
    converted = dict(service.count_leads(by="source", status="converted", **period).items)
    counts = service.count_leads(by="source", **period).items
    return [Source(name, number, converted.get(name, 0)) for name, number in counts]


def _start(first: date, zone: ZoneInfo) -> str:
    """The beginning of the period, as a filter of the list."""
    return f"{datetime.combine(first, time(), zone).astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


@cache
def _places() -> list[str]:
    return ["UTC", *sorted(name for name in available_timezones() if name.startswith(AREAS))]


def _zones(chosen: str) -> list[str]:
    """The time zones to choose from."""
    return _places() if chosen in _places() else [chosen, *_places()]
