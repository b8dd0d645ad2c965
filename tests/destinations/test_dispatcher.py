"""Dispatchers: every event arrives, and one receiver does not hold up others."""

import statistics
from datetime import UTC, datetime, timedelta, tzinfo

import pytest
from destinations.conftest import Dispatch, NewDestination, change_rows, deliveries
from flask.testing import FlaskClient

import webhook_receiver
from conftest import NewLead, StoredLead
from leadapi import storage
from leadapi.destinations import dispatcher as dispatching
from leadapi.destinations import outcomes
from leadapi.storage import transactions
from webhook_receiver import Receiver


def test_an_event_is_delivered_once_and_the_answer_is_kept(
    client: FlaskClient,
    dispatch: Dispatch,
    hooked: Receiver,
    stored_lead: StoredLead,
) -> None:
    dispatcher = dispatch()

    lead = stored_lead()
    hooked.until(1)
    dispatcher.stop()

    [(_, event, payload, _)] = hooked.received
    assert (event, payload) == (
        "evt_1",
        {"type": "lead.created", "timestamp": lead["created_at"], "data": lead},
    )
    [delivery] = deliveries(client, 1)
    assert (delivery["state"], delivery["attempts"], delivery["status"]) == ("delivered", 1, 204)
    assert (delivery["error"], delivery["next_attempt_at"]) == (None, None)
    assert delivery["duration_ms"] is not None


def test_each_type_of_event_has_its_payload(
    client: FlaskClient, dispatch: Dispatch, hooked: Receiver, stored_lead: StoredLead
) -> None:
    client.patch("/destinations/1", json={"events": ["lead.*"]})
    lead = stored_lead()
    repeat = {"full_name": lead["full_name"], "email": lead["email"], "company": "Other"}
    client.post("/leads", json=repeat, headers={"Prefer": "resolution=merge-duplicates"})
    client.patch("/leads/1", json={"status": "contacted"})
    client.post("/destinations/1/test")

    dispatcher = dispatch()
    hooked.until(4)
    client.delete("/leads/1")
    hooked.until(5)
    dispatcher.stop()

    sent = {each.body["type"]: each.body["data"] for each in hooked.received}
    # Each shows the lead as it was at the event.
    assert (sent["lead.created"]["company"], sent["lead.created"]["status"]) == (lead["company"], "new")
    assert (sent["lead.repeated"]["company"], sent["lead.repeated"]["status"]) == ("Other", "new")
    assert (sent["lead.updated"]["company"], sent["lead.updated"]["status"]) == ("Other", "contacted")
    assert sent["lead.test"]["email"] == "john@example.com"
    assert sent["lead.erased"] == {"id": 1}


def test_a_failure_is_tried_again_after_five_seconds(
    client: FlaskClient,
    dispatch: Dispatch,
    hooked: Receiver,
    stored_lead: StoredLead,
) -> None:
    hooked.behave = lambda _: 500
    dispatcher = dispatch()

    stored_lead()
    hooked.until(1)
    dispatcher.stop()

    [delivery] = deliveries(client, 1)
    assert (delivery["state"], delivery["attempts"]) == ("due", 1)
    assert (delivery["status"], delivery["error"]) == (500, "status")
    pause = datetime.fromisoformat(delivery["next_attempt_at"]) - datetime.fromisoformat(delivery["last_attempt_at"])
    # Plus the time of the attempt, and a second because times are truncated.
    assert timedelta(seconds=3) <= pause <= timedelta(seconds=8)


