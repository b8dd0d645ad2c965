"""The numbers: leads per day, by source and by status, each as a chart and as a table."""

from datetime import date, timedelta
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

from flask import Blueprint

from leadapi import storage
from leadapi.config_retention import STATUSES
from leadapi.inbox.reading import read_query
from leadapi.inbox.rendering import day, render
from leadapi.inbox.schemas import PERIODS, NumbersQuerySchema
from leadapi.leads.stats import service

MAX_SOURCES = 10
MONTH = 30
# Areas of the IANA database. The other zones are old names, and offsets without a place.
AREAS = ("Africa/", "America/", "Antarctica/", "Asia/", "Atlantic/", "Australia/", "Europe/", "Indian/", "Pacific/")

blp = Blueprint("numbers", __name__, url_prefix="/numbers")


@blp.get("")
def show_numbers() -> str:
    """All leads by source and status, and those of the last days day by day."""
    args = read_query(NumbersQuerySchema)
    days, zone = args["days"], args["zone"]
    last = storage.now().astimezone(zone).date()
    # Two months in any case, to compare the last one with the one before.
    first = last - timedelta(max(days, 2 * MONTH) - 1)
    daily = [(day(date.fromisoformat(key or "")), number) for key, number in _count("day", zone, first, last)]
    by_status = dict.fromkeys(STATUSES, 0) | dict(_count("status", zone))
    by_source = _count("source", zone)
    return render(
        "numbers.html",
        section="numbers",
        periods=PERIODS,
        days=days,
        zone=zone.key,
        zones=_zones(zone.key),
        daily=daily[-days:],
        month=MONTH,
        of_month=sum(number for _, number in daily[-MONTH:]),
        of_month_before=sum(number for _, number in daily[-2 * MONTH : -MONTH]),
        total=sum(by_status.values()),
        by_status=by_status,
        closed=by_status["converted"] + by_status["lost"],
        by_source=by_source[:MAX_SOURCES],
        other_sources=[number for _, number in by_source[MAX_SOURCES:]],
    )


def _count(
    by: str, zone: ZoneInfo, first: date | None = None, last: date | None = None
) -> list[tuple[str | None, int]]:
    """The number of leads of each key. Without days, kept totals answer at once."""
    return service.count_leads(by=by, zone=zone, first=first, last=last).items


@cache
def _places() -> list[str]:
    return ["UTC", *sorted(name for name in available_timezones() if name.startswith(AREAS))]


def _zones(chosen: str) -> list[str]:
    """The time zones to choose from."""
    return _places() if chosen in _places() else [chosen, *_places()]
