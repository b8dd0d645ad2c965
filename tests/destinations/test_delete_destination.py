"""DELETE of a destination, and what is the same for every operation."""

import pytest
from destinations.conftest import NewDestination, deliveries
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text

from conftest import Json, MakeApp, StoredLead, make_key
from leadapi import storage


def test_deleting_a_destination_deletes_its_deliveries(
    app: Flask, client: FlaskClient, new_destination: NewDestination, stored_lead: StoredLead
) -> None:
    new_destination()
    new_destination()
    stored_lead()
    client.post("/destinations/1/test")

    response = client.delete("/destinations/1")

    assert (response.status_code, response.data) == (204, b"")
    assert client.get("/destinations/1").status_code == 404
    assert client.get("/destinations/1/deliveries").status_code == 404
    assert client.post("/destinations/1/deliveries/1/replay").status_code == 404
    assert len(deliveries(client, 2)) == 1
    with app.app_context(), storage.read() as connection:
        assert connection.execute(text("SELECT destination_id FROM deliveries")).scalars().all() == [2]
        assert connection.execute(text("SELECT type FROM events")).scalars().all() == ["lead.created"]
    # The id is not used again, so nobody else gets what was due.
    assert new_destination()["id"] == 3


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", ""),
        ("PATCH", ""),
        ("DELETE", ""),
        ("POST", "/rotate"),
        ("POST", "/test"),
        ("GET", "/deliveries"),
        ("POST", "/deliveries/1/replay"),
        ("POST", "/replay"),
    ],
)
def test_a_destination_that_is_not_there_is_not_found(client: FlaskClient, method: str, path: str) -> None:
    sent = {"PATCH": {}, "POST": {"since": "2026-02-28T10:00:00Z"}}.get(method) if path in ("", "/replay") else None

    response = client.open(f"/destinations/7{path}", method=method, json=sent)

    assert response.status_code == 404
    assert response.json == {"detail": "There is no destination with this id."}


def test_every_operation_needs_the_scope_admin(shared_app: MakeApp, document: Json) -> None:
    app = shared_app(AUTH="on", THREADS="4")
    client = app.test_client()
    keys = {"others": make_key(app, "capture", "read", "write"), "admin": make_key(app, "admin")}
    paths = {path: operations for path, operations in document["paths"].items() if path.startswith("/destinations")}
    assert len(paths) == 7

    for path, operations in paths.items():
        concrete = path.replace("{destination_id}", "7").replace("{delivery_id}", "7")
        for method in set(operations) - {"parameters"}:
            statuses = [
                client.open(concrete, method=method, headers=headers).status_code
                for headers in ({}, {"X-API-Key": keys["others"]}, {"X-API-Key": keys["admin"]})
            ]
            assert statuses[:2] == [401, 403]
            assert statuses[2] in (200, 404, 415)
