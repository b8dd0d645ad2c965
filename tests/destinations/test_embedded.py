"""Deliveries inside the server."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import urllib3
from flask.testing import FlaskClient

from conftest import NewLead, Serve, StoredLead
from servers import ROOT, Server, free_port
from webhook_receiver import Behaviour, Receiver

HOOK = {"WEBHOOK_ALLOW_PRIVATE": "on"}
# Without a hook in the settings of the server.
COMMANDS = {
    "gthread": "gunicorn --bind 127.0.0.1:{port} --workers 2 --preload -k gthread --threads 2 wsgi:app",
    "waitress": "waitress --listen 127.0.0.1:{port} wsgi:app",
    "flask run": "flask run --port {port}",
}


@pytest.fixture
def serving(serve: Serve, database_url: str, receiver: Receiver) -> Server:
    """A service of two workers with one destination."""
    server = serve(DATABASE_URL=database_url, WEB_CONCURRENCY="2", **HOOK)
    assert server.post("/destinations", json={"kind": "webhook", "url": receiver.url}).status == 201
    return server


def test_each_worker_delivers_what_it_stores(serving: Server, receiver: Receiver, new_lead: NewLead) -> None:
    serving.with_each_worker(2, lambda: serving.post("/leads", json=new_lead()))

    receiver.until(2)

    assert sorted(each.id for each in receiver.received) == ["evt_1", "evt_2"]


def test_what_is_due_after_a_crash_is_delivered_at_the_next_start(
    serve: Serve, database_url: str, receiver: Receiver, new_lead: NewLead
) -> None:
    before = serve(DATABASE_URL=database_url, DELIVERY="external", **HOOK)
    before.post("/destinations", json={"kind": "webhook", "url": receiver.url})
    before.post("/leads", json=new_lead())
    before.kill()

    serve(DATABASE_URL=database_url, **HOOK)
    receiver.until(1)


def test_a_stop_hands_back_what_is_not_finished(serving: Server, receiver: Receiver, new_lead: NewLead) -> None:
    receiver.behave = lambda _: "hang" if len(receiver.received) < 1 else 204
    serving.post("/leads", json=new_lead())
    receiver.until(1)

    os.kill(serving.process.pid, signal.SIGHUP)
    # Its new workers need not wait for the end of a lease.
    receiver.until(2)

    assert [each.id for each in receiver.received] == ["evt_1", "evt_1"]


@pytest.mark.parametrize("process", COMMANDS.values(), ids=COMMANDS)
def test_other_servers_deliver_from_their_first_lead_on(
    process: str, receiver: Receiver, tmp_path: Path, new_lead: NewLead
) -> None:
    port = free_port()
    command = [sys.executable, "-m", *process.format(port=port).split()]
    environ = {"PATH": os.environ["PATH"], "DATABASE_URL": f"sqlite:///{tmp_path}/leads.db", **HOOK}
    server = subprocess.Popen(
        command, cwd=ROOT, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    starting = urllib3.Retry(100, backoff_factor=0.1, backoff_max=0.2)
    try:
        with urllib3.HTTPConnectionPool("127.0.0.1", port, timeout=30) as pool:
            pool.request("GET", "/health", retries=starting)
            pool.request("POST", "/destinations", json={"kind": "webhook", "url": receiver.url}, retries=False)
            pool.request("POST", "/leads", json=new_lead(), retries=False)
            receiver.until(1)
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait(timeout=30)


def test_an_app_that_serves_nobody_does_not_deliver(
    client: FlaskClient, hooked: Receiver, stored_lead: StoredLead
) -> None:
    stored_lead()
    stored_lead()

    assert client.application.extensions["dispatcher"] is None


def test_every_event_arrives_although_receivers_fail_and_workers_are_killed(
    tmp_path: Path, database_url: str, receiver: Receiver, new_lead: NewLead, serve: Serve
) -> None:
    behaviours: list[Behaviour] = ["hang", 500, "reset", 429, "drip", *[204] * 10]
    receiver.behave = lambda _: behaviours[len(receiver.received) % len(behaviours)]
    again = urllib3.Retry(20, allowed_methods=None, backoff_factor=0.05, backoff_max=0.2)
    impatient = str(Path(__file__).with_name("impatient.py"))
    server = Server({"DATABASE_URL": database_url, "WEB_CONCURRENCY": "2", **HOOK}, tmp_path, ["-c", impatient])
    try:
        server.post("/destinations", json={"kind": "webhook", "url": receiver.url})
        for number in range(60):
            headers = {"Idempotency-Key": f"lead-{number}"}
            stored = server.pool.request("POST", "/leads", json=new_lead(), headers=headers, retries=again)
            assert stored.status == 201
            if number % 20 == 10:
                # The newest one, after the successor of the one that was killed before has started.
                worker = server.until(r"Booting worker with pid: (\d+)", times=2 + number // 20)[-1]
                os.kill(int(worker), signal.SIGKILL)
        receiver.until(60, seconds=60, of=lambda: len({each.id for each in receiver.accepted()}))
        leads = {each.body["data"]["id"]: each.id for each in receiver.accepted()}
    finally:
        status = server.stop()

    assert len(leads) == len(set(leads.values())) == 60
    assert status == 0
