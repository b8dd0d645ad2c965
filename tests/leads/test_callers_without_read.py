"""Strangers, and callers with a key that lacks the scope read: what they can change, and what they cannot find out."""

from collections.abc import Callable
from itertools import count
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from conftest import MARKER, Json, MakeApp, NewLead, body, make_key

MERGE = {"Prefer": "resolution=merge-duplicates"}
IGNORE = {"Prefer": "resolution=ignore-duplicates"}
# As many as a lead can have.
FULL = {f"secret {number}": f"hidden {number}" for number in range(50)}
LARGE = {f"large {number}": "a" * 1990 for number in range(8)}

Send = Callable[[Json, dict[str, str]], TestResponse]


@pytest.fixture
def app(shared_app: MakeApp) -> Flask:
    """An app that asks for keys."""
    return shared_app(AUTH="on")


@pytest.fixture
def owner(app: Flask) -> dict[str, str]:
    """The header of a caller who may do everything."""
    return {"Authorization": f"Bearer {make_key(app, 'admin')}"}


@pytest.fixture(params=["anonymous", "capture", "batch", "write"])
def send(request: pytest.FixtureRequest, app: Flask, client: FlaskClient) -> Send:
    """Send a lead as each of the callers without read; the answer is that for the one lead."""
    scope = {"batch": "capture"}.get(request.param, request.param)
    key = {} if scope == "anonymous" else {"Authorization": f"Bearer {make_key(app, 'capture', scope)}"}

    def post(lead: Json, headers: dict[str, str]) -> TestResponse:
        if request.param == "batch":
            return client.post("/leads/batch", json={"items": [lead]}, headers=headers | key)
        return client.post("/leads", json=lead, headers=headers | key)

    return post


def outcome(response: TestResponse) -> tuple[int, Json]:
    """The status and the body for a lead, also from a batch."""
    content = body(response)
    if "items" not in content:
        return response.status_code, content
    (item,) = content["items"]
    return item["status"], item.get("lead") or {name: item[name] for name in item.keys() - {"status"}}


def show(client: FlaskClient, owner: dict[str, str], lead_id: int) -> Json:
    return body(client.get(f"/leads/{lead_id}", headers=owner))


def last_event(client: FlaskClient, owner: dict[str, str], lead_id: int) -> Json:
    event: Json = body(client.get(f"/leads/{lead_id}/events?limit=100", headers=owner))["items"][-1]
    return event


@pytest.mark.parametrize("stored", [FULL, LARGE], ids=["many", "large"])
def test_a_merge_with_too_many_attributes_keeps_what_fits_and_the_rest_in_the_event(
    client: FlaskClient, owner: dict[str, str], send: Send, new_lead: NewLead, stored: dict[str, str]
) -> None:
    known = new_lead(attributes=stored)
    lead = body(client.post("/leads", json=known, headers=owner))
    changed = next(iter(stored))
    sent = {"full_name": "Zebedee Again", "email": known["email"], "attributes": {changed: "b", "more": "c" * 1900}}

    status, shown = outcome(send(sent, MERGE))

    assert status == 200
    assert {name: shown[name] for name in sent} == sent
    assert "hidden" not in str(shown)
    after = show(client, owner, lead["id"])
    assert after["attributes"] == stored | {changed: "b"} | ({"more": "c" * 1900} if stored == LARGE else {})
    assert after["full_name"] == "Zebedee Again"
    event = last_event(client, owner, lead["id"])
    assert (event["type"], event["data"]["sent"]) == ("lead.repeated", sent)


@pytest.mark.parametrize("headers", [{}, MERGE, IGNORE], ids=["plain", "merge", "ignore"])
def test_no_answer_depends_on_what_the_lead_has(
    client: FlaskClient, owner: dict[str, str], send: Send, new_lead: NewLead, headers: dict[str, str]
) -> None:
    full, large, bare = new_lead(attributes=FULL), new_lead(attributes=LARGE), new_lead()
    bare = {"full_name": bare["full_name"], "email": bare["email"]}
    ids = [body(client.post("/leads", json=known, headers=owner))["id"] for known in (full, large, bare)]
    client.patch(f"/leads/{ids[0]}", json={"status": "lost"}, headers=owner)

    own = ("id", "email", "created_at", "updated_at")
    for attributes in (None, {}, {"more": "1"}, {"secret 1": "hidden 1"}, FULL, LARGE):
        seen: list[Any] = []
        for known in (full, large, bare):
            sent = {"full_name": "Zebedee Again", "email": known["email"], "attributes": attributes}
            status, shown = outcome(send(sent, headers))
            seen.append((status, {name: value for name, value in shown.items() if name not in own}))

        assert seen[0] == seen[1] == seen[2]
        assert seen[0][0] == (200 if headers else 409)


