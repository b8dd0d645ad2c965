"""POST /leads with Prefer: what becomes of a second message from one address."""

import threading
import time
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from conftest import MARKER, MakeApp, NewLead, StoredLead, body

MERGE = {"Prefer": "resolution=merge-duplicates"}
IGNORE = {"Prefer": "resolution=ignore-duplicates"}


@pytest.mark.parametrize("headers", [MERGE, IGNORE])
def test_a_new_address_is_a_new_lead_as_ever(client: FlaskClient, new_lead: NewLead, headers: dict[str, str]) -> None:
    sent = new_lead(attributes={"phone": MARKER})

    response = client.post("/leads", json=sent, headers=headers)

    assert response.status_code == 201
    assert response.headers["Location"] == "/leads/1"
    assert body(response)["attributes"] == {"phone": MARKER}
    (event,) = body(client.get("/leads/1/events"))["items"]
    assert (event["type"], event["data"]) == ("lead.created", body(response))


def test_a_merge_overwrites_with_what_is_given_and_not_null(client: FlaskClient, stored_lead: StoredLead) -> None:
    stored = stored_lead(email=f"{MARKER}@example.com", attributes={"a": "1", "b": "2"})
    client.patch("/leads/1", json={"status": "contacted"})
    sent = {
        "full_name": f"{MARKER} the Second",
        "email": f"{MARKER.title()}@example.com",
        "company": None,
        "message": "again",
        "source": "",
        "attributes": {"a": "", "b": "3", "c": "4"},
    }

    response = client.post("/leads", json=sent, headers=MERGE)

    assert response.status_code == 200
    assert response.headers["Preference-Applied"] == "resolution=merge-duplicates"
    assert "Location" not in response.headers
    shown = body(response)
    assert list(shown) == list(stored)
    expected = {"full_name": sent["full_name"], "email": sent["email"], "message": "again", "status": "contacted"}
    assert shown == {**stored, **expected, "attributes": {"a": "1", "b": "3", "c": "4"}} | {
        "updated_at": shown["updated_at"]
    }
    assert body(client.get("/leads/1")) == shown
    assert client.get("/leads/1").headers["ETag"] == response.headers["ETag"]
    assert body(client.get("/leads"))["total"] == 1


def test_a_repeat_that_is_ignored_changes_nothing(
    client: FlaskClient, new_lead: NewLead, stored_lead: StoredLead
) -> None:
    stored = stored_lead()

    response = client.post("/leads", json=new_lead(email=stored["email"]), headers=IGNORE)

    assert response.status_code == 200
    assert response.headers["Preference-Applied"] == "resolution=ignore-duplicates"
    assert body(response) == stored == body(client.get("/leads/1"))


@pytest.mark.parametrize("resolution", ["merge-duplicates", "ignore-duplicates"])
def test_the_whole_second_message_is_kept(client: FlaskClient, stored_lead: StoredLead, resolution: str) -> None:
    stored = stored_lead()
    sent = {"full_name": "Zebedee Two", "email": stored["email"], "company": None, "attributes": {"page": MARKER}}

    client.post("/leads", json=sent, headers={"Prefer": f"resolution={resolution}"})

    event = body(client.get("/leads/1/events"))["items"][-1]
    changes = {
        "full_name": {"from": stored["full_name"], "to": "Zebedee Two"},
        "attributes": {"from": {}, "to": {"page": MARKER}},
    }
    assert event["type"] == "lead.repeated"
    assert event["data"]["sent"] == sent
    assert event["data"]["resolution"] == resolution
    assert event["data"]["changes"] == (changes if resolution == "merge-duplicates" else {})


def test_a_source_that_a_merge_moves_is_counted_where_it_is(client: FlaskClient, stored_lead: StoredLead) -> None:
    stored = stored_lead(source="before")

    client.post("/leads", json={"full_name": "Zebedee", "email": stored["email"], "source": "after"}, headers=MERGE)

    assert body(client.get("/leads?source=before"))["total"] == 0
    assert body(client.get("/leads?source=after"))["total"] == 1


def test_refuses_a_merge_that_would_have_too_many_attributes(client: FlaskClient, stored_lead: StoredLead) -> None:
    stored = stored_lead(attributes={str(number): "1" for number in range(50)})
    sent = {"full_name": "Zebedee", "email": stored["email"], "attributes": {"one more": "1"}}

    response = client.post("/leads", json=sent, headers=MERGE)

    assert response.status_code == 422
    assert list(body(response)["errors"]) == ["attributes"]
    assert body(client.get("/leads/1")) == stored


