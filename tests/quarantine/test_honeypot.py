"""The trap for who fills what people do not see, in JSON. That of a form is in leads/test_forms.py."""

import re
from typing import Any

import orjson
import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text
from werkzeug.test import TestResponse

from conftest import MARKER, Json, MakeApp, NewLead, Serve, StoredLead, body, make_key
from leadapi import storage
from servers import at_once

FILLED = f"{MARKER} was lured"


def post(client: FlaskClient, lead: Json, **headers: str) -> TestResponse:
    return client.post("/leads", json=lead, headers=headers)


def quarantined(app: Flask) -> list[Any]:
    """The ids, reasons and leads that were caught, oldest first."""
    with app.app_context(), storage.read() as connection:
        rows = connection.execute(text("SELECT id, reason, lead FROM quarantine ORDER BY id")).all()
    return [(row.id, row.reason, orjson.loads(row.lead)) for row in rows]


def timeless(response: TestResponse) -> str:
    """The body as if it had been sent at another time and under another id."""
    return re.sub(r'"id":\d+|"\d{4}-[^"]+Z"', "", response.text)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"company": None, "message": None, "source": None, "attributes": None},
        {"attributes": {"b": "1", "a": f"é {MARKER}"}},
        {"full_name": f"  {MARKER} Doe ", "email": f"{MARKER}@BÜCHER.example"},
    ],
    ids=["all", "nothing", "attributes", "normalised"],
)
@pytest.mark.parametrize("header", ["Idempotency-Key", "Prefer", "X-Request-Id"])
def test_a_filled_honeypot_gets_the_usual_answer(
    client: FlaskClient, new_lead: NewLead, changes: Json, header: str
) -> None:
    lead = new_lead(**changes)

    caught = post(client, lead | {"_gotcha": FILLED}, **{header: "resolution=merge-duplicates"})
    honest = post(client, lead, **{header: "resolution=merge-duplicates;again"})

    assert (caught.status_code, honest.status_code) == (201, 201)
    assert timeless(caught) == timeless(honest)
    assert list(caught.headers.keys()) == list(honest.headers.keys())
    for answer in (caught, honest):
        assert answer.headers["Location"] == f"/leads/{body(answer)['id']}"
        assert re.fullmatch('"[0-9a-f]{24}"', answer.headers["ETag"])
    # The next id, as it would have been.
    assert (body(caught)["id"], body(honest)["id"]) == (1, 2)


def test_a_caught_lead_is_not_listed_and_has_no_history(app: Flask, client: FlaskClient, new_lead: NewLead) -> None:
    lead = new_lead()

    caught = post(client, lead | {"_gotcha": FILLED, "_ts": "x"})

    assert body(client.get("/leads")) == {"total": 0, "items": []}
    assert body(client.get(f"/leads?source={lead['source']}"))["total"] == 0
    assert client.get(caught.headers["Location"]).status_code == 404
    assert client.get(f"{caught.headers['Location']}/events").status_code == 404
    assert client.delete(caught.headers["Location"]).status_code == 404
    assert quarantined(app) == [(1, "honeypot", lead)]


def test_a_caught_lead_looks_like_a_new_lead_every_time(
    app: Flask, client: FlaskClient, stored_lead: StoredLead
) -> None:
    known = stored_lead()
    lead = {"full_name": MARKER, "email": known["email"], "_gotcha": FILLED}

    answers = [post(client, lead), post(client, lead), post(client, lead, Prefer="resolution=merge-duplicates")]

    assert [(answer.status_code, body(answer)["id"]) for answer in answers] == [(201, 2), (201, 3), (201, 4)]
    assert all(body(answer)["full_name"] == MARKER and body(answer)["company"] is None for answer in answers)
    assert body(client.get("/leads")) == {"total": 1, "items": [known]}
    assert body(client.get("/leads/1/events"))["total"] == 1
    assert len(quarantined(app)) == 3


@pytest.mark.parametrize("blank", [None, "", " ", "\t\r\n\u3000"])
def test_a_blank_honeypot_is_let_in(app: Flask, client: FlaskClient, new_lead: NewLead, blank: str | None) -> None:
    response = post(client, new_lead(_gotcha=blank))

    assert response.status_code == 201
    assert body(client.get("/leads/1")) == body(response)
    assert body(response).keys().isdisjoint({"_gotcha", "_ts"})
    assert body(response)["attributes"] == {}
    assert quarantined(app) == []


