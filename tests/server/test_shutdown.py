"""Stopping and reloading: SIGTERM, SIGHUP, and workers that have served enough."""

import fcntl
import os
import re
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from http.client import HTTPConnection, HTTPException
from pathlib import Path

import orjson
import psycopg
import pytest

from conftest import NewLead, Serve
from servers import Server, answer

SENDERS = 12
JSON = {"Content-Type": "application/json"}


@contextmanager
def writers_held_up(url: str) -> Iterator[None]:
    """Let every writer wait."""
    if url.startswith("sqlite"):
        with Path(url.removeprefix("sqlite:///") + ".lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
    else:
        with psycopg.connect(url) as connection:
            connection.execute("LOCK TABLE leads")
            yield


def test_a_request_in_flight_is_finished_first(serve: Serve, database_url: str, new_lead: NewLead) -> None:
    server = serve(DATABASE_URL=database_url, WEB_CONCURRENCY="2")
    server.with_each_worker(2, lambda: server.get("/health"))
    body = orjson.dumps(new_lead())
    head = (
        "POST /leads HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\nExpect: 100-continue\r\n\r\n"
    )

    with server.connect() as connection:
        with writers_held_up(database_url):
            connection.sendall(head.encode())
            interim = connection.recv(100)
            connection.sendall(body)
            server.process.terminate()
            # The other worker has nothing to do.
            server.until("Worker exiting")
        response = answer(connection)
        lead = orjson.loads(response.read())
    status = server.stop()

    # It was in the hands of a worker before the signal.
    assert interim == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert response.status == 201
    assert status == 0
    assert serve(DATABASE_URL=database_url).get("/leads").json() == {"total": 1, "items": [lead]}


def test_a_server_without_work_ends_in_order(serve: Serve) -> None:
    server = serve(WEB_CONCURRENCY="2")
    server.with_each_worker(2, lambda: server.get("/ready"))

    status = server.stop()

    assert status == 0
    assert server.log()[-1]["event"] == "Shutting down: Master"
    assert {line["level"] for line in server.log()} == {"info"}


class Load:
    """Clients that send one lead after the other on connections that they keep."""

    def __init__(self, server: Server, new_lead: NewLead) -> None:
        self.server, self.new_lead = server, new_lead
        self.is_done = threading.Event()
        # The ids that were answered, and the requests that were sent and not answered.
        self.acknowledged: list[int] = []
        self.unanswered: list[str] = []
        # The same, of connections that were reset before their first answer.
        self.reset: list[str] = []
        self.refused: list[int] = []

    def send(self) -> None:
        """Send until told to stop, or until nothing listens any more."""
        while not self.is_done.is_set():
            connection = HTTPConnection("127.0.0.1", self.server.port, timeout=30)
            try:
                connection.connect()
            except ConnectionError:
                return
            is_new = True
            while connection.sock and not self.is_done.is_set():
                self._send_one(connection, is_new=is_new)
                is_new = False
            connection.close()

    def _send_one(self, connection: HTTPConnection, *, is_new: bool) -> None:
        lead = self.new_lead()
        try:
            connection.request("POST", "/leads", orjson.dumps(lead), JSON)
            response = connection.getresponse()
            stored = orjson.loads(response.read())
        except (ConnectionError, HTTPException) as exc:
            # A subclass tells that the connection was closed in order, so a worker had it.
            is_reset = is_new and type(exc) in (ConnectionResetError, BrokenPipeError)
            (self.reset if is_reset else self.unanswered).append(repr(exc))
            connection.close()
            return
        if response.status == 201:
            self.acknowledged.append(stored["id"])
        else:
            self.refused.append(response.status)

    def until(self, number: int) -> None:
        """Wait until so many more leads are acknowledged."""
        enough, deadline = len(self.acknowledged) + number, time.monotonic() + 30
        while len(self.acknowledged) < enough and time.monotonic() < deadline:
            self.is_done.wait(0.01)
        assert len(self.acknowledged) >= enough


@contextmanager
def under_load(server: Server, new_lead: NewLead) -> Iterator[Load]:
    """Let clients send meanwhile."""
    load = Load(server, new_lead)
    with ThreadPoolExecutor(SENDERS) as threads:
        sending = [threads.submit(load.send) for _ in range(SENDERS)]
        try:
            yield load
        finally:
            load.is_done.set()
    for each in sending:
        each.result()


def ids(server: Server) -> set[int]:
    """The ids of all leads."""
    return {orjson.loads(line)["id"] for line in server.get("/leads/export?format=ndjson").data.splitlines()}


def test_a_stop_under_load_answers_every_request_it_has_taken(
    serve: Serve, database_url: str, new_lead: NewLead
) -> None:
    server = serve(DATABASE_URL=database_url)

    with under_load(server, new_lead) as load:
        load.until(100)
        status = server.stop()

    # The kernel resets a connection that waits for a worker when the last one closes the socket.
    assert status == 0
    assert (load.unanswered, load.refused) == ([], [])
    assert ids(serve(DATABASE_URL=database_url)) == set(load.acknowledged)


def test_a_reload_under_load_answers_every_request(serve: Serve, database_url: str, new_lead: NewLead) -> None:
    server = serve(DATABASE_URL=database_url)

    with under_load(server, new_lead) as load:
        for reloads in range(1, 3):
            load.until(50)
            server.process.send_signal(signal.SIGHUP)
            server.until("Worker exiting", times=2 * reloads)
        load.until(50)

    assert (load.unanswered, load.reset, load.refused) == ([], [], [])
    assert ids(server) == set(load.acknowledged)


@pytest.mark.parametrize("backend", ["sqlite"])
def test_a_worker_that_has_served_enough_is_replaced_without_losing_a_request(
    serve_hastily: Serve, database_url: str, new_lead: NewLead
) -> None:
    server = serve_hastily("--max-requests", "40", DATABASE_URL=database_url)

    with under_load(server, new_lead) as load:
        server.until("Worker exiting", times=4)
        load.until(50)
    stored = ids(server)
    # SIGQUIT, by which the fixture would stop it, interrupts a worker that is exiting while it saves the coverage.
    server.stop()

    assert (load.unanswered, load.reset, load.refused) == ([], [], [])
    assert stored == set(load.acknowledged)


def pending_signals(pid: str) -> set[int]:
    """The signals that a suspended process has yet to handle."""
    (bits,) = re.findall(r"ShdPnd:\s*(\w+)", Path(f"/proc/{pid}/status").read_text())
    return {number for number in range(1, 65) if int(bits, 16) >> (number - 1) & 1}


def is_stopped(pid: str) -> bool:
    """Whether all threads of a process are suspended."""
    statuses = [(thread / "status").read_text() for thread in Path(f"/proc/{pid}/task").iterdir()]
    return all("State:\tT" in status for status in statuses)


def test_clients_that_wait_for_a_connection_are_answered_before_a_stop(serve: Serve) -> None:
    server = serve(WEB_CONCURRENCY="1")
    (worker,) = server.until(r"Booting worker with pid: (\d+)")
    server.get("/health")
    server.pool.close()

    with ExitStack() as stack:
        os.kill(int(worker), signal.SIGSTOP)
        clients = [stack.enter_context(server.connect()) for _ in range(20)]
        for client in clients:
            client.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        # Of two pending signals the one with the smaller number, SIGTERM, is delivered first.
        deadline = time.monotonic() + 30
        while not is_stopped(worker) and time.monotonic() < deadline:
            time.sleep(0.01)
        server.process.terminate()
        while signal.SIGTERM not in pending_signals(worker) and time.monotonic() < deadline:
            time.sleep(0.01)
        os.kill(int(worker), signal.SIGCONT)
        statuses = [answer(client).status for client in clients]

    assert statuses == [200] * 20


def test_a_request_on_an_idle_connection_is_answered_while_the_server_stops(serve: Serve) -> None:
    server = serve(WEB_CONCURRENCY="1")

    with server.connect() as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        kept = answer(connection)
        kept.read()
        server.process.terminate()
        server.until("Handling signal: term")
        # The worker may get the signal a moment later than the log says.
        for _ in range(1000):
            connection.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
            last = answer(connection)
            last.read()
            if last.headers["Connection"] == "close":
                break
        end = connection.recv(1)
    status = server.stop()

    assert (kept.status, kept.headers["Connection"]) == (200, None)
    assert (last.status, last.headers["Connection"]) == (200, "close")
    assert end == b""
    assert status == 0


def test_a_download_is_finished_before_a_stop(serve: Serve, database_url: str, new_lead: NewLead) -> None:
    server = serve(DATABASE_URL=database_url, WEB_CONCURRENCY="1", MAX_BODY_BYTES=str(2**24))
    attributes = {f"{number}": "m" * 500 for number in range(30)}
    for _ in range(4):
        server.post("/leads/batch", json={"items": [new_lead(attributes=attributes) for _ in range(100)]})
    server.pool.close()

    with server.connect() as connection:
        connection.sendall(b"GET /leads/export?format=ndjson HTTP/1.1\r\nHost: localhost\r\n\r\n")
        download = answer(connection)
        server.process.terminate()
        server.until("Handling signal: term")
        lines = download.read().splitlines()
    status = server.stop()

    assert len(lines) == 400
    assert status == 0
