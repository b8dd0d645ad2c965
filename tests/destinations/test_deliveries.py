"""GET /destinations/{id}/deliveries, and the tests and replays that make deliveries due."""

from datetime import UTC, datetime, timedelta
from urllib.parse import urljoin

import pytest
from destinations.conftest import NewDestination, change_rows, deliveries
from flask import Flask
from flask.testing import FlaskClient

from conftest import Json, StoredLead, body
from leadapi import storage
from leadapi.events import service as events

FIELDS = [
    *("id", "event_id", "type", "lead_id", "state", "attempts", "next_attempt_at", "last_attempt_at"),
    *("status", "error", "duration_ms", "excerpt"),
]
SINCE = {"since": "2026-02-28T10:00:00Z"}


def end(app: Flask, delivery_id: int, state: str, at: str = "2026-02-28 10:00:00.250000Z") -> None:
    """Store an outcome as a dispatcher does."""
    outcome = "state = :state, attempts = 1, last_attempt_at = :at, status = 500, duration_ms = 7, excerpt = 'no'"
    change_rows(app, f"UPDATE deliveries SET {outcome} WHERE id = :id", state=state, at=at, id=delivery_id)


# --- list ----------------------------------------------------------------------------------------


def test_a_new_delivery_is_due_at_once(
    client: FlaskClient, new_destination: NewDestination, stored_lead: StoredLead
) -> None:
    new_destination()
    lead = stored_lead()

    page = body(client.get("/destinations/1/deliveries"))

    assert page == {
        "total": 1,
        "items": [
            {
                "id": 1,
                "event_id": 1,
                "type": "lead.created",
                "lead_id": 1,
                "state": "due",
                "attempts": 0,
                "next_attempt_at": lead["created_at"],
                "last_attempt_at": None,
                "status": None,
                "error": None,
                "duration_ms": None,
                "excerpt": None,
            }
        ],
    }
    assert list(page["items"][0]) == FIELDS


def test_a_delivery_that_is_done_has_no_next_attempt(
    app: Flask, client: FlaskClient, new_destination: NewDestination, stored_lead: StoredLead
) -> None:
    new_destination()
    stored_lead()
    end(app, 1, "failed")

    (delivery,) = deliveries(client, 1)

    assert (delivery["state"], delivery["next_attempt_at"]) == ("failed", None)
    assert delivery["last_attempt_at"] == "2026-02-28T10:00:00Z"
    assert (delivery["status"], delivery["duration_ms"], delivery["excerpt"]) == (500, 7, "no")


@pytest.mark.parametrize(("sort", "ids"), [("id", [1, 3, 5, 7, 9]), ("-id", [9, 7, 5, 3, 1])])
def test_the_list_of_one_destination_is_walked_by_links(
    client: FlaskClient, new_destination: NewDestination, stored_lead: StoredLead, sort: str, ids: list[int]
) -> None:
    for _ in range(2):
        new_destination()
    for _ in ids:
        stored_lead()
    of_first = [each["id"] for each in deliveries(client, 1, f"sort={sort}")]

    found = []
    url = f"/destinations/1/deliveries?limit=2&state=due&sort={sort}"
    while url:
        response = client.get(url)
        assert body(response)["total"] == 5
        found += [item["id"] for item in body(response)["items"]]
        url = urljoin(url, response.headers["Link"][1:].partition(">")[0]) if "Link" in response.headers else ""

    assert found == of_first
    assert sorted(found, reverse=sort == "-id") == found
    assert len(found) == len(ids)


def test_the_list_is_filtered_by_state(
    app: Flask, client: FlaskClient, new_destination: NewDestination, stored_lead: StoredLead
) -> None:
    new_destination()
    states = ["due", "delivered", "failed", "cancelled"]
    for number, state in enumerate(states, start=1):
        stored_lead()
        end(app, number, state)

    for number, state in enumerate(states, start=1):
        page = body(client.get(f"/destinations/1/deliveries?state={state}"))
        assert (page["total"], [item["id"] for item in page["items"]]) == (1, [number])


@pytest.mark.one_database
@pytest.mark.parametrize("query", ["state=lost", "state=", "limit=0", "after=x", "sort=state", "offset=0"])
def test_a_parameter_that_is_not_valid_is_named(
    client: FlaskClient, new_destination: NewDestination, query: str
) -> None:
    new_destination()

    response = client.get(f"/destinations/1/deliveries?{query}")

    assert response.status_code == 422
    assert list(body(response)["errors"]) == [query.partition("=")[0]]


def test_an_erasure_cancels_what_is_due_and_forgets_what_receivers_answered(
    app: Flask, client: FlaskClient, new_destination: NewDestination, stored_lead: StoredLead
) -> None:
    new_destination(events=["lead.*"])
    stored_lead()
    client.patch("/leads/1", json={"company": None})
    end(app, 1, "delivered")

    client.delete("/leads/1")

    shown = [(each["type"], each["state"], each["excerpt"]) for each in deliveries(client, 1)]
    assert shown == [
        ("lead.created", "delivered", None),
        ("lead.updated", "cancelled", None),
        ("lead.erased", "due", None),
    ]


