"""flask deliver: deliveries in processes of their own."""

import fcntl
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import datetime
from pathlib import Path

import pytest
from destinations.deliverer import Deliverer
from sqlalchemy import make_url

import webhook_receiver
from conftest import MakeApp, NewLead, Serve
from postgres import Postgres
from servers import Server
from webhook_receiver import Behaviour, Receiver

Deliver = Callable[..., Deliverer]
HOOK = {"WEBHOOK_ALLOW_PRIVATE": "on"}


@pytest.fixture
def deliver(tmp_path: Path, database_url: str) -> Iterator[Deliver]:
    """Start `flask deliver`, and stop it at the end of the test."""
    running: list[Deliverer] = []

    def start(*arguments: str) -> Deliverer:
        running.append(Deliverer({"DATABASE_URL": database_url, **HOOK}, tmp_path, *arguments))
        running[-1].until("Delivering")
        return running[-1]

    yield start
    for each in running:
        each.stop()


@pytest.fixture
def external(serve: Serve, database_url: str, receiver: Receiver) -> Server:
    """A service that leaves the deliveries to other processes, with one destination."""
    server = serve(DATABASE_URL=database_url, DELIVERY="external", **HOOK)
    add_destination(server, receiver)
    return server


def add_destination(server: Server, receiver: Receiver) -> None:
    response = server.post("/destinations", json={"kind": "webhook", "url": receiver.url})
    assert response.status == 201


def test_another_process_delivers_what_the_service_has_stored(
    external: Server, deliver: Deliver, receiver: Receiver, new_lead: NewLead
) -> None:
    before = external.post("/leads", json=new_lead())
    process = deliver("--concurrency", "4")
    receiver.until(1)

    external.post("/leads", json=new_lead())
    receiver.until(2)
    status = process.stop()

    assert receiver.received[0].body["data"] == before.json()
    assert status == 0
    items = external.get("/destinations/1/deliveries").json()["items"]
    assert [each["state"] for each in items] == ["delivered", "delivered"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("backend", ["sqlite"])
def test_a_signal_ends_it_in_order_and_another_process_takes_over(
    external: Server, deliver: Deliver, receiver: Receiver, new_lead: NewLead, number: int
) -> None:
    receiver.behave = lambda _: webhook_receiver.HANG if len(receiver.received) < 1 else 204
    first = deliver()
    external.post("/leads", json=new_lead())
    receiver.until(1)

    status = first.stop(number)
    [handed_back] = external.get("/destinations/1/deliveries").json()["items"]
    deliver()
    receiver.until(2)

    assert status == {signal.SIGTERM: 0, signal.SIGINT: 130}[signal.Signals(number)]
    # The lease has not ended by itself.
    attempt, again = (datetime.fromisoformat(handed_back[name]) for name in ("last_attempt_at", "next_attempt_at"))
    assert (again - attempt).total_seconds() < 10


def test_an_outage_of_postgresql_is_logged_once_and_needs_no_restart(
    serve: Serve, tmp_path: Path, new_lead: NewLead
) -> None:
    postgres = Postgres()
    environ = {"DATABASE_URL": postgres.new_database(), "AUTO_MIGRATE": "on", **HOOK}
    with closing(Receiver()) as receiver:
        server = serve(DELIVERY="external", **environ)
        add_destination(server, receiver)
        process = Deliverer(environ, tmp_path)
        process.until("Delivering")

        postgres.stop()
        process.until("deliveries.paused")
        # It tries again every second.
        assert not receiver.is_closing.wait(3)
        postgres.start()
        process.until("deliveries.resumed")
        stored = server.post("/leads", json=new_lead())
        receiver.until(1)
        status = process.stop()
        server.kill()
    postgres.remove()

    assert (stored.status, status) == (201, 0)
    events = [line for line in process.lines if '"level":"warning"' in line]
    assert len([line for line in events if "deliveries.paused" in line]) == 1


@pytest.mark.parametrize("backend", ["sqlite"])
def test_deliveries_go_on_after_another_program_has_held_the_write_lock(
    external: Server, deliver: Deliver, receiver: Receiver, database_url: str, new_lead: NewLead
) -> None:
    asked, locked = threading.Event(), threading.Event()

    def answer_once_locked(_event: str) -> Behaviour:
        asked.set()
        locked.wait(30)
        return 204

    receiver.behave = answer_once_locked
    process = deliver()
    external.post("/leads", json=new_lead())
    assert asked.wait(30)

    with Path(f"{make_url(database_url).database}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        # Now it gets an outcome that it cannot record.
        locked.set()
        process.until("deliveries.paused")
    process.until("deliveries.resumed")
    external.post("/leads", json=new_lead())
    receiver.until(2)

    assert {each.id for each in receiver.received} == {"evt_1", "evt_2"}


def test_a_database_without_the_schema_is_told_in_a_sentence(make_app: MakeApp, empty_database_url: str) -> None:
    app = make_app(DATABASE_URL=empty_database_url, AUTO_MIGRATE="off")

    refused = app.test_cli_runner().invoke(args=["deliver"])

    assert refused.exit_code == 1
    assert "flask db upgrade" in refused.output
