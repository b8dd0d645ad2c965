"""The quarantine: how long and how many items are kept, and what happens to the answers that show them."""

from datetime import datetime, timedelta
from typing import Any

import psycopg
import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import bindparam, text
from werkzeug.test import TestResponse

from conftest import Json, NewLead, body
from leadapi import storage
from leadapi.quarantine import service
from leadapi.storage import UTCDateTime, now

# Below all ids that there are, so older than all that comes.
MANY = """
    INSERT INTO quarantine (id, created_at, reason, email_key, lead)
    WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < :number)
    SELECT -n, :time, 'honeypot', 'a@example.com', '{}' FROM numbers
"""


def write(app: Flask, statement: str, time: datetime, **values: Any) -> None:
    with app.app_context(), storage.write() as tx:
        tx.execute(text(statement).bindparams(bindparam("time", type_=UTCDateTime)), {"time": time, **values})


def ids(app: Flask) -> list[int]:
    with app.app_context(), storage.read() as connection:
        return list(connection.scalars(text("SELECT id FROM quarantine ORDER BY id DESC")))


def records(app: Flask) -> int:
    with app.app_context(), storage.read() as connection:
        number: int = connection.execute(text("SELECT count(*) FROM idempotency_records")).scalar_one()
        return number


def trap(client: FlaskClient, lead: Json, key: str | None = None) -> TestResponse:
    headers = {"Idempotency-Key": key} if key else {}
    return client.post("/leads", json=lead | {"_gotcha": "x"}, headers=headers)


@pytest.mark.parametrize(("days", "kept"), [(29, True), (30, False)])
def test_it_is_kept_for_thirty_days(app: Flask, client: FlaskClient, new_lead: NewLead, days: int, kept: bool) -> None:
    trap(client, new_lead())
    # Some seconds less, so that the older one is still in its last day.
    write(app, "UPDATE quarantine SET created_at = :time", now() - timedelta(days=days, seconds=30 * (days - 29)))
    with app.app_context():
        listed = [caught.id for caught in service.list_caught(limit=9).items]

    trap(client, new_lead())

    assert listed == [1] * kept
    assert ids(app) == [2, 1] if kept else [2]


def test_expired_items_are_purged_in_small_parts(app: Flask, client: FlaskClient, new_lead: NewLead) -> None:
    write(app, MANY, now() - timedelta(days=31), number=service.MAX_PURGED + 5)

    trap(client, new_lead())
    assert len(ids(app)) == 5
    trap(client, new_lead())
    assert ids(app) == [2, 1]


# SQLite has one writer at a time.
@pytest.mark.parametrize("backend", ["postgresql"])
def test_purges_skip_rows_that_another_transaction_deletes(
    app: Flask, client: FlaskClient, database_url: str, new_lead: NewLead
) -> None:
    write(app, MANY, now() - timedelta(days=31), number=1)

    with psycopg.connect(database_url) as other:
        other.execute("DELETE FROM quarantine")
        trapped = trap(client, new_lead())
    left = ids(app)

    assert trapped.status_code == 201
    assert left == [1]


def test_of_a_flood_the_newest_are_kept(app: Flask, client: FlaskClient, new_lead: NewLead) -> None:
    write(app, MANY, now(), number=service.MAX_KEPT + 9)

    trap(client, new_lead())

    left = ids(app)
    assert (len(left), left[0], left[-1]) == (service.MAX_KEPT, 1, 1 - service.MAX_KEPT)


def test_a_flood_in_batches_is_no_larger(app: Flask, client: FlaskClient, new_lead: NewLead) -> None:
    write(app, MANY, now(), number=service.MAX_KEPT)

    client.post("/leads/batch", json={"items": [new_lead(_gotcha="x") for _ in range(300)]})

    left = ids(app)
    assert (len(left), left[0], left[-1]) == (service.MAX_KEPT, 300, 300 - service.MAX_KEPT)


def test_a_request_sent_again_gets_the_same_answer(app: Flask, client: FlaskClient, new_lead: NewLead) -> None:
    lead = new_lead()

    first, again, other = trap(client, lead, "k"), trap(client, lead, "k"), trap(client, lead, "l")
    honest = client.post("/leads", json=lead, headers={"Idempotency-Key": "k"})

    assert (first.status_code, again.status_code) == (201, 201)
    assert again.data == first.data
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.headers["Location"] == first.headers["Location"]
    assert body(other)["id"] == 2
    assert ids(app) == [2, 1]
    # Without the trap, it is another request.
    assert honest.status_code == 422


@pytest.mark.usefixtures("own_app")
def test_a_failed_capture_puts_nothing_into_the_quarantine(app: Flask, client: FlaskClient, new_lead: NewLead) -> None:
    with app.app_context(), storage.write() as tx:
        tx.execute(text("ALTER TABLE idempotency_records RENAME COLUMN body TO lost"))

    response = trap(client, new_lead(), "k")

    assert response.status_code == 503
    assert ids(app) == []


@pytest.mark.usefixtures("own_app")
def test_a_batch_is_stored_with_what_is_caught_in_it_or_not_at_all(
    app: Flask, client: FlaskClient, new_lead: NewLead
) -> None:
    with app.app_context(), storage.write() as tx:
        tx.execute(text("ALTER TABLE quarantine RENAME TO lost"))

    response = client.post("/leads/batch", json={"items": [new_lead(), new_lead(_gotcha="x")]})

    assert response.status_code == 503
    assert body(client.get("/leads"))["total"] == 0


def test_an_answer_goes_with_what_it_shows(app: Flask, client: FlaskClient, new_lead: NewLead) -> None:
    trap(client, new_lead(), "k1")
    write(app, "UPDATE quarantine SET created_at = :time", now() - timedelta(days=31))
    # Of two in one answer, either takes it along.
    items = [new_lead(_gotcha="x"), new_lead()]
    client.post("/leads/batch", json={"items": items}, headers={"Idempotency-Key": "k2"})

    assert records(app) == 1
    write(app, "UPDATE quarantine SET created_at = :time", now() - timedelta(days=31))
    trap(client, new_lead())
    assert records(app) == 0