def test_a_delivery_has_failed_after_its_last_attempt_and_can_be_replayed(
    client: FlaskClient,
    dispatch: Dispatch,
    hooked: Receiver,
    stored_lead: StoredLead,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(outcomes, "RETRY_SECONDS", (0.0,) * 7)
    hooked.behave = lambda _: 500 if len(hooked.received) < 8 else 200
    dispatcher = dispatch()

    stored_lead()
    hooked.until(8)
    dispatcher.stop()
    [failed] = deliveries(client, 1)
    client.post("/destinations/1/deliveries/1/replay")
    dispatch()
    hooked.until(9)

    assert (failed["state"], failed["attempts"], failed["next_attempt_at"]) == ("failed", 8, None)
    assert len({each.id for each in hooked.received}) == 1


def test_gone_fails_the_delivery_and_disables_the_destination(
    client: FlaskClient,
    dispatch: Dispatch,
    hooked: Receiver,
    stored_lead: StoredLead,
) -> None:
    hooked.behave = lambda _: 410
    dispatcher = dispatch()

    stored_lead()
    hooked.until(1)
    dispatcher.stop()
    stored_lead()

    destination = client.get("/destinations/1").json or {}
    assert (destination["enabled"], destination["disabled_reason"]) == (False, "gone")
    assert [each["state"] for each in deliveries(client, 1)] == ["failed"]


@pytest.mark.parametrize("days", [4, 6])
def test_a_destination_that_fails_for_five_days_is_disabled(
    client: FlaskClient,
    dispatch: Dispatch,
    hooked: Receiver,
    stored_lead: StoredLead,
    days: int,
) -> None:
    hooked.behave = lambda _: 500
    change_rows(
        client.application,
        "UPDATE destinations SET failing_since = :time",
        time=datetime.now(UTC) - timedelta(days=days),
    )
    dispatcher = dispatch()

    stored_lead()
    hooked.until(1)
    dispatcher.stop()

    is_enabled = days < 5
    destination = client.get("/destinations/1").json or {}
    assert (destination["enabled"], destination["disabled_reason"]) == (is_enabled, None if is_enabled else "failing")
    # It is sent when the destination is enabled again.
    assert [each["state"] for each in deliveries(client, 1)] == ["due"]


def test_a_destination_that_the_last_outcome_before_a_stop_disables_is_logged(
    client: FlaskClient,
    dispatch: Dispatch,
    hooked: Receiver,
    stored_lead: StoredLead,
    caplog: pytest.LogCaptureFixture,
) -> None:
    hooked.behave = lambda _: 410
    stored_lead()
    # After its first pass, the dispatcher does nothing until it is stopped.
    dispatcher = dispatch(pass_seconds=60)
    hooked.until(1)

    dispatcher.stop()

    assert (client.get("/destinations/1").json or {})["disabled_reason"] == "gone"
    assert "destination.disabled" in caplog.messages


def test_a_success_ends_the_failing(
    client: FlaskClient, dispatch: Dispatch, hooked: Receiver, stored_lead: StoredLead
) -> None:
    change_rows(
        client.application, "UPDATE destinations SET failing_since = :time", time=datetime.now(UTC) - timedelta(days=9)
    )
    dispatcher = dispatch()

    stored_lead()
    hooked.until(1)
    dispatcher.stop()

    with client.application.app_context(), storage.read() as connection:
        assert connection.exec_driver_sql("SELECT failing_since FROM destinations").scalar_one() is None


def test_three_dispatchers_deliver_each_event_once(
    client: FlaskClient, dispatch: Dispatch, hooked: Receiver, new_lead: NewLead
) -> None:
    client.post("/leads/batch", json={"items": [new_lead() for _ in range(200)]})

    running = [dispatch() for _ in range(3)]
    hooked.until(200)
    for dispatcher in running:
        dispatcher.stop()

    assert len({each.id for each in hooked.received}) == len(hooked.received) == 200
    assert {each["state"] for each in deliveries(client, 1, "limit=100")} == {"delivered"}


def test_a_dispatcher_that_stops_hands_back_what_it_has_not_finished(
    client: FlaskClient,
    dispatch: Dispatch,
    hooked: Receiver,
    stored_lead: StoredLead,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(dispatching, "STOP_SECONDS", 0.1)
    hooked.behave = lambda _: webhook_receiver.HANG if len(hooked.received) < 1 else 204
    dispatcher = dispatch()
    stored_lead()
    hooked.until(1)

    dispatcher.stop()
    [handed_back] = deliveries(client, 1)
    dispatch()
    hooked.until(2)

    assert handed_back["state"] == "due"
    assert datetime.fromisoformat(handed_back["next_attempt_at"]) <= datetime.now(UTC)


def test_a_receiver_that_hangs_does_not_hold_up_others(
    client: FlaskClient,
    dispatch: Dispatch,
    new_destination: NewDestination,
    receiver: Receiver,
    new_lead: NewLead,
) -> None:
    hanging = Receiver(lambda _: webhook_receiver.HANG)
    new_destination(url=hanging.url)
    for _ in range(2):
        client.post("/leads/batch", json={"items": [new_lead() for _ in range(200)]})
    new_destination(url=receiver.url)
    dispatcher = dispatch()
    hanging.until(4)

    stored = datetime.now(UTC).timestamp()
    client.post("/leads/batch", json={"items": [new_lead() for _ in range(50)]})
    receiver.until(50)
    hanging.close()
    dispatcher.stop()

    assert statistics.median(each.time - stored for each in receiver.received) < 1


def test_a_sender_that_breaks_is_a_failed_attempt_and_its_slot_is_free_again(
    client: FlaskClient,
    dispatch: Dispatch,
    new_destination: NewDestination,
    receiver: Receiver,
    stored_lead: StoredLead,
) -> None:
    broken, healthy = new_destination()["id"], new_destination(url=receiver.url)["id"]
    # No sender expects this URL.
    change_rows(client.application, "UPDATE destinations SET url = 'nothing' WHERE id = :id", id=broken)
    dispatcher = dispatch(slots=1)

    stored_lead()
    receiver.until(1)
    dispatcher.stop()

    assert [(each["state"], each["error"]) for each in deliveries(client, broken)] == [("due", "connection")]
    assert [(each["state"], each["error"]) for each in deliveries(client, healthy)] == [("delivered", None)]


def test_a_lease_ends_even_if_the_clock_is_set_back(
    client: FlaskClient,
    dispatch: Dispatch,
    hooked: Receiver,
    stored_lead: StoredLead,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Clock:
        """A clock that can be set back."""

        back = timedelta(0)

        @classmethod
        def now(cls, zone: tzinfo) -> datetime:
            return datetime.now(zone) - cls.back

    monkeypatch.setattr(dispatching, "FIRST_RETENTION_SECONDS", 3600)
    for module in (dispatching, transactions):
        monkeypatch.setattr(module, "datetime", Clock)
    dispatcher = dispatch()
    stored_lead()
    hooked.until(1)

    # A process that claimed it again has died since.
    times = {"claimed": storage.now(), "until": storage.now() + timedelta(seconds=45)}
    lease = "state = 'due', lease = 'token', last_attempt_at = :claimed, due_at = :until"
    change_rows(client.application, f"UPDATE deliveries SET {lease}", **times)
    Clock.back = timedelta(hours=1)
    hooked.until(2)
    dispatcher.stop()