def test_a_stranger_cannot_replace_an_address_even_by_another_spelling(
    app: Flask, client: FlaskClient, owner: dict[str, str], new_lead: NewLead
) -> None:
    stored = body(client.post("/leads", json=new_lead(email=f"{MARKER}@example.com"), headers=owner))
    spelling = f"{MARKER.upper()}@example.com"
    sent = {"full_name": "Zebedee Again", "email": spelling}
    form = {"full_name": "Zebedee Form", "email": spelling}
    number = count(1)

    def stored_email() -> str:
        lead = show(client, owner, stored["id"])
        assert lead["full_name"] == f"Zebedee {next(number)}"
        email: str = lead["email"]
        return email

    echoed = client.post("/leads", json=sent | {"full_name": "Zebedee 1"}, headers=MERGE)
    assert (echoed.status_code, body(echoed)["email"]) == (200, spelling)
    assert stored_email() == stored["email"]
    assert client.post("/leads", data=form | {"full_name": "Zebedee 2"}).status_code == 200
    assert stored_email() == stored["email"]
    caught = body(client.post("/leads", json=sent | {"full_name": "Zebedee 3", "_gotcha": "x"}))
    assert app.test_cli_runner().invoke(args=["leads", "quarantine", "release", f"{caught['id']}"]).exit_code == 0
    assert stored_email() == stored["email"]
    # A caller with a key may.
    key = {"Authorization": f"Bearer {make_key(app, 'capture')}"}
    assert client.post("/leads", json=sent | {"full_name": "Zebedee 4"}, headers=MERGE | key).status_code == 200
    assert stored_email() == spelling


def test_in_a_batch_a_key_may_replace_the_spelling(
    app: Flask, client: FlaskClient, owner: dict[str, str], new_lead: NewLead
) -> None:
    stored = body(client.post("/leads", json=new_lead(email=f"{MARKER}@example.com"), headers=owner))
    item = {"full_name": "Zebedee Again", "email": f"{MARKER.upper()}@example.com"}

    strangers = client.post("/leads/batch", json={"items": [item]}, headers=MERGE)
    key = {"Authorization": f"Bearer {make_key(app, 'capture')}"}
    known = client.post("/leads/batch", json={"items": [item]}, headers=MERGE | key)

    assert (strangers.status_code, known.status_code) == (401, 200)
    assert show(client, owner, stored["id"])["email"] == item["email"]


def test_a_change_by_a_key_without_read_shows_nothing_and_is_never_too_large(
    app: Flask, client: FlaskClient, owner: dict[str, str], new_lead: NewLead
) -> None:
    writer = {"Authorization": f"Bearer {make_key(app, 'write')}"}
    lead = body(client.post("/leads", json=new_lead(attributes=FULL), headers=owner))
    path = f"/leads/{lead['id']}"

    partly = client.patch(path, json={"attributes": {"more": "1", "secret 1": "2"}}, headers=writer)
    event = last_event(client, owner, lead["id"])
    changed = show(client, owner, lead["id"])
    not_at_all = client.patch(path, json={"attributes": {"yet more": "1", "gone": None}}, headers=writer)
    unchanged = client.get(path, headers=owner)
    other = last_event(client, owner, lead["id"])

    assert (partly.status_code, partly.data, not_at_all.status_code, not_at_all.data) == (204, b"", 204, b"")
    assert changed["attributes"] == FULL | {"secret 1": "2"}
    assert event["data"]["changes"]["attributes"]["to"] == changed["attributes"]
    assert event["data"]["left_out"] == {"more": "1"}
    assert body(unchanged) == changed
    assert unchanged.headers["ETag"] == not_at_all.headers["ETag"] == partly.headers["ETag"]
    assert other["data"] == {"changes": {}, "left_out": {"yet more": "1"}}
    assert client.patch(path, json={"attributes": {"more": "1"}}, headers=owner).status_code == 422


def test_a_taken_address_says_no_more_to_a_key_without_read(
    app: Flask, client: FlaskClient, owner: dict[str, str], new_lead: NewLead
) -> None:
    writer = {"Authorization": f"Bearer {make_key(app, 'write')}"}
    first, second = (body(client.post("/leads", json=new_lead(), headers=owner)) for _ in range(2))

    refused = client.patch(f"/leads/{first['id']}", json={"email": second["email"]}, headers=writer)

    assert refused.status_code == 409
    assert refused.data == b'{"detail":"Lead with this email already exists."}'
    assert "Location" not in refused.headers
