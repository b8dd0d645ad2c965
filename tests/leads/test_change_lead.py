"""PATCH /leads/{id}."""

import threading
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text

from conftest import MARKER, StoredLead, body
from leadapi import storage

EARLIER = "2026-02-28T10:00:00Z"


def age(app: Flask) -> None:
    """Let all that is stored be from an earlier time, so that a new time can be told from it."""
    with app.app_context(), storage.write() as tx:
        tx.execute(text("UPDATE leads SET created_at = '2026-02-28 10:00:00Z'"))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("full_name", f"{MARKER} the Second"),
        ("email", f"{MARKER}.new@example.com"),
        ("company", None),
        ("message", "one\ntwo"),
        ("source", None),
        ("source", "elsewhere"),
        ("status", "qualified"),
        ("attributes", {"phone": MARKER}),
    ],
)
def test_changes_the_field_that_is_given_and_no_other(
    client: FlaskClient, stored_lead: StoredLead, field: str, value: Any
) -> None:
    stored = stored_lead()
    age(client.application)

    response = client.patch("/leads/1", json={field: value})

    assert response.status_code == 200
    shown = body(response)
    assert list(shown) == list(stored)
    assert shown["updated_at"] > EARLIER
    assert shown == {**stored, "created_at": EARLIER, "updated_at": shown["updated_at"], field: value}
    assert body(client.get("/leads/1")) == body(response)


@pytest.mark.parametrize(
    ("changes", "left"),
    [
        ({}, {"a": "1", "b": "2"}),
        ({"a": None}, {"b": "2"}),
        ({"a": None, "nothing": None}, {"b": "2"}),
        ({"a": "", "nothing": ""}, {"b": "2"}),
        ([], {"a": "1", "b": "2"}),
        ({"b": "3", "c": "4"}, {"a": "1", "b": "3", "c": "4"}),
        (None, {}),
    ],
)
def test_merges_attributes(
    client: FlaskClient, stored_lead: StoredLead, changes: dict[str, str | None] | None, left: dict[str, str]
) -> None:
    stored_lead(attributes={"a": "1", "b": "2"})

    response = client.patch("/leads/1", json={"attributes": changes})

    assert response.status_code == 200
    assert body(response)["attributes"] == left


def test_an_empty_text_clears(client: FlaskClient, stored_lead: StoredLead) -> None:
    stored_lead()

    lead = body(client.patch("/leads/1", json={"company": "", "message": "", "source": ""}))

    assert (lead["company"], lead["message"], lead["source"]) == (None, None, None)


def test_keeps_no_more_attributes_than_a_lead_may_have(client: FlaskClient, stored_lead: StoredLead) -> None:
    stored_lead(attributes={str(number): MARKER for number in range(50)})

    refused = client.patch("/leads/1", json={"attributes": {"one more": MARKER}})
    replaced = client.patch("/leads/1", json={"attributes": {"one more": MARKER, "0": None}})

    assert refused.status_code == 422
    assert list(body(refused)["errors"]) == ["attributes"]
    assert replaced.status_code == 200
    assert len(body(replaced)["attributes"]) == 50


@pytest.mark.one_database
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("full_name", None),
        ("full_name", "Z"),
        ("email", None),
        ("email", "zebedee"),
        ("company", "c" * 256),
        ("status", None),
        ("status", "zebedee"),
        ("status", "New"),
        ("attributes", {"name": 1}),
        ("attributes", "zebedee"),
        ("id", 2),
        ("created_at", EARLIER),
        ("updated_at", EARLIER),
        ("email_key", "zebedee"),
    ],
)
def test_refuses_what_breaks_a_rule_by_name(
    client: FlaskClient, stored_lead: StoredLead, field: str, value: Any
) -> None:
    stored = stored_lead()

    response = client.patch("/leads/1", json={"company": "Zebedee Inc", field: value})

    assert response.status_code == 422
    assert [name.partition(".")[0] for name in body(response)["errors"]] == [field]
    assert body(client.get("/leads/1")) == stored


def test_takes_a_merge_patch_by_its_own_name(client: FlaskClient, stored_lead: StoredLead) -> None:
    stored_lead()

    taken = client.patch("/leads/1", data=b'{"company": null}', content_type="application/merge-patch+json")
    refused = client.patch("/leads/1", data=b'{"company": null}', content_type="application/json-patch+json")

    assert (taken.status_code, body(taken)["company"]) == (200, None)
    assert refused.status_code == 415
    assert client.post("/leads", data=b"{}", content_type="application/merge-patch+json").status_code == 415