@pytest.mark.parametrize(
    ("given", "types"),
    [
        ({}, ["lead.created", "lead.repeated"]),
        ({"events": ["lead.updated"]}, ["lead.updated"]),
        ({"events": ["lead.*"]}, ["lead.created", "lead.repeated", "lead.updated", "lead.noted", "lead.erased"]),
        ({"events": ["lead.created", "lead.erased"], "sources": ["fair"]}, ["lead.created", "lead.erased"]),
        # Of an erased lead, nobody knows the source any more.
        ({"events": ["lead.*"], "sources": ["page"]}, ["lead.erased"]),
        ({"events": ["lead.noted"]}, ["lead.noted"]),
    ],
)
def test_a_destination_gets_the_events_that_it_asks_for(
    client: FlaskClient, new_destination: NewDestination, stored_lead: StoredLead, given: Json, types: list[str]
) -> None:
    new_destination(**given)
    lead = stored_lead(source="fair")

    sent = {"full_name": lead["full_name"], "email": lead["email"], "message": "again"}
    client.post("/leads", json=sent, headers={"Prefer": "resolution=merge-duplicates"})
    client.patch("/leads/1", json={"status": "lost"})
    client.post("/leads/1/notes", json={"text": "Called back"})
    kept = [each["type"] for each in deliveries(client, 1)]
    client.delete("/leads/1")

    assert [each["type"] for each in deliveries(client, 1)] == types
    assert kept == [each for each in types if each != "lead.erased"]


# --- test ----------------------------------------------------------------------------------------


def test_a_test_is_a_real_event_for_one_destination_only(
    app: Flask, client: FlaskClient, new_destination: NewDestination, document: Json
) -> None:
    new_destination(events=["lead.*"])
    new_destination(events=["lead.erased"], sources=["page"])

    response = client.post("/destinations/2/test")

    assert response.status_code == 202
    sent = body(response)
    assert (sent["type"], sent["lead_id"], sent["state"], sent["attempts"]) == ("lead.test", None, "due", 0)
    assert abs(datetime.fromisoformat(sent["next_attempt_at"]) - datetime.now(UTC)) < timedelta(seconds=30)
    assert deliveries(client, 2) == [sent]
    assert deliveries(client, 1) == []
    with app.app_context(), storage.read() as connection:
        event = events.find_events(connection, [sent["event_id"]])[sent["event_id"]]
    documented = document["paths"]["/leads"]["post"]["responses"]["201"]["content"]["application/json"]["example"]
    assert (event.type, event.data) == ("lead.test", documented)


def test_a_disabled_destination_cannot_be_tested(client: FlaskClient, new_destination: NewDestination) -> None:
    new_destination(enabled=False)

    response = client.post("/destinations/1/test")

    assert (response.status_code, response.json) == (
        409,
        {"detail": "This destination is disabled; enable it first."},
    )
    assert deliveries(client, 1) == []


# --- replay --------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["failed", "delivered"])
def test_a_replay_makes_a_delivery_due_now(
    app: Flask, client: FlaskClient, new_destination: NewDestination, stored_lead: StoredLead, state: str
) -> None:
    new_destination()
    stored_lead()
    end(app, 1, state)

    response = client.post("/destinations/1/deliveries/1/replay")

    assert response.status_code == 202
    due = body(response)
    assert list(due) == FIELDS
    assert due["state"] == "due"
    assert abs(datetime.fromisoformat(due["next_attempt_at"]) - datetime.now(UTC)) < timedelta(seconds=30)
    assert deliveries(client, 1) == [due]


@pytest.mark.parametrize("state", ["due", "cancelled"])
def test_what_is_due_or_cancelled_is_not_replayed(
    app: Flask, client: FlaskClient, new_destination: NewDestination, stored_lead: StoredLead, state: str
) -> None:
    new_destination()
    stored_lead()
    end(app, 1, state)

    response = client.post("/destinations/1/deliveries/1/replay")

    expected = {"detail": "Only a delivery that failed or was delivered can be replayed."}
    assert (response.status_code, response.json) == (409, expected)
    assert deliveries(client, 1)[0]["state"] == state


def test_a_delivery_of_another_destination_is_not_found(
    app: Flask, client: FlaskClient, new_destination: NewDestination, stored_lead: StoredLead
) -> None:
    new_destination()
    stored_lead()
    new_destination()
    end(app, 1, "failed")

    response = client.post("/destinations/2/deliveries/1/replay")

    assert response.status_code == 404
    assert response.json == {"detail": "This destination has no delivery with this id."}
    assert deliveries(client, 1)[0]["state"] == "failed"


def test_all_that_failed_since_a_time_is_replayed(
    app: Flask, client: FlaskClient, new_destination: NewDestination, stored_lead: StoredLead
) -> None:
    new_destination()
    for _ in range(5):
        stored_lead()
    end(app, 1, "failed", "2026-02-28 09:59:59.000000Z")
    end(app, 2, "failed", "2026-02-28 10:00:00.000000Z")
    end(app, 3, "delivered", "2026-02-28 10:00:00.000000Z")
    end(app, 4, "failed", "2026-03-01 10:00:00.000000Z")
    end(app, 5, "cancelled", "2026-03-01 10:00:00.000000Z")
    new_destination()

    other = client.post("/destinations/2/replay", json=SINCE)
    response = client.post("/destinations/1/replay", json={"since": "2026-02-28T12:00:00+02:00"})

    assert (other.status_code, other.json) == (202, {"replayed": 0})
    assert (response.status_code, response.json) == (202, {"replayed": 2})
    states = {each["id"]: each["state"] for each in deliveries(client, 1)}
    assert states == {1: "failed", 2: "due", 3: "delivered", 4: "due", 5: "cancelled"}


@pytest.mark.one_database
@pytest.mark.parametrize(
    ("sent", "field"),
    [({}, "since"), ({"since": None}, "since"), ({"since": "2026-02-28"}, "since"), ({**SINCE, "all": True}, "all")],
)
def test_a_replay_needs_a_time(client: FlaskClient, new_destination: NewDestination, sent: Json, field: str) -> None:
    new_destination()

    response = client.post("/destinations/1/replay", json=sent)

    assert response.status_code == 422
    assert list(body(response)["errors"]) == [field]
