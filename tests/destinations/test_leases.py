"""Leases: a delivery is attempted by one dispatcher at a time, and by another one if that one dies."""

from datetime import UTC, datetime, timedelta

import pytest
from destinations.conftest import Dispatch, NewDestination, change_rows, deliveries
from flask import Flask
from flask.testing import FlaskClient

from conftest import StoredLead
from leadapi import storage
from leadapi.destinations import kinds, leases, outcomes
from leadapi.destinations.kinds import Outcome
from leadapi.destinations.leases import Claim
from leadapi.destinations.outcomes import Attempt
from webhook_receiver import Receiver


def test_the_deliveries_of_a_process_that_died_are_sent_when_their_lease_has_ended(
    client: FlaskClient,
    dispatch: Dispatch,
    hooked: Receiver,
    stored_lead: StoredLead,
) -> None:
    stored_lead()
    claim_all(client.application, datetime.now(UTC))
    end_leases(client.application)

    dispatcher = dispatch()
    hooked.until(1)
    dispatcher.stop()

    [delivery] = deliveries(client, 1)
    assert (delivery["state"], delivery["attempts"]) == ("delivered", 2)


def test_a_leased_delivery_is_left_alone(
    client: FlaskClient, dispatch: Dispatch, new_destination: NewDestination, stored_lead: StoredLead
) -> None:
    new_destination()
    stored_lead()
    [mine] = claim_all(client.application, datetime.now(UTC))

    assert claim_all(client.application, datetime.now(UTC)) == []
    [delivery] = deliveries(client, 1)
    assert (delivery["attempts"], mine.attempts) == (1, 1)


def test_an_outcome_that_comes_after_the_lease_has_ended_changes_nothing(
    client: FlaskClient, new_destination: NewDestination, stored_lead: StoredLead
) -> None:
    new_destination()
    stored_lead()
    [late] = claim_all(client.application, datetime.now(UTC))
    end_leases(client.application)
    [current] = claim_all(client.application, datetime.now(UTC))

    record(client.application, late, Outcome(error=kinds.STATUS, status=500, is_final=True))
    [during] = deliveries(client, 1)
    record(client.application, current, Outcome(status=200))
    [after] = deliveries(client, 1)

    assert (during["state"], during["status"]) == ("due", None)
    assert (after["state"], after["status"]) == ("delivered", 200)


def test_an_erasure_during_the_attempt_wins(
    client: FlaskClient, new_destination: NewDestination, stored_lead: StoredLead
) -> None:
    new_destination()
    stored_lead()
    [claim] = claim_all(client.application, datetime.now(UTC))

    client.delete("/leads/1")
    record(client.application, claim, Outcome(status=200, excerpt="Thank you"))

    [delivery] = deliveries(client, 1)
    assert (delivery["state"], delivery["excerpt"], delivery["next_attempt_at"]) == ("cancelled", None, None)


def test_nothing_is_sent_about_an_event_that_is_gone(
    client: FlaskClient,
    dispatch: Dispatch,
    hooked: Receiver,
    stored_lead: StoredLead,
) -> None:
    stored_lead()
    stored_lead()
    # As if the event had been deleted right after the claim.
    change_rows(client.application, "UPDATE deliveries SET event_id = 99 WHERE id = 1")

    dispatcher = dispatch()
    hooked.until(1)
    dispatcher.stop()

    assert [each.id for each in hooked.received] == ["evt_2"]
    assert [each["state"] for each in deliveries(client, 1)] == ["cancelled", "delivered"]


@pytest.mark.parametrize("change", ["DELETE FROM destinations", "UPDATE destinations SET enabled = false"])
def test_nothing_is_claimed_for_a_destination_that_is_gone_or_disabled(
    client: FlaskClient, new_destination: NewDestination, stored_lead: StoredLead, change: str
) -> None:
    new_destination()
    stored_lead()
    change_rows(client.application, change)

    assert claim_all(client.application, datetime.now(UTC)) == []


def claim_all(app: Flask, now: datetime) -> list[Claim]:
    """Claim what is due for the first destination, as a dispatcher does."""
    with app.app_context(), storage.write() as tx:
        return leases.claim(tx, 1, now, most=100)


def end_leases(app: Flask) -> None:
    """As if the time of all leases had passed."""
    change_rows(app, "UPDATE deliveries SET due_at = :time", time=datetime(2026, 2, 28, tzinfo=UTC))


def record(app: Flask, claim: Claim, outcome: Outcome) -> None:
    """Record the outcome of an attempt, as a dispatcher does."""
    with app.app_context(), storage.write() as tx:
        outcomes.record(tx, [Attempt(1, claim, outcome, 5, datetime.now(UTC))])


def test_a_success_ends_the_failing_even_if_a_failure_that_ended_later_is_recorded_with_it(
    client: FlaskClient, new_destination: NewDestination, stored_lead: StoredLead
) -> None:
    new_destination()
    stored_lead()
    stored_lead()
    now = datetime.now(UTC)
    change_rows(client.application, "UPDATE destinations SET failing_since = :time", time=now - timedelta(days=6))
    first, second = claim_all(client.application, now)

    with client.application.app_context(), storage.write() as tx:
        success = Attempt(1, first, Outcome(status=204), 5, now)
        failure = Attempt(1, second, Outcome(error=kinds.STATUS, status=500), 5, now + timedelta(seconds=1))
        disabled = outcomes.record(tx, [success, failure])

    assert disabled == {}
    assert (client.get("/destinations/1").json or {})["enabled"]


def test_the_next_attempt_is_not_a_part_of_a_second_too_early(
    client: FlaskClient, new_destination: NewDestination, stored_lead: StoredLead
) -> None:
    new_destination()
    stored_lead()
    ended_at = datetime.now(UTC).replace(microsecond=900_000)
    [claim] = claim_all(client.application, ended_at)
    busy = Outcome(error=kinds.STATUS, status=503, retry_after=10)
    with client.application.app_context(), storage.write() as tx:
        outcomes.record(tx, [Attempt(1, claim, busy, 5, ended_at)])

    assert claim_all(client.application, ended_at + timedelta(seconds=9.9)) == []
    assert len(claim_all(client.application, ended_at + timedelta(seconds=10))) == 1
