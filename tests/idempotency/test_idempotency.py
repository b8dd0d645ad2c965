"""Idempotency-Key: a request that is sent again is done once, and answered as it was the first time."""

import orjson
import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text
from werkzeug.test import TestResponse

from conftest import Json, MakeApp, NewLead, body, make_key
from leadapi import storage
from leadapi.idempotency import service
from leadapi.idempotency.service import Answer
from leadapi.storage import Transaction
from servers import at_once

LEAD = {"full_name": "Zebedee Doe", "email": "zebedee@example.com"}


def post(client: FlaskClient, lead: Json, key: str, **headers: str) -> TestResponse:
    return client.post("/leads", json=lead, headers={"Idempotency-Key": key, **headers})


def total(client: FlaskClient) -> int:
    number: int = body(client.get("/leads"))["total"]
    return number


def records(app: Flask) -> int:
    with app.app_context(), storage.read() as connection:
        number: int = connection.execute(text("SELECT count(*) FROM idempotency_records")).scalar_one()
        return number


def write(app: Flask, statement: str, **values: object) -> None:
    with app.app_context(), storage.write() as tx:
        tx.execute(text(statement), values)


# --- replays -------------------------------------------------------------------------------------


def test_a_request_sent_again_gets_the_first_answer(client: FlaskClient, new_lead: NewLead) -> None:
    lead = new_lead()

    first = post(client, lead, "k1")
    again = [post(client, lead, "k1") for _ in range(3)]

    assert first.status_code == 201
    assert "Idempotent-Replayed" not in first.headers
    for response in again:
        assert (response.status_code, response.data) == (201, first.data)
        assert response.headers["Location"] == first.headers["Location"]
        assert response.headers["Content-Type"] == first.headers["Content-Type"]
        assert response.headers["Idempotent-Replayed"] == "true"
        assert response.headers["X-Request-Id"] != first.headers["X-Request-Id"]
    assert total(client) == 1


def test_the_answer_is_the_first_one_though_the_lead_is_another_now(
    app: Flask, client: FlaskClient, new_lead: NewLead
) -> None:
    lead = new_lead()
    first = post(client, lead, "k1")
    write(app, "UPDATE leads SET company = 'Another'")

    assert post(client, lead, "k1").data == first.data


def test_a_conflict_is_kept_too(client: FlaskClient, new_lead: NewLead, app: Flask) -> None:
    lead = new_lead()
    client.post("/leads", json=lead)

    first = post(client, lead, "k1")
    write(app, "DELETE FROM leads")
    again = post(client, lead, "k1")

    assert first.status_code == again.status_code == 409
    assert first.data == again.data == b'{"detail":"Lead with this email already exists."}'
    assert again.mimetype == "application/problem+json"
    assert "Idempotent-Replayed" not in first.headers
    assert again.headers["Idempotent-Replayed"] == "true"


def test_a_refused_request_is_tried_anew(client: FlaskClient, new_lead: NewLead, app: Flask) -> None:
    lead = new_lead()

    assert post(client, lead | {"email": "nobody"}, "k1").status_code == 422
    assert client.post("/leads", data=b"{", headers={"Idempotency-Key": "k1"}).status_code == 415
    assert records(app) == 0
    assert post(client, lead, "k1").status_code == 201


@pytest.mark.usefixtures("own_app")
def test_a_failed_request_is_tried_anew_and_leaves_nothing(
    shared_app: MakeApp, new_lead: NewLead, backend: str
) -> None:
    app = shared_app()
    client = app.test_client()
    # Fails when the answer is stored, after the lead is.
    if backend == "sqlite":
        broken = "CREATE TRIGGER broken BEFORE UPDATE ON idempotency_records BEGIN SELECT RAISE(ABORT, 'no'); END"
        mended = "DROP TRIGGER broken"
    else:
        broken = "ALTER TABLE idempotency_records ADD CONSTRAINT broken CHECK (status IS NULL)"
        mended = "ALTER TABLE idempotency_records DROP CONSTRAINT broken"
    lead = new_lead()

    write(app, broken)
    failed = post(client, lead, "k1")
    left = (total(client), records(app))
    write(app, mended)
    again = post(client, lead, "k1")

    assert failed.status_code == 500
    assert left == (0, 0)
    assert again.status_code == 201
    assert "Idempotent-Replayed" not in again.headers


