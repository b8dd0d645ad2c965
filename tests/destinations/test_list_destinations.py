"""GET /destinations."""

from urllib.parse import urljoin

import pytest
from destinations.conftest import FIELDS, NewDestination, change_rows
from flask import Flask
from flask.testing import FlaskClient

from conftest import StoredLead, body


@pytest.mark.parametrize(("sort", "ids"), [("id", [1, 2, 3, 4, 5]), ("-id", [5, 4, 3, 2, 1])])
def test_the_list_is_walked_by_links(
    client: FlaskClient, new_destination: NewDestination, sort: str, ids: list[int]
) -> None:
    for _ in ids:
        new_destination()

    found = []
    url = f"/destinations?limit=2&sort={sort}"
    while url:
        response = client.get(url)
        assert body(response)["total"] == 5
        found += [item["id"] for item in body(response)["items"]]
        url = urljoin(url, response.headers["Link"][1:].partition(">")[0]) if "Link" in response.headers else ""

    assert found == ids


def test_the_list_shows_what_one_shows(client: FlaskClient, new_destination: NewDestination) -> None:
    new_destination()
    new_destination(description="another")

    page = body(client.get("/destinations"))

    assert page == {"total": 2, "items": [body(client.get(f"/destinations/{number}")) for number in (1, 2)]}
    assert [list(item) for item in page["items"]] == [FIELDS, FIELDS]


@pytest.mark.one_database
@pytest.mark.parametrize("query", ["limit=0", "limit=101", "offset=1", "after=x", "sort=url", "state=due"])
def test_a_parameter_that_is_not_valid_is_named(client: FlaskClient, query: str) -> None:
    response = client.get(f"/destinations?{query}")

    assert response.status_code == 422
    assert list(body(response)["errors"]) == [query.partition("=")[0]]


def test_the_last_delivery_is_the_one_that_was_tried_last(
    app: Flask, client: FlaskClient, new_destination: NewDestination, stored_lead: StoredLead
) -> None:
    new_destination()
    for _ in range(3):
        stored_lead()
    tried = (
        "UPDATE deliveries SET state = :state, last_attempt_at = :at, status = :status, error = :error WHERE id = :id"
    )
    change_rows(app, tried, id=1, state="delivered", at="2026-02-28 10:00:01.500000Z", status=204, error=None)
    change_rows(app, tried, id=2, state="failed", at="2026-02-28 10:00:00.000000Z", status=None, error="dns")

    expected = {"state": "delivered", "at": "2026-02-28T10:00:01Z", "status": 204, "error": None}
    assert body(client.get("/destinations/1"))["last_delivery"] == expected
    assert body(client.get("/destinations"))["items"][0]["last_delivery"] == expected
