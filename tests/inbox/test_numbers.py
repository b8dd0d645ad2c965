"""The page of numbers."""

import re
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import TYPE_CHECKING

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import bindparam, text

from conftest import NewLead, Serve, StoredLead
from inbox.conftest import LogIn
from leadapi import storage
from leadapi.inbox import numbers
from leadapi.storage import UTCDateTime

if TYPE_CHECKING:
    from playwright.sync_api import Page


def move(app: Flask, lead_id: int, time: datetime) -> None:
    """Let a lead have arrived at another time."""
    statement = text("UPDATE leads SET created_at = :time WHERE id = :id")
    with app.app_context(), storage.write() as tx:
        tx.execute(statement.bindparams(bindparam("time", type_=UTCDateTime)), {"time": time, "id": lead_id})


def day(time: datetime) -> str:
    return f"{time.day} {time:%b} {time.year}"


def figures(html: str) -> dict[str, str]:
    """The number in each tile."""
    return dict(re.findall(r'<dt>(.+?)</dt>\s*<dd class="figure">(.+?)</dd>', html))


def rows(html: str, title: str) -> list[list[str]]:
    """The cells of the table under a heading, without the bars."""
    (table,) = re.findall(f"(?s)<h2[^>]*>{title}</h2>.*?<tbody>(.*?)</tbody>", html)
    table = re.sub(r"<svg.*?</svg>", "", table)
    cells = [re.findall(r"(?s)<t[hd][^>]*>(.*?)</t[hd]>", row) for row in table.split("</tr>")[:-1]]
    return [[unescape(re.sub("<[^>]+>", "", cell)) for cell in row if cell] for row in cells]


def bars(html: str) -> dict[str, int]:
    """The number of leads by day, as the chart shows it."""
    return {day: int(count) for day, count in re.findall(r"<title>(\d[^<]+): (\d+)</title>", html)}


def test_the_numbers_are_those_of_all_leads_and_of_the_last_days(
    app: Flask, client: FlaskClient, stored_lead: StoredLead
) -> None:
    now = datetime.now(UTC)
    statuses = ["new", "new", "converted", "converted", "converted", "lost", "new", "new"]
    ages = [0, 0, 0, 29, 29, 5, 30, 300]
    for number, (status, age) in enumerate(zip(statuses, ages, strict=True)):
        lead = stored_lead(source=None if number == 0 else "page" if number % 2 else "a & b")
        client.patch(f"/leads/{lead['id']}", json={"status": status})
        move(app, lead["id"], now - timedelta(days=age))

    html = client.get("/inbox/numbers").text
    year = client.get("/inbox/numbers?days=365").text

    assert figures(html) == figures(year) == {"Still new": "4", "Last 30 days": "6", "Conversion": "75%", "Total": "8"}
    for page in (html, year):
        assert "1 in the 30 days before (+500%)" in page
    assert "3 of 4 closed leads" in html
    assert rows(html, "All leads by source") == [
        ["page", "4", "50%"],
        ["a & b", "3", "38%"],
        ["No source", "1", "12%"],
    ]
    assert [row[:2] for row in rows(html, "All leads by status")] == [
        ["New", "4"],
        ["Contacted", "0"],
        ["Qualified", "0"],
        ["Converted", "3"],
        ["Lost", "1"],
    ]
    counts = {day(now): 3, day(now - timedelta(5)): 1, day(now - timedelta(29)): 2}
    assert {key: count for key, count in bars(html).items() if count} == counts
    assert (len(bars(html)), len(bars(year)), sum(bars(year).values())) == (30, 365, 8)
    assert [[key, str(count)] for key, count in bars(html).items()][::-1] == rows(html, "Leads per day")
    # The names lead to the leads.
    assert 'href="../inbox?source=a+%26+b"' in html
    assert 'href="../inbox?status=lost"' in html


def test_a_day_begins_at_midnight_of_the_zone(app: Flask, client: FlaskClient, stored_lead: StoredLead) -> None:
    yesterday = datetime.now(UTC).replace(hour=23, minute=30) - timedelta(days=2)
    move(app, stored_lead()["id"], yesterday)

    utc = bars(client.get("/inbox/numbers").text)
    berlin = client.get("/inbox/numbers?tz=Europe/Berlin").text

    assert utc[day(yesterday)] == 1
    assert bars(berlin)[day(yesterday + timedelta(days=1))] == 1
    # The other period keeps the zone.
    assert "numbers?days=365&amp;tz=Europe/Berlin" in berlin
    assert "<option selected>Europe/Berlin</option>" in berlin


@pytest.mark.one_database
def test_many_sources_are_put_together(
    client: FlaskClient, stored_lead: StoredLead, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(numbers, "MAX_SOURCES", 1)
    for source in ("a", "b", "b", "c"):
        stored_lead(source=source)

    assert rows(client.get("/inbox/numbers").text, "All leads by source") == [
        ["b", "2", "50%"],
        ["2 other sources", "2", "50%"],
    ]


def test_without_leads_there_is_no_chart(app: Flask, client: FlaskClient, stored_lead: StoredLead) -> None:
    empty = client.get("/inbox/numbers").text
    move(app, stored_lead()["id"], datetime.now(UTC) - timedelta(days=100))
    none_lately = client.get("/inbox/numbers").text

    assert "No leads yet." in empty
    assert figures(none_lately) == {"Still new": "1", "Last 30 days": "0", "Conversion": "–", "Total": "1"}
    assert "No lead arrived in the last 30 days." in none_lately
    assert "chart" not in empty + none_lately


@pytest.mark.one_database
@pytest.mark.parametrize("query", ["days=7", "days=x", "tz=Nowhere", "tz=../etc"])
def test_other_periods_and_zones_are_refused(client: FlaskClient, query: str) -> None:
    response = client.get(f"/inbox/numbers?{query}")

    assert (response.status_code, response.mimetype) == (422, "text/html")


@pytest.mark.one_database
def test_a_zone_that_is_not_in_the_list_stays_chosen(client: FlaskClient, stored_lead: StoredLead) -> None:
    stored_lead()

    assert "<option selected>CET</option>" in client.get("/inbox/numbers?tz=CET").text


@pytest.mark.one_database
def test_a_reader_may_see_them(log_in: LogIn) -> None:
    assert log_in("read").get("/inbox/numbers").status_code == 200


@pytest.mark.one_database
def test_the_zone_is_chosen_by_keyboard_and_the_table_opened(serve: Serve, page: "Page", new_lead: NewLead) -> None:
    server = serve(DATABASE_URL="sqlite:///./leads.db")
    server.post("/leads", json=new_lead())
    page.goto(f"{server.url}/inbox/numbers")

    page.get_by_label("Time zone").focus()
    page.keyboard.type("Europe/Ber")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_url("**/numbers?days=30&tz=Europe%2FBerlin")
    page.get_by_text("As a table").focus()
    page.keyboard.press("Enter")

    page.get_by_role("table", name="Leads per day").wait_for()
