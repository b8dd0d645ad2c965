"""POST /leads/{id}/notes."""

import pytest
from flask.testing import FlaskClient

from conftest import MARKER, MakeApp, StoredLead, body, make_key


def test_a_note_is_an_event_of_the_lead(client: FlaskClient, stored_lead: StoredLead) -> None:
    stored_lead()

    response = client.post("/leads/1/notes", json={"text": f" \n{MARKER} wants\r\n\ta call. "})

    assert response.status_code == 201
    noted = body(response)
    assert list(noted) == ["id", "type", "time", "actor", "data"]
    assert (noted["type"], noted["actor"]) == ("lead.noted", None)
    assert noted["data"] == {"text": f"{MARKER} wants\r\n\ta call."}
    history = body(client.get("/leads/1/events"))
    assert (history["total"], history["items"][-1]) == (2, noted)


def test_a_note_leaves_the_lead_as_it_is(client: FlaskClient, stored_lead: StoredLead) -> None:
    stored = stored_lead()
    tag = client.get("/leads/1").headers["ETag"]

    client.post("/leads/1/notes", json={"text": MARKER})

    after = client.get("/leads/1")
    assert (after.json, after.headers["ETag"]) == (stored, tag)


@pytest.mark.one_database
@pytest.mark.parametrize("text", ["", " \n\u200b", "x" * 5001, "a\x00b", None, 7])
def test_a_text_that_is_no_note_is_refused(client: FlaskClient, stored_lead: StoredLead, text: object) -> None:
    stored_lead()

    response = client.post("/leads/1/notes", json={"text": text})

    assert response.status_code == 422
    assert list(body(response)["errors"]) == ["text"]
    assert body(client.get("/leads/1/events"))["total"] == 1


def test_the_longest_note_is_stored_without_the_spaces_around_it(client: FlaskClient, stored_lead: StoredLead) -> None:
    stored_lead()

    response = client.post("/leads/1/notes", json={"text": f" {'ä' * 5000}\n"})

    assert response.status_code == 201
    assert body(response)["data"] == {"text": "ä" * 5000}


def test_only_a_lead_can_have_notes(client: FlaskClient, stored_lead: StoredLead) -> None:
    stored_lead()
    client.delete("/leads/1")

    assert [client.post(f"/leads/{number}/notes", json={"text": MARKER}).status_code for number in (1, 2)] == [404, 404]
    assert body(client.get("/leads/1/events"))["total"] == 1


def test_an_erasure_deletes_the_notes(client: FlaskClient, stored_lead: StoredLead) -> None:
    stored_lead()
    client.post("/leads/1/notes", json={"text": MARKER})

    client.delete("/leads/1")

    assert [event["type"] for event in body(client.get("/leads/1/events"))["items"]] == ["lead.erased"]


def test_a_note_needs_the_scope_write_and_names_the_key(shared_app: MakeApp) -> None:
    app = shared_app(AUTH="on")
    client = app.test_client()
    reader, writer = ({"X-API-Key": make_key(app, scope)} for scope in ("read", "write"))
    capture = {"X-API-Key": make_key(app, "capture")}
    client.post("/leads", json={"full_name": "Zebedee Dee", "email": "z@example.com"}, headers=capture)

    assert client.post("/leads/1/notes", json={"text": MARKER}).status_code == 401
    assert client.post("/leads/1/notes", json={"text": MARKER}, headers=reader).status_code == 403
    noted = client.post("/leads/1/notes", json={"text": MARKER}, headers=writer)

    assert noted.status_code == 201
    assert body(noted)["actor"] == writer["X-API-Key"].split("_")[1]
