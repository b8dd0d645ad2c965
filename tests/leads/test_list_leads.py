"""GET /leads."""

import pytest
from flask.testing import FlaskClient

from conftest import StoredLead, body


def test_shows_nothing_where_nothing_is(client: FlaskClient) -> None:
    response = client.get("/leads")

    assert response.status_code == 200
    assert response.mimetype == "application/json"
    assert response.data == b'{"total":0,"items":[]}'


def test_shows_leads_as_they_were_answered_oldest_first(client: FlaskClient, stored_lead: StoredLead) -> None:
    stored = [stored_lead() for _ in range(3)]

    response = client.get("/leads")

    assert response.json == {"total": 3, "items": stored}
    assert [list(item) for item in body(response)["items"]] == [list(lead) for lead in stored]


def test_shows_fifty_unless_told(client: FlaskClient, stored_lead: StoredLead) -> None:
    stored = [stored_lead() for _ in range(51)]

    assert client.get("/leads").json == {"total": 51, "items": stored[:50]}
    assert client.get("/leads?limit=100").json == {"total": 51, "items": stored}


@pytest.mark.parametrize(
    ("query", "first", "last"),
    [
        ("limit=1", 0, 1),
        ("limit=2&offset=1", 1, 3),
        ("offset=4", 4, 5),
        ("offset=5", 5, 5),
        ("offset=9223372036854775807", 5, 5),
        ("limit=007", 0, 5),
    ],
)
def test_shows_the_slice_asked_for(
    client: FlaskClient, stored_lead: StoredLead, query: str, first: int, last: int
) -> None:
    stored = [stored_lead() for _ in range(5)]

    assert client.get(f"/leads?{query}").json == {"total": 5, "items": stored[first:last]}


@pytest.mark.one_database
@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=-1", "limit"),
        ("limit=", "limit"),
        ("limit=ten", "limit"),
        ("limit=1.0", "limit"),
        ("limit=1_0", "limit"),
        ("limit=%D9%A1", "limit"),
        ("limit=1e1", "limit"),
        ("limit=+1", "limit"),
        ("limit=1%00", "limit"),
        ("limit=1&limit=2", "limit"),
        ("offset=-1", "offset"),
        ("offset=9223372036854775808", "offset"),
        (f"offset={10**23}", "offset"),
        (f"offset={'9' * 5000}", "offset"),
        ("page=2", "page"),
        ("=1", ""),
    ],
)
def test_refuses_a_parameter_that_breaks_its_rule_by_name(client: FlaskClient, query: str, field: str) -> None:
    response = client.get(f"/leads?{query}")

    assert response.status_code == 422
    assert response.mimetype == "application/problem+json"
    assert list(body(response)["errors"]) == [field]
