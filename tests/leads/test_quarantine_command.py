"""flask leads quarantine."""

import re
from datetime import timedelta

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import bindparam, text

from conftest import MARKER, Json, MakeApp, NewLead, StoredLead, body
from leadapi import storage
from leadapi.leads import captures
from leadapi.quarantine.errors import QuarantinedLeadMissing
from leadapi.storage import UTCDateTime, now
from servers import at_once


def run(app: Flask, *arguments: str, status: int = 0) -> str:
    """The output of a command."""
    result = app.test_cli_runner().invoke(args=["leads", "quarantine", *arguments])
    assert (result.exit_code, "Traceback" in result.output) == (status, False), result.output
    return result.output


def trap(client: FlaskClient, lead: Json, key: str = "") -> Json:
    """Let something be caught; what is answered."""
    headers = {"Idempotency-Key": key} if key else {}
    response = client.post("/leads", json=lead | {"_gotcha": "x"}, headers=headers)
    assert response.status_code == 201
    return body(response)


def leads(client: FlaskClient) -> list[Json]:
    items: list[Json] = body(client.get("/leads"))["items"]
    return items


def events(client: FlaskClient, lead_id: int) -> list[str]:
    return [event["type"] for event in body(client.get(f"/leads/{lead_id}/events"))["items"]]


# --- list ----------------------------------------------------------------------------------------


def test_list_shows_who_was_caught_when_and_why(app: Flask, client: FlaskClient, new_lead: NewLead) -> None:
    shown = [trap(client, new_lead(full_name=f"{MARKER} {name}")) for name in ("Ann", "Bo", "Cy")]

    header, *lines = run(app, "list", "--limit", "2").splitlines()

    assert header.split() == ["ID", "TIME", "REASON", "ADDRESS", "NAME"]
    assert [re.split("  +", line) for line in lines] == [
        [str(lead["id"]), lead["created_at"], "honeypot", lead["email"], lead["full_name"]] for lead in shown[:0:-1]
    ]


def test_list_has_a_header_when_there_is_nothing(app: Flask) -> None:
    assert run(app, "list").split() == ["ID", "TIME", "REASON", "ADDRESS", "NAME"]


def test_list_writes_nothing_that_a_terminal_would_obey(app: Flask, client: FlaskClient, new_lead: NewLead) -> None:
    trap(client, new_lead(full_name=f"{MARKER} \u202e\u2028Zoë"))

    assert f"{MARKER} \ufffd\ufffdZoë\n" in run(app, "list")


@pytest.mark.parametrize("arguments", [["list", "--limit", "0"], ["release"], ["release", "0"], ["release", "x"]])
def test_invalid_arguments_are_refused(app: Flask, arguments: list[str]) -> None:
    assert "Usage: " in run(app, *arguments, status=2)


# --- release -------------------------------------------------------------------------------------


def test_release_makes_a_lead_of_it(app: Flask, client: FlaskClient, new_lead: NewLead) -> None:
    lead = new_lead(attributes={"phone": "1"})
    told = trap(client, lead)

    said = run(app, "release", "1")

    assert said == "1: stored as lead 2.\n"
    (stored,) = leads(client)
    assert stored.items() >= {**lead, "id": 2, "status": "new"}.items()
    assert events(client, 2) == ["lead.created"]
    # The id that was answered is still nobody's.
    assert client.get(f"/leads/{told['id']}").status_code == 404
    assert run(app, "release", "1", status=1) == "1: There is nothing with this id in the quarantine.\n"
    assert len(leads(client)) == 1


def test_release_of_what_a_form_sent(app: Flask, client: FlaskClient, new_lead: NewLead) -> None:
    client.post("/leads", data=new_lead(_gotcha="x", phone="1", _ts="x"))

    run(app, "release", "1")

    assert leads(client)[0]["attributes"] == {"phone": "1"}


def test_release_merges_what_has_an_address_that_is_stored(
    app: Flask, client: FlaskClient, stored_lead: StoredLead, new_lead: NewLead
) -> None:
    known = stored_lead()
    trap(client, new_lead(email=known["email"].upper(), company=None, message=f"{MARKER} again"))

    said = run(app, "release", "2")

    assert said == "2: added to what is known of lead 1.\n"
    (lead,) = leads(client)
    assert (lead["company"], lead["message"]) == (known["company"], f"{MARKER} again")
    assert events(client, 1) == ["lead.created", "lead.repeated"]


