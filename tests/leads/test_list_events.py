"""GET /leads/{id}/events."""

from datetime import UTC, datetime
from urllib.parse import urljoin

from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text

from conftest import MARKER, StoredLead, body
from leadapi import storage
from leadapi.keys.service import ALL, Caller
from leadapi.leads import service


def test_the_history_begins_with_the_lead_as_captured(client: FlaskClient, stored_lead: StoredLead) -> None:
    stored = stored_lead(attributes={"phone": MARKER})

    page = body(client.get("/leads/1/events"))

    assert page["total"] == 1
    (event,) = page["items"]
    assert list(event) == ["id", "type", "time", "actor", "data"]
    assert (event["type"], event["actor"]) == ("lead.created", None)
    assert event["time"] == stored["created_at"]
    assert event["data"] == stored


def test_a_change_tells_what_it_was_and_what_it_is(client: FlaskClient, stored_lead: StoredLead) -> None:
    stored = stored_lead(attributes={"a": "1"})
    sent = {"company": None, "status": "qualified", "source": stored["source"], "attributes": {"b": "2"}}

    changed = client.patch("/leads/1", json=sent)

    event = body(client.get("/leads/1/events"))["items"][-1]
    assert (event["type"], event["time"]) == ("lead.updated", body(changed)["updated_at"])
    assert event["data"] == {
        "changes": {
            "company": {"from": stored["company"], "to": None},
            "status": {"from": "new", "to": "qualified"},
            "attributes": {"from": {"a": "1"}, "to": {"a": "1", "b": "2"}},
        }
    }


def test_a_refused_request_is_no_event(client: FlaskClient, stored_lead: StoredLead) -> None:
    stored = stored_lead()
    stored_lead()

    assert client.post("/leads", json={"full_name": "Zebedee", "email": stored["email"]}).status_code == 409
    assert client.patch("/leads/2", json={"email": stored["email"]}).status_code == 409
    assert client.patch("/leads/1", json={"status": "x"}).status_code == 422
    assert client.patch("/leads/1", json={"status": "lost"}, headers={"If-Match": '"x"'}).status_code == 412

    assert [body(client.get(f"/leads/{number}/events"))["total"] for number in (1, 2)] == [1, 1]


def test_pages_are_those_of_leads(client: FlaskClient, stored_lead: StoredLead) -> None:
    stored_lead()
    stored_lead()
    for status in ("contacted", "qualified", "converted", "lost"):
        client.patch("/leads/1", json={"status": status})
        client.patch("/leads/2", json={"status": status})
    every = body(client.get("/leads/1/events"))

    found, path = [], "/leads/1/events?limit=2"
    while path:
        response = client.get(path)
        assert body(response)["total"] == 5
        found.append(body(response)["items"])
        link = response.headers.get("Link")
        path = urljoin(path, link.partition(">")[0].removeprefix("<")) if link else ""

    assert found == [every["items"][:2], every["items"][2:4], every["items"][4:]]
    assert body(client.get("/leads/1/events?limit=2&offset=3"))["items"] == every["items"][3:]
    assert body(client.get("/leads/1/events?offset=9")) == {"total": 5, "items": []}
    assert client.get("/leads/1/events?limit=101").status_code == 422


def test_a_lead_that_never_was_has_no_history(client: FlaskClient) -> None:
    response = client.get("/leads/1/events")

    assert response.status_code == 404
    assert response.mimetype == "application/problem+json"


def test_an_event_names_its_actor(app: Flask, client: FlaskClient, stored_lead: StoredLead) -> None:
    stored_lead()
    with app.app_context():
        service.change_lead(1, {"status": "lost"}, by=Caller("key 7", ALL))

    assert body(client.get("/leads/1/events"))["items"][-1]["actor"] == "key 7"


def test_a_lead_that_came_by_hand_has_a_history_that_is_empty(app: Flask, client: FlaskClient) -> None:
    with app.app_context(), storage.write() as tx:
        values = {"time": datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S")}
        statement = "INSERT INTO leads (full_name, email, email_key, created_at) VALUES ('Zebedee', 'z', 'z', :time)"
        tx.execute(text(statement), values)

    assert body(client.get("/leads/1/events")) == {"total": 0, "items": []}
