"""GET /leads by the time of the last change."""

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urljoin

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import bindparam, update

from conftest import StoredLead, body
from leadapi import storage
from leadapi.leads.models import Lead
from leadapi.storage import UTCDateTime

leads = Lead.metadata.tables["leads"]
DAY = datetime(2026, 1, 1, tzinfo=UTC)
# In days; the second one is None for leads that were never changed.
TIMES = [(5, None), (1, 5), (1, 2), (3, None), (1, 5), (4, 9), (5, None)]
BY_CHANGE = [3, 4, 1, 2, 5, 7, 6]


@pytest.fixture(autouse=True)
def _changed_leads(app: Flask, stored_lead: StoredLead) -> None:
    """Leads that were captured and changed at these times."""
    statement = update(leads).where(leads.c.id == bindparam("number"))
    statement = statement.values(
        created_at=bindparam("created", type_=UTCDateTime), updated_at=bindparam("updated", type_=UTCDateTime)
    )
    rows = [
        {
            "number": number,
            "created": DAY + timedelta(created),
            "updated": None if updated is None else DAY + timedelta(updated),
        }
        for number, (created, updated) in enumerate(TIMES, 1)
    ]
    for _ in rows:
        stored_lead()
    with app.app_context(), storage.write() as tx:
        tx.execute(statement, rows)


def walk(client: FlaskClient, path: str) -> list[int]:
    """The ids of the leads on this page and on those after it, by following the links."""
    walked: list[Any] = []
    while path:
        response = client.get(path)
        assert response.status_code == 200
        walked += [lead["id"] for lead in body(response)["items"]]
        link = response.headers.get("Link")
        path = urljoin(path, link.partition(">")[0].removeprefix("<")) if link else ""
    return walked


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
def test_walks_the_leads_in_the_order_of_their_last_change(client: FlaskClient, limit: int) -> None:
    assert walk(client, f"/leads?sort=updated_at&limit={limit}") == BY_CHANGE
    assert walk(client, f"/leads?sort=-updated_at&limit={limit}") == BY_CHANGE[::-1]


def test_finds_the_leads_that_were_changed_or_captured_since_a_time(client: FlaskClient) -> None:
    since = "updated_from=2026-01-06T00:00:00Z"

    assert body(client.get(f"/leads?{since}"))["total"] == 5
    assert walk(client, f"/leads?{since}&limit=2") == [1, 2, 5, 6, 7]
    assert walk(client, f"/leads?{since}&limit=2&sort=-id") == [7, 6, 5, 2, 1]
    assert walk(client, f"/leads?{since}&limit=2&sort=updated_at") == [1, 2, 5, 7, 6]
    assert walk(client, f"/leads?{since}&created_to=2026-01-05T00:00:00Z&sort=-updated_at") == [6, 5, 2]


def test_a_change_moves_a_lead_to_the_end(client: FlaskClient) -> None:
    client.patch("/leads/3", json={"status": "lost"})

    assert walk(client, "/leads?sort=updated_at&limit=3") == [*BY_CHANGE[1:], 3]


def test_an_export_has_the_same_order(client: FlaskClient) -> None:
    lines = client.get("/leads/export?sort=-updated_at&updated_from=2026-01-06T00:00:00Z").text.splitlines()

    assert [line.partition(",")[0] for line in lines] == ["id", "6", "7", "5", "2", "1"]


@pytest.mark.parametrize(("sort", "other"), [("id", "-updated_at"), ("-id", "updated_at")])
def test_a_cursor_of_another_order_is_refused(client: FlaskClient, sort: str, other: str) -> None:
    for given, wanted in ((sort, other), (other, sort)):
        link = client.get(f"/leads?sort={given}&limit=1").headers["Link"]
        cursor = link.partition("after=")[2].partition(">")[0]

        response = client.get(f"/leads?sort={wanted}&after={cursor}")

        assert response.status_code == 422
        assert body(response)["errors"] == {"after": ["Not a cursor of a list with this sort."]}


def test_a_cursor_stays_valid_after_its_lead_is_erased(client: FlaskClient) -> None:
    link = client.get("/leads?sort=updated_at&limit=1").headers["Link"].partition(">")[0].removeprefix("<")
    client.delete("/leads/3")

    assert walk(client, urljoin("/leads", link)) == BY_CHANGE[1:]


@pytest.mark.parametrize("sort", ["updated_at", "-updated_at"])
@pytest.mark.parametrize("cursor", ["_" * 22, "A" * 22, f"{'A' * 11}{'_' * 11}"])
def test_a_cursor_beyond_all_times_is_none_of_an_error(client: FlaskClient, sort: str, cursor: str) -> None:
    assert client.get(f"/leads?sort={sort}&after={cursor}").status_code == 200


@pytest.mark.one_database
@pytest.mark.parametrize("query", ["after=AAAAAAAAAAAA", "after=AAAAAAAAAAI%3DAAAAAAAAAA", "updated_from=now"])
def test_refuses_an_invalid_parameter(client: FlaskClient, query: str) -> None:
    assert client.get(f"/leads?sort=updated_at&{query}").status_code == 422
