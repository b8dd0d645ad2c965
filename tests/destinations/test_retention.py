"""Retention: old deliveries are deleted in small transactions, and never one that is due."""

from datetime import timedelta

import pytest
from destinations.conftest import Dispatch, NewDestination, change_rows, deliveries
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text

from conftest import NewLead, StoredLead
from leadapi import storage
from leadapi.destinations import dispatcher, retention
from webhook_receiver import Receiver

NOW = storage.now()
OLD = NOW - timedelta(days=31)
RECENT = NOW - timedelta(days=29)


def purge(app: Flask) -> list[int]:
    """Run the retention to its end; return how many deliveries each transaction has deleted."""
    with app.app_context():
        return list(retention.purge(NOW))


def count(app: Flask, table: str) -> int:
    with app.app_context(), storage.read() as connection:
        number: int = connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one()
        return number


@pytest.mark.parametrize("state", ["delivered", "failed", "cancelled"])
def test_what_has_ended_is_deleted_after_30_days(
    app: Flask, client: FlaskClient, new_destination: NewDestination, stored_lead: StoredLead, state: str
) -> None:
    new_destination()
    for number, time in enumerate((OLD, RECENT), start=1):
        stored_lead()
        values = {"state": state, "time": time, "id": number}
        change_rows(app, "UPDATE deliveries SET state = :state, last_attempt_at = :time WHERE id = :id", **values)

    purge(app)

    assert [each["id"] for each in deliveries(client, 1)] == [2]
    # The history of the leads stays.
    assert count(app, "events") == 2


def test_what_was_cancelled_before_its_first_attempt_is_deleted_as_well(
    app: Flask, client: FlaskClient, new_destination: NewDestination, stored_lead: StoredLead
) -> None:
    new_destination()
    for number, time in enumerate((OLD, RECENT), start=1):
        stored_lead()
        change_rows(app, "UPDATE deliveries SET due_at = :time WHERE id = :id", time=time, id=number)
        client.delete(f"/leads/{number}")

    purge(app)

    assert [(each["id"], each["state"]) for each in deliveries(client, 1)] == [(2, "cancelled")]


def test_what_is_due_is_kept_however_old_it_is(
    app: Flask, client: FlaskClient, new_destination: NewDestination, stored_lead: StoredLead
) -> None:
    new_destination()
    stored_lead()
    change_rows(app, "UPDATE deliveries SET due_at = :time, last_attempt_at = :time", time=OLD)

    purge(app)

    assert [each["state"] for each in deliveries(client, 1)] == ["due"]


def test_the_deliveries_of_a_deleted_destination_are_deleted(
    app: Flask, client: FlaskClient, new_destination: NewDestination, stored_lead: StoredLead
) -> None:
    new_destination()
    new_destination()
    stored_lead()
    client.delete("/destinations/1")

    purge(app)

    assert count(app, "deliveries") == len(deliveries(client, 2)) == 1


def test_the_event_of_an_old_test_is_deleted_with_its_delivery(
    app: Flask, client: FlaskClient, new_destination: NewDestination
) -> None:
    new_destination()
    client.post("/destinations/1/test")
    client.post("/destinations/1/test")
    change_rows(app, "UPDATE deliveries SET state = 'delivered', last_attempt_at = :time WHERE id = 1", time=OLD)

    purge(app)

    assert (count(app, "deliveries"), count(app, "events")) == (1, 1)


def test_each_transaction_is_small(
    client: FlaskClient, new_destination: NewDestination, new_lead: NewLead, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "DELETED_AT_ONCE", 20)
    new_destination()
    client.post("/leads/batch", json={"items": [new_lead() for _ in range(50)]})
    change_rows(client.application, "UPDATE deliveries SET state = 'failed', last_attempt_at = :time", time=OLD)

    # The last one is the search for what was cancelled.
    assert purge(client.application) == [0, 20, 20, 10, 0]


@pytest.mark.parametrize(
    ("last_attempt", "next_attempt", "is_corrected"),
    [
        (timedelta(0), timedelta(hours=24), False),
        (timedelta(0), timedelta(days=400), True),
        (timedelta(seconds=30), timedelta(hours=2), False),
        (timedelta(hours=1), timedelta(hours=2), True),
        (None, timedelta(seconds=30), False),
        (None, timedelta(hours=1), True),
    ],
)
def test_times_that_only_a_wrong_clock_can_have_set_are_corrected(
    client: FlaskClient,
    new_destination: NewDestination,
    stored_lead: StoredLead,
    *,
    last_attempt: timedelta | None,
    next_attempt: timedelta,
    is_corrected: bool,
) -> None:
    new_destination()
    stored_lead()
    times = {"due": NOW + next_attempt, "last": None if last_attempt is None else NOW + last_attempt}
    change_rows(client.application, "UPDATE deliveries SET due_at = :due, last_attempt_at = :last", **times)

    purge(client.application)

    [delivery] = deliveries(client, 1)
    expected = NOW if is_corrected else NOW + next_attempt
    assert delivery["next_attempt_at"] == f"{expected:%Y-%m-%dT%H:%M:%SZ}"


def test_a_dispatcher_deletes_what_is_old(
    client: FlaskClient,
    dispatch: Dispatch,
    hooked: Receiver,
    stored_lead: StoredLead,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(dispatcher, "FIRST_RETENTION_SECONDS", 0)
    monkeypatch.setattr(dispatcher, "STEP_SECONDS", 0)
    stored_lead()
    change_rows(client.application, "UPDATE deliveries SET state = 'failed', last_attempt_at = :time", time=OLD)
    running = dispatch()

    # Each delivery needs a pass of its own, and each pass makes a step of the retention.
    for number in range(1, 6):
        stored_lead()
        hooked.until(number)
    running.stop()

    assert [each["id"] for each in deliveries(client, 1)] == [2, 3, 4, 5, 6]
