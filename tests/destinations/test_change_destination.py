"""PATCH of a destination."""

import pytest
from destinations.conftest import FIELDS, URL, NewDestination, change_rows, deliveries
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text

from conftest import Json, StoredLead, body
from leadapi import storage


@pytest.mark.parametrize("content_type", ["application/json", "application/merge-patch+json"])
def test_a_change_changes_what_it_names(
    client: FlaskClient, new_destination: NewDestination, content_type: str
) -> None:
    created = new_destination(sources=["a"], description="old", headers={"A": "b"})
    del created["secret"]
    changes = {"url": f"{URL}/2", "events": ["lead.*"], "enabled": False}

    response = client.patch("/destinations/1", json=changes, content_type=content_type)

    assert response.status_code == 200
    assert body(response) == {**created, **changes}
    assert list(body(response)) == FIELDS
    assert client.get("/destinations/1").json == body(response)


def test_null_clears_a_field(client: FlaskClient, new_destination: NewDestination) -> None:
    new_destination(sources=["a"], description="old", headers={"A": "b", "C": "d"})

    changed = body(client.patch("/destinations/1", json={"sources": None, "description": None, "headers": None}))

    assert (changed["sources"], changed["description"], changed["headers"]) == (None, None, [])


def test_headers_are_merged_by_name_in_any_letter_case(
    app: Flask, client: FlaskClient, new_destination: NewDestination
) -> None:
    new_destination(headers={"Authorization": "old", "X-Gone": "b", "X-Kept": "c"})

    changes = {"headers": {"authorization": "new", "x-gone": None, "x-never": None, "X-New": "d"}}
    changed = body(client.patch("/destinations/1", json=changes))

    assert changed["headers"] == ["X-Kept", "authorization", "X-New"]
    with app.app_context(), storage.read() as connection:
        stored = connection.execute(text("SELECT headers FROM destinations")).scalar_one()
    assert stored == '{"X-Kept":"c","authorization":"new","X-New":"d"}'


def test_a_webhook_never_has_more_headers_than_allowed(client: FlaskClient, new_destination: NewDestination) -> None:
    new_destination(headers={f"X-{number}": "a" for number in range(9)})

    refused = client.patch("/destinations/1", json={"headers": {"X-9": "a", "X-10": "a"}})
    accepted = client.patch("/destinations/1", json={"headers": {"X-9": "a", "X-10": "a", "X-0": None}})

    assert (refused.status_code, list(body(refused)["errors"])) == (422, ["headers"])
    assert (accepted.status_code, len(body(accepted)["headers"])) == (200, 10)


def test_a_change_of_nothing_changes_nothing(client: FlaskClient, new_destination: NewDestination) -> None:
    created = new_destination()
    del created["secret"]

    assert client.patch("/destinations/1", json={}).json == created


@pytest.mark.one_database
@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"kind": "webhook"}, "kind"),
        ({"created_at": "2026-02-28T10:00:00Z"}, "created_at"),
        ({"secret": "whsec_"}, "secret"),
        ({"url": None}, "url"),
        ({"url": "mailto:sales@example.com"}, "url"),
        ({"events": None}, "events"),
        ({"events": []}, "events"),
        ({"enabled": None}, "enabled"),
        ({"headers": {"Host": None}}, "headers.Host"),
        ({"headers": {"A": "\n"}}, "headers.A"),
    ],
)
def test_a_change_that_is_not_valid_changes_nothing(
    client: FlaskClient, new_destination: NewDestination, changes: Json, field: str
) -> None:
    created = new_destination()
    del created["secret"]

    response = client.patch("/destinations/1", json={"description": "new", **changes})

    assert response.status_code == 422
    assert list(body(response)["errors"]) == [field]
    assert client.get("/destinations/1").json == created


def test_only_a_webhook_can_be_given_headers(client: FlaskClient, new_destination: NewDestination) -> None:
    new_destination(kind="email", url="mailto:sales@example.com")

    assert client.patch("/destinations/1", json={"headers": {"A": "b"}}).status_code == 422
    assert client.patch("/destinations/1", json={"headers": None, "description": "new"}).status_code == 200


def test_enabling_gives_a_destination_a_new_start(
    app: Flask, client: FlaskClient, new_destination: NewDestination
) -> None:
    new_destination()
    failing = "enabled = false, disabled_reason = 'gone', failing_since = created_at"
    change_rows(app, f"UPDATE destinations SET {failing}")

    kept = body(client.patch("/destinations/1", json={"description": "new"}))
    enabled = body(client.patch("/destinations/1", json={"enabled": True}))

    assert (kept["enabled"], kept["disabled_reason"]) == (False, "gone")
    assert (enabled["enabled"], enabled["disabled_reason"]) == (True, None)
    with app.app_context(), storage.read() as connection:
        assert connection.execute(text("SELECT failing_since FROM destinations")).scalar_one() is None


def test_a_disabled_destination_gets_no_new_deliveries(
    client: FlaskClient, new_destination: NewDestination, stored_lead: StoredLead
) -> None:
    new_destination()
    stored_lead()
    client.patch("/destinations/1", json={"enabled": False})
    stored_lead()
    client.patch("/destinations/1", json={"enabled": True})
    stored_lead()

    assert [(each["lead_id"], each["state"]) for each in deliveries(client, 1)] == [(1, "due"), (3, "due")]