@pytest.mark.one_database
@pytest.mark.parametrize(
    "prefer",
    [
        ["Resolution=Merge-Duplicates"],
        ['resolution="merge-duplicates"'],
        [" resolution = merge-duplicates ; why=not"],
        ['return=minimal, wait=10;a="b,;c", resolution=merge-duplicates'],
        ["respond-async", "resolution=merge-duplicates"],
        ["resolution=merge-duplicates, resolution=ignore-duplicates"],
    ],
)
def test_understands_a_preference_however_it_is_written(
    client: FlaskClient, stored_lead: StoredLead, prefer: list[str]
) -> None:
    stored = stored_lead()
    headers = [("Prefer", value) for value in prefer]

    response = client.post("/leads", json={"full_name": "Zebedee", "email": stored["email"]}, headers=headers)

    assert response.headers["Preference-Applied"] == "resolution=merge-duplicates"


@pytest.mark.one_database
@pytest.mark.parametrize(
    "prefer",
    [
        "",
        ",;=",
        "resolution",
        "resolution=",
        "resolution=replace",
        "resolution=merge",
        "resolution=replace, resolution=merge-duplicates",
        "return=minimal; resolution=merge-duplicates",
        "x-resolution=merge-duplicates",
        'resolution="merge-duplicates',
    ],
)
def test_ignores_a_preference_that_it_does_not_know(client: FlaskClient, stored_lead: StoredLead, prefer: str) -> None:
    stored = stored_lead()
    sent = {"full_name": "Zebedee", "email": stored["email"]}

    response = client.post("/leads", json=sent, headers={"Prefer": prefer})

    assert response.status_code == 409
    assert response.data == b'{"detail":"Lead with this email already exists."}'
    assert "Preference-Applied" not in response.headers


def test_a_preference_that_is_mostly_spaces_takes_no_time(client: FlaskClient, new_lead: NewLead) -> None:
    headers = {"Prefer": ", ".join([f"a{' ' * 8000}(", f"a={' ' * 8000}(", f'a="b"{" " * 8000}('] * 2)}

    started = time.thread_time()
    response = client.post("/leads", json=new_lead(), headers=headers)
    seconds = time.thread_time() - started

    assert response.status_code == 201
    assert seconds < 1


def test_fifty_at_once_are_one_lead_and_fifty_events(app: Flask) -> None:
    answers: list[tuple[int, dict[str, Any]]] = []

    def send(number: int) -> None:
        words = dict.fromkeys(("full_name", "company", "message", "source"), f"{MARKER} {number}")
        sent = {**words, "email": f"{MARKER}@example.com", "attributes": {"number": f"{number}"}}
        response = app.test_client().post("/leads", json=sent, headers=MERGE)
        answers.append((response.status_code, body(response)))

    threads = [threading.Thread(target=send, args=[number]) for number in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(status for status, _ in answers) == [200] * 49 + [201]
    client = app.test_client()
    (lead,) = body(client.get("/leads"))["items"]
    assert len({lead[name] for name in ("full_name", "company", "message", "source")}) == 1
    assert lead["full_name"] == f"{MARKER} {lead['attributes']['number']}"
    page = body(client.get(f"/leads/{lead['id']}/events?limit=100"))
    assert [event["type"] for event in page["items"]] == ["lead.created"] + ["lead.repeated"] * 49
    assert page["items"][-1]["data"]["sent"]["full_name"] == lead["full_name"]
    # Each began where the one before it had ended.
    steps = [event["data"]["changes"]["message"] for event in page["items"][1:]]
    assert [step["from"] for step in steps[1:]] == [step["to"] for step in steps[:-1]]


def test_merges_and_erasures_at_once_leave_a_lead_or_none(app: Flask, stored_lead: StoredLead) -> None:
    email = stored_lead()["email"]
    statuses = []

    def merge() -> None:
        client = app.test_client()
        for _ in range(15):
            sent = {"full_name": "Zebedee", "email": email}
            statuses.append(client.post("/leads", json=sent, headers=MERGE).status_code)

    def erase() -> None:
        client = app.test_client()
        for _ in range(15):
            leads = body(client.get("/leads"))["items"]
            statuses.extend(client.delete(f"/leads/{lead['id']}").status_code for lead in leads)

    threads = [threading.Thread(target=work) for work in (merge, merge, merge, erase)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert set(statuses) <= {200, 201, 204}
    assert body(app.test_client().get("/leads"))["total"] in (0, 1)


@pytest.mark.parametrize("resolution", ["merge-duplicates", "ignore-duplicates"])
def test_a_caller_without_read_is_shown_only_what_it_sent(
    shared_app: MakeApp, new_lead: NewLead, resolution: str
) -> None:
    client = shared_app(AUTH="on").test_client()
    known = new_lead()
    stored = body(client.post("/leads", json=known))
    sent = {"full_name": "Somebody Else", "email": known["email"]}

    repeat = client.post("/leads", json=sent, headers={"Prefer": f"resolution={resolution}"})
    refused = client.post("/leads", json=sent)

    assert repeat.status_code == 200
    shown = body(repeat)
    assert list(shown) == list(stored)
    assert shown["id"] == stored["id"]
    assert {name: shown[name] for name in known} == {**dict.fromkeys(known), **sent}
    assert (refused.status_code, refused.headers.get("Location")) == (409, None)