def test_changing_nothing_changes_nothing(client: FlaskClient, stored_lead: StoredLead) -> None:
    stored = stored_lead(attributes={"a": "1"})
    age(client.application)

    for changes in ({}, {"status": "new", "company": stored["company"], "attributes": {"a": "1"}}):
        response = client.patch("/leads/1", json=changes)

        assert response.status_code == 200
        assert body(response)["updated_at"] == EARLIER
    assert body(client.get("/leads/1/events"))["total"] == 1


def test_an_address_may_be_spelled_in_another_way(client: FlaskClient, stored_lead: StoredLead) -> None:
    stored = stored_lead(email=f"{MARKER}@example.com")

    response = client.patch("/leads/1", json={"email": f"{MARKER.title()}@example.com"})

    assert body(response)["email"] == f"{MARKER.title()}@example.com"
    again = client.post("/leads", json={"full_name": stored["full_name"], "email": stored["email"]})
    assert again.status_code == 409


def test_refuses_an_address_that_is_taken(client: FlaskClient, stored_lead: StoredLead) -> None:
    first, second = stored_lead(), stored_lead()

    response = client.patch("/leads/2", json={"email": first["email"].upper(), "status": "lost"})

    assert response.status_code == 409
    assert response.data == b'{"detail":"Lead with this email already exists."}'
    assert response.headers["Location"] == "/leads/1"
    assert body(client.get("/leads/2")) == second
    assert body(client.get("/leads/2/events"))["total"] == 1


@pytest.mark.usefixtures("own_app")
def test_another_refusal_is_not_called_a_duplicate(client: FlaskClient, app: Flask, stored_lead: StoredLead) -> None:
    stored = [stored_lead(source=source) for source in ("a", "b")]
    with app.app_context(), storage.write() as tx:
        tx.execute(text("CREATE UNIQUE INDEX uq_leads_source ON leads (source)"))

    response = client.patch("/leads/2", json={"source": "a", "email": f"other.{stored[1]['email']}"})

    assert response.status_code == 500
    assert body(client.get("/leads"))["items"] == stored


def test_an_address_that_was_left_is_free(client: FlaskClient, stored_lead: StoredLead) -> None:
    left = stored_lead()["email"]
    client.patch("/leads/1", json={"email": f"other.{left}"})

    assert stored_lead(email=left)["id"] > 1


@pytest.mark.one_database
@pytest.mark.parametrize(
    ("condition", "status"),
    [
        ({"If-Match": "{tag}"}, 200),
        ({"If-Match": '"other", {tag}'}, 200),
        ({"If-Match": "*"}, 200),
        ({"If-Match": "W/{tag}"}, 412),
        ({"If-Match": '"other"'}, 412),
        ({"If-Match": ""}, 412),
        ({"If-None-Match": '"other"'}, 200),
        ({"If-None-Match": "{tag}"}, 412),
        ({"If-None-Match": "W/{tag}"}, 412),
        ({"If-None-Match": "*"}, 412),
    ],
)
@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
def test_acts_only_on_the_state_that_is_expected(
    client: FlaskClient, stored_lead: StoredLead, method: str, condition: dict[str, str], status: int
) -> None:
    stored = stored_lead()
    tag = client.get("/leads/1").headers["ETag"]
    changes = {"status": "qualified"} if method == "PATCH" else None

    headers = {name: value.format(tag=tag) for name, value in condition.items()}
    response = client.open("/leads/1", method=method, json=changes, headers=headers)

    if status == 412:
        assert response.status_code == 412
        assert response.mimetype == "application/problem+json"
        assert body(client.get("/leads/1")) == stored
    else:
        assert response.status_code == (200 if method == "PATCH" else 204)


def test_of_many_who_know_one_state_only_one_changes_it(app: Flask, stored_lead: StoredLead) -> None:
    stored_lead()
    tag = app.test_client().get("/leads/1").headers["ETag"]
    answers = []

    def change(number: int) -> None:
        response = app.test_client().patch("/leads/1", json={"company": f"{number}"}, headers={"If-Match": tag})
        answers.append((response.status_code, number))

    threads = [threading.Thread(target=change, args=[number]) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    (winner,) = [number for status, number in answers if status == 200]
    assert sorted(status for status, _ in answers) == [200] + [412] * 7
    assert body(app.test_client().get("/leads/1"))["company"] == f"{winner}"


def test_changes_to_different_fields_at_once_are_all_kept(app: Flask, stored_lead: StoredLead) -> None:
    stored_lead()

    def change(number: int) -> None:
        response = app.test_client().patch("/leads/1", json={"attributes": {f"{number}": MARKER}})
        assert response.status_code == 200

    threads = [threading.Thread(target=change, args=[number]) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    shown = body(app.test_client().get("/leads/1"))
    assert shown["attributes"].keys() == {f"{number}" for number in range(8)}