def test_release_merges_what_fits_into_the_lead(
    app: Flask, client: FlaskClient, stored_lead: StoredLead, new_lead: NewLead
) -> None:
    known = stored_lead(attributes={f"a{number}": "1" for number in range(50)})
    trap(client, new_lead(email=known["email"], message=f"{MARKER} again", attributes={"phone": "1"}))

    run(app, "release", "2")

    (lead,) = leads(client)
    assert (lead["message"], lead["attributes"]) == (f"{MARKER} again", known["attributes"])
    assert events(client, 1) == ["lead.created", "lead.repeated"]


def test_release_takes_several_and_names_those_that_are_not_there(
    app: Flask, client: FlaskClient, new_lead: NewLead
) -> None:
    for _ in range(2):
        trap(client, new_lead())

    said = run(app, "release", "2", "7", "1", "2", status=1)

    assert said.splitlines() == [
        "2: stored as lead 3.",
        "7: There is nothing with this id in the quarantine.",
        "1: stored as lead 4.",
        "2: There is nothing with this id in the quarantine.",
    ]
    assert len(leads(client)) == 2


def test_release_does_not_know_what_is_over(app: Flask, client: FlaskClient, new_lead: NewLead) -> None:
    trap(client, new_lead())
    with app.app_context(), storage.write() as tx:
        statement = text("UPDATE quarantine SET created_at = :time").bindparams(bindparam("time", type_=UTCDateTime))
        tx.execute(statement, {"time": now() - timedelta(days=31)})

    run(app, "release", "1", status=1)

    assert leads(client) == []


def test_release_happens_once_though_many_do_it_at_once(app: Flask, client: FlaskClient, new_lead: NewLead) -> None:
    caught = trap(client, new_lead())

    def release(_number: int) -> bool:
        with app.app_context():
            try:
                return captures.release(caught["id"]).created
            except QuarantinedLeadMissing:
                return False

    assert sorted(at_once(4, release)) == [False, False, False, True]
    (lead,) = leads(client)
    assert events(client, lead["id"]) == ["lead.created"]


@pytest.mark.usefixtures("own_app")
def test_release_that_fails_leaves_it_where_it_is(app: Flask, client: FlaskClient, new_lead: NewLead) -> None:
    trap(client, new_lead())
    with app.app_context(), storage.write() as tx:
        tx.execute(text("ALTER TABLE events RENAME TO lost"))

    run(app, "release", "1", status=1)

    with app.app_context(), storage.write() as tx:
        tx.execute(text("ALTER TABLE lost RENAME TO events"))
    assert leads(client) == []
    assert "honeypot" in run(app, "list")


def test_a_released_request_that_is_sent_again_gets_its_answer_and_is_erased_with_the_lead(
    app: Flask, client: FlaskClient, new_lead: NewLead
) -> None:
    lead = new_lead()
    first = trap(client, lead, "k")
    batch = {"items": [new_lead(_gotcha="x"), new_lead(full_name="Another", email="another@example.com")]}
    headers = {"Idempotency-Key": "batch"}
    both = client.post("/leads/batch", json=batch, headers=headers)
    caught = body(both)["items"][0]["lead"]["id"]

    assert run(app, "release", "1", str(caught)).count("stored") == 2

    assert trap(client, lead, "k") == first
    assert client.post("/leads/batch", json=batch, headers=headers).data == both.data
    released = [stored["id"] for stored in leads(client) if stored["full_name"] != "Another"]
    assert len(released) == 2
    for lead_id in released:
        client.delete(f"/leads/{lead_id}")
    with app.app_context(), storage.read() as connection:
        assert connection.execute(text("SELECT count(*) FROM idempotency_records")).scalar_one() == 0


def test_release_into_a_lead_of_the_same_answer(app: Flask, client: FlaskClient, new_lead: NewLead) -> None:
    lead = new_lead()
    batch = {"items": [lead, lead | {"_gotcha": "x"}, new_lead()]}
    client.post("/leads/batch", json=batch, headers={"Idempotency-Key": "batch"})

    caught = int(run(app, "list").splitlines()[1].split()[0])

    assert run(app, "release", str(caught)) == f"{caught}: added to what is known of lead 1.\n"


def test_a_schema_that_is_not_current_is_told_in_a_sentence(make_app: MakeApp, empty_database_url: str) -> None:
    app = make_app(DATABASE_URL=empty_database_url, AUTO_MIGRATE="off")

    assert "flask db upgrade" in run(app, "list", status=1)
    assert "flask db upgrade" in run(app, "release", "1", status=1)