def test_another_request_with_the_key_is_refused(client: FlaskClient, new_lead: NewLead) -> None:
    lead = new_lead()
    post(client, lead, "k1")

    refused = post(client, lead | {"company": "Another"}, "k1")

    assert refused.status_code == 422
    assert body(refused) == {
        "detail": "This Idempotency-Key was used with another request.",
        "errors": {"Idempotency-Key": ["Was used with another request."]},
    }
    assert total(client) == 1


def test_the_same_request_may_be_written_in_another_way(client: FlaskClient, new_lead: NewLead) -> None:
    lead = new_lead(attributes={"page": "/", "phone": "1"})
    first = post(client, lead, "k1")
    other = dict(reversed(lead.items())) | {"attributes": {"phone": "1", "page": "/"}}
    pretty = orjson.dumps(other, option=orjson.OPT_INDENT_2)

    again = client.post("/leads", data=pretty, content_type="application/json", headers={"Idempotency-Key": '"k1"'})

    assert (again.status_code, again.data) == (201, first.data)


def test_without_a_key_nothing_is_kept(client: FlaskClient, new_lead: NewLead, app: Flask) -> None:
    lead = new_lead()

    assert [client.post("/leads", json=lead).status_code for _ in range(2)] == [201, 409]
    assert records(app) == 0


def test_callers_do_not_see_each_others_keys(shared_app: MakeApp, new_lead: NewLead) -> None:
    app = shared_app(AUTH="on")
    client = app.test_client()
    mine, theirs = ({"X-API-Key": make_key(app, "capture")} for _ in range(2))
    lead, other = new_lead(), new_lead()

    answers = [
        post(client, lead, "k1", **mine),
        post(client, other, "k1", **theirs),
        post(client, new_lead(), "k1"),
        post(client, lead, "k1", **mine),
        post(client, other, "k1", **theirs),
        post(client, other, "k1", **mine),
    ]

    assert [answer.status_code for answer in answers] == [201, 201, 201, 201, 201, 422]
    assert answers[3].data == answers[0].data
    assert answers[4].data == answers[1].data


def test_a_repeat_is_merged_once(client: FlaskClient, new_lead: NewLead) -> None:
    lead = new_lead()
    client.post("/leads", json=lead)

    first, again = (post(client, lead, "k1", Prefer="resolution=merge-duplicates") for _ in range(2))

    assert (first.status_code, first.data) == (again.status_code, again.data)
    assert again.headers["ETag"] == first.headers["ETag"]
    assert again.headers["Preference-Applied"] == "resolution=merge-duplicates"
    assert body(client.get("/leads/1/events"))["total"] == 2


def test_a_form_is_taken_once_though_its_boundary_is_another(client: FlaskClient, new_lead: NewLead) -> None:
    form = new_lead() | {"phone": "zebedee"}
    headers = {"Idempotency-Key": "k1", "Accept": "application/json"}

    first, again = (
        client.post("/leads", data=form, content_type="multipart/form-data", headers=headers) for _ in range(2)
    )
    page = client.post("/leads", data=form, headers=headers | {"Accept": "text/html"})

    assert (first.status_code, first.data) == (again.status_code, again.data)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert (page.status_code, page.mimetype) == (200, "text/html")
    assert total(client) == 1
    assert body(client.get("/leads/1/events"))["total"] == 1


def test_a_page_for_people_says_that_it_is_given_again(shared_app: MakeApp, new_lead: NewLead) -> None:
    page = "https://www.example.com/thanks"
    client = shared_app(REDIRECT_URLS=page).test_client()

    for number, form in enumerate((new_lead(), new_lead(_next=page))):
        headers = {"Idempotency-Key": f"k{number}", "Accept": "text/html"}
        first, again = (client.post("/leads", data=form, headers=headers) for _ in range(2))

        assert (first.status_code, first.data) == (again.status_code, again.data)
        assert first.headers.get("Location") == again.headers.get("Location") == form.get("_next")
        assert first.headers.get("Idempotent-Replayed") is None
        assert again.headers.get("Idempotent-Replayed") == "true"


