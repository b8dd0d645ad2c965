"""GET /stats."""

import random
import threading
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import bindparam, update

from conftest import MARKER, Json, MakeApp, NewLead, StoredLead, body, make_key
from leadapi import storage
from leadapi.leads.models import Lead
from leadapi.storage import UTCDateTime

leads = Lead.metadata.tables["leads"]
# The clocks of these zones changed in the year; those of Havana at midnight, those of Lord Howe by half an hour.
ZONES = ("Europe/Berlin", "America/Havana", "Australia/Lord_Howe")
YEAR = datetime(2025, 11, 26, tzinfo=UTC)


def move(app: Flask, moments: list[datetime]) -> None:
    """Give the leads these times of creation, in the order of their ids."""
    statement = update(leads).where(leads.c.id == bindparam("number"))
    statement = statement.values(created_at=bindparam("moment", type_=UTCDateTime))
    with app.app_context(), storage.write() as tx:
        tx.execute(statement, [{"number": number, "moment": moment} for number, moment in enumerate(moments, 1)])


def counted(response: Json) -> dict[str | None, int]:
    assert response["total"] == sum(item["count"] for item in response["items"])
    return {item["key"]: item["count"] for item in response["items"]}


@pytest.mark.parametrize("zone", ZONES)
def test_days_are_those_of_the_zone_also_when_its_clocks_change(
    app: Flask, client: FlaskClient, new_lead: NewLead, zone: str
) -> None:
    client.post("/leads/batch", json={"items": [new_lead() for _ in range(300)]})
    randomly = random.Random(zone)  # the same leads in each run
    # Half of them around the changes of the clock in spring and autumn.
    changes = [
        datetime(2026, 3, 8, 5, tzinfo=UTC),
        datetime(2026, 3, 29, 1, tzinfo=UTC),
        datetime(2026, 10, 3, 15, tzinfo=UTC),
    ]
    moments = [YEAR + timedelta(seconds=randomly.randrange(365 * 86400)) for _ in range(150)]
    moments += [randomly.choice(changes) + timedelta(minutes=randomly.randrange(-2000, 2000)) for _ in range(150)]
    move(app, moments)

    response = body(client.get(f"/stats?by=day&from=2026-01-01&to=2026-10-31&tz={zone}"))

    days = [date(2026, 1, 1) + timedelta(number) for number in range(304)]
    expected = Counter(moment.astimezone(ZoneInfo(zone)).date() for moment in moments)
    assert counted(response) == {day.isoformat(): expected[day] for day in days}
    assert [item["key"] for item in response["items"]] == [day.isoformat() for day in days]


def test_without_a_range_the_days_go_from_the_first_lead_until_today(
    app: Flask, client: FlaskClient, stored_lead: StoredLead
) -> None:
    stored_lead()
    stored_lead()
    today = datetime.now(UTC).replace(hour=12)
    move(app, [today - timedelta(3)])

    response = body(client.get("/stats"))

    keys = [(today.date() - timedelta(days)).isoformat() for days in (3, 2, 1, 0)]
    assert response == {
        "total": 2,
        "items": [{"key": key, "count": n} for key, n in zip(keys, (1, 0, 0, 1), strict=True)],
    }


@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Pacific/Auckland"])
def test_leads_of_impossible_times_stop_no_count(
    app: Flask, client: FlaskClient, stored_lead: StoredLead, zone: str
) -> None:
    moments = [datetime.min.replace(tzinfo=UTC), YEAR, datetime.max.replace(tzinfo=UTC, microsecond=0)]
    for _ in moments:
        stored_lead()
    move(app, moments)

    days = body(client.get(f"/stats?tz={zone}"))

    assert days["total"] == 1
    assert (days["items"][0]["key"], days["items"][-1]["key"]) == ("2000-01-01", "2099-12-31")
    assert body(client.get(f"/stats?by=status&tz={zone}"))["total"] == 3


def test_without_a_lead_today_is_empty(client: FlaskClient) -> None:
    response = body(client.get("/stats"))

    assert response == {"total": 0, "items": [{"key": datetime.now(UTC).date().isoformat(), "count": 0}]}


def test_sources_and_statuses_are_counted_the_largest_first(client: FlaskClient, stored_lead: StoredLead) -> None:
    for source in ("b", "a", "b", None, "", "b"):
        stored_lead(source=source)
    client.patch("/leads/1", json={"status": "lost"})

    by_source = body(client.get("/stats?by=source"))
    by_status = body(client.get("/stats?by=status&source=b"))

    assert by_source == {
        "total": 6,
        "items": [{"key": "b", "count": 3}, {"key": None, "count": 2}, {"key": "a", "count": 1}],
    }
    assert by_status == {"total": 3, "items": [{"key": "new", "count": 2}, {"key": "lost", "count": 1}]}


def test_a_range_includes_both_its_days(app: Flask, client: FlaskClient, stored_lead: StoredLead) -> None:
    for _ in range(4):
        stored_lead(source=MARKER)
    move(app, [datetime(2026, 3, day, hour, tzinfo=UTC) for day, hour in ((1, 22), (1, 23), (2, 22), (2, 23))])

    berlin = "&from=2026-03-02&to=2026-03-02&tz=Europe/Berlin"

    assert counted(body(client.get(f"/stats?by=source{berlin}"))) == {MARKER: 2}
    assert counted(body(client.get(f"/stats?by=day{berlin}&source={MARKER}&status=new"))) == {"2026-03-02": 2}
    assert body(client.get("/stats?from=2026-03-02&to=2026-03-01")) == {"total": 0, "items": []}


def test_counts_are_those_of_one_moment_while_leads_come_and_go(
    client: FlaskClient, app: Flask, new_lead: NewLead
) -> None:
    ended = threading.Event()

    def write() -> None:
        own = app.test_client()
        for _ in range(40):
            stored = body(own.post("/leads", json=new_lead(source="x")))
            own.patch(f"/leads/{stored['id']}", json={"source": "y"})
            if stored["id"] % 3 == 0:
                own.delete(f"/leads/{stored['id']}")
        ended.set()

    writer = threading.Thread(target=write)
    writer.start()
    while not ended.is_set():
        for by in ("day", "source", "status"):
            counted(body(client.get(f"/stats?by={by}")))
    writer.join()

    remaining = body(client.get("/leads?limit=100"))["items"]
    for by in ("source", "status"):
        assert counted(body(client.get(f"/stats?by={by}"))) == Counter(lead[by] for lead in remaining)
    assert body(client.get("/stats"))["total"] == len(remaining)


@pytest.mark.one_database
@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("by=company", "by"),
        ("from=2026-02-29", "from"),
        ("from=26-02-28", "from"),
        ("to=1999-12-31", "to"),
        ("to=2026-02-28T10:00:00Z", "to"),
        ("tz=Mars/Olympus", "tz"),
        ("tz=Europe", "tz"),
        ("tz=../../etc/passwd", "tz"),
        ("tz=", "tz"),
        ("status=old", "status"),
        ("limit=1", "limit"),
    ],
)
def test_an_invalid_parameter_is_named(client: FlaskClient, query: str, field: str) -> None:
    response = client.get(f"/stats?{query}")

    assert response.status_code == 422
    assert list(body(response)["errors"]) == [field]


def test_counts_need_the_scope_read(shared_app: MakeApp) -> None:
    app = shared_app(AUTH="on")
    client = app.test_client()

    statuses = [client.get("/stats").status_code]
    statuses += [client.get("/stats", headers={"X-API-Key": make_key(app, s)}).status_code for s in ("write", "read")]

    assert statuses == [401, 403, 200]