def test_a_program_with_a_key_may_hand_on_what_it_got_from_a_page(shared_app: MakeApp, new_lead: NewLead) -> None:
    app = shared_app(AUTH="on")

    response = post(app.test_client(), new_lead(_gotcha=FILLED), **{"X-API-Key": make_key(app, "capture")})

    assert (response.status_code, len(quarantined(app))) == (201, 1)


@pytest.mark.one_database
@pytest.mark.parametrize("field", ["_gotcha", "_ts"])
@pytest.mark.parametrize("value", [1, True, [], {}])
def test_a_trap_field_that_is_no_text_is_refused_by_name(
    client: FlaskClient, new_lead: NewLead, field: str, value: Any
) -> None:
    response = post(client, new_lead(**{field: value}))

    assert (response.status_code, body(response)["errors"]) == (422, {field: ["Not a valid string."]})


def test_a_caught_lead_is_validated_like_all_others(app: Flask, client: FlaskClient, new_lead: NewLead) -> None:
    response = post(client, new_lead(_gotcha=FILLED, email="nobody", surname="Doe"))

    assert (response.status_code, set(body(response)["errors"])) == (422, {"email", "surname"})
    assert quarantined(app) == []


def test_the_log_names_no_lead_and_no_person(
    client: FlaskClient, new_lead: NewLead, capsys: pytest.CaptureFixture[str]
) -> None:
    post(client, new_lead())
    capsys.readouterr()

    post(client, new_lead(_gotcha=FILLED))

    out = capsys.readouterr().out
    told, line = map(orjson.loads, out.splitlines())
    assert (told["event"], told["quarantine_id"], told["reason"]) == ("lead.quarantined", 2, "honeypot")
    assert told["request_id"] == line["request_id"]
    assert (line["status"], line["quarantine_id"]) == (201, 2)
    assert "lead_id" not in line
    assert MARKER not in out.lower()


def test_in_a_batch_each_is_judged_by_itself(
    app: Flask, client: FlaskClient, new_lead: NewLead, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = new_lead(), new_lead()
    items = [first, second | {"_gotcha": FILLED}, second | {"_gotcha": "x"}, second, first, {"_gotcha": 1}]

    response = client.post("/leads/batch", json={"items": items})

    verdicts = body(response)["items"]
    assert [verdict["status"] for verdict in verdicts] == [201, 201, 201, 201, 409, 422]
    shown = [verdict["lead"] for verdict in verdicts[:4]]
    assert len({lead["id"] for lead in shown}) == 4
    assert all(list(lead) == list(shown[0]) for lead in shown)
    assert [lead["email"] for lead in shown] == [first["email"], *[second["email"]] * 3]
    assert [lead["id"] for lead in body(client.get("/leads"))["items"]] == [shown[0]["id"], shown[3]["id"]]
    assert [item[0] for item in quarantined(app)] == [shown[1]["id"], shown[2]["id"]]
    assert '"items":6,"stored":2' in capsys.readouterr().out


def test_a_batch_may_be_caught_whole(app: Flask, client: FlaskClient, new_lead: NewLead) -> None:
    response = client.post("/leads/batch", json={"items": [new_lead(_gotcha="x"), new_lead(_gotcha="x")]})

    assert [verdict["status"] for verdict in body(response)["items"]] == [201, 201]
    assert body(client.get("/leads"))["total"] == 0
    assert len(quarantined(app)) == 2


def test_many_at_once_get_an_id_each(app: Flask, serve: Serve, database_url: str, new_lead: NewLead) -> None:
    server = serve(DATABASE_URL=database_url, WEB_CONCURRENCY="2")
    leads = [new_lead(_gotcha="x" * (number % 2)) for number in range(40)]

    answers = at_once(40, lambda number: server.post("/leads", json=leads[number]))

    assert {answer.status for answer in answers} == {201}
    assert len({answer.json()["id"] for answer in answers}) == 40
    assert server.get("/leads").json()["total"] == 20
    assert len(quarantined(app)) == 20