def test_a_batch_is_stored_once(client: FlaskClient, new_lead: NewLead, app: Flask) -> None:
    invalid = {"full_name": "Zebedee", "email": "nobody"}
    leads = [new_lead(), invalid, new_lead(), {}]
    malformed: list[Json] = [{}, {"items": "none"}]
    for refused in malformed:
        assert client.post("/leads/batch", json=refused, headers={"Idempotency-Key": "k2"}).status_code == 422

    first, again, other = (
        client.post("/leads/batch", json={"items": items}, headers={"Idempotency-Key": "k2"})
        for items in (leads, leads, [*leads[:1], {"full_name": "Zebedee", "email": "another"}, *leads[2:]])
    )

    assert [item["status"] for item in body(first)["items"]] == [201, 422, 201, 422]
    assert (again.status_code, again.data) == (200, first.data)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert other.status_code == 422
    assert total(client) == 2


@pytest.mark.parametrize("depth", [250, 254, 1000])
def test_an_item_that_nests_deeply_is_refused_and_the_others_are_stored_once(
    client: FlaskClient, new_lead: NewLead, depth: int
) -> None:
    items = f"[{orjson.dumps(new_lead()).decode()}, {'[' * depth}{']' * depth}]"
    headers = {"Idempotency-Key": "k1", "Content-Type": "application/json"}

    first, again = (client.post("/leads/batch", data=f'{{"items": {items}}}', headers=headers) for _ in range(2))

    assert [item["status"] for item in body(first)["items"]] == [201, 422]
    assert (again.status_code, again.data) == (200, first.data)
    assert again.headers["Idempotent-Replayed"] == "true"


def test_a_batch_that_names_one_person_twice_is_stored_once(client: FlaskClient, new_lead: NewLead) -> None:
    lead = new_lead()
    headers = {"Idempotency-Key": "k2", "Prefer": "resolution=merge-duplicates"}

    first, again = (client.post("/leads/batch", json={"items": [lead, lead]}, headers=headers) for _ in range(2))

    assert [item["status"] for item in body(first)["items"]] == [201, 200]
    assert (again.status_code, again.data) == (200, first.data)


# --- at once -------------------------------------------------------------------------------------


def test_many_at_once_with_one_key_are_one(app: Flask, new_lead: NewLead) -> None:
    lead = new_lead()

    answers = at_once(20, lambda _: post(app.test_client(), lead, "k1"))

    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.data for answer in answers}) == 1
    assert sum("Idempotent-Replayed" not in answer.headers for answer in answers) == 1
    assert total(app.test_client()) == 1


def test_many_at_once_with_one_key_and_two_payloads_are_one(app: Flask, new_lead: NewLead) -> None:
    leads = [new_lead(), new_lead()]

    answers = at_once(10, lambda number: post(app.test_client(), leads[number % 2], "k1"))

    assert sorted(answer.status_code for answer in answers) == [201] * 5 + [422] * 5
    assert total(app.test_client()) == 1


@pytest.mark.usefixtures("short_waits")
def test_a_request_whose_first_one_is_still_running_is_told_so(
    app: Flask, client: FlaskClient, new_lead: NewLead, backend: str
) -> None:
    def ask_again(_tx: Transaction) -> Answer:
        answers.append(post(client, LEAD, "k1"))
        return Answer(200, [], "{}")

    answers: list[TestResponse] = []
    with app.app_context():
        service.answer_once(ask_again, key="k1", caller=None, fingerprint="", hours=1)

    (answer,) = answers
    assert answer.headers["Retry-After"]
    if backend == "sqlite":
        # There one writer waits for the other, whatever its key.
        assert answer.status_code == 503
    else:
        assert answer.status_code == 409
        assert body(answer)["type"] == "urn:leadapi:problem:request-running"


def test_a_form_with_other_text_that_has_no_room_is_another_request(client: FlaskClient, new_lead: NewLead) -> None:
    lead = new_lead()
    headers = {"Idempotency-Key": "k1"}

    answers = [client.post("/leads", data={**lead, "n": "x" * 2000 + end}, headers=headers) for end in "aab"]

    assert [answer.status_code for answer in answers] == [201, 201, 422]
    assert answers[1].headers["Idempotent-Replayed"] == "true"
