"""Clients that send or read very slowly must not delay others."""

import itertools
import os
import socket
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path

import orjson
import pytest
import urllib3

from conftest import NewLead, Serve
from servers import Server, answer

HEAD = b"GET /health HTTP/1.1\r\nHost: localhost\r\n"
POST = b"POST /leads HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
EXPORT = b"GET /leads/export HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
# The default settings have two workers of two threads. Twenty for each thread.
DRIPPERS = 80
# The deadline of a hasty service, the interval of its checks, and some time for a busy machine.
AT_MOST = 1 + 1 + 3


class Dripper:
    """A client that sends one byte now and then, and reconnects when it is cut off."""

    def __init__(self, server: Server, begin: bytes) -> None:
        self.server, self.begin = server, begin
        self.is_cut_off = False
        self._connect()

    def _connect(self) -> None:
        self.connection = self.server.connect()
        self.connection.sendall(self.begin)
        self.connection.setblocking(False)

    def drip(self) -> None:
        """Send a byte."""
        try:
            self.connection.send(b"a")
            with suppress(BlockingIOError):
                assert self.connection.recv(4096) == b""
                raise ConnectionResetError
        except ConnectionError:
            self.is_cut_off = True
            self.connection.close()
            self._connect()


@contextmanager
def dripping(drippers: list[Dripper]) -> Iterator[None]:
    """Let clients drip in a thread during the `with` statement."""
    done = threading.Event()

    def drip() -> None:
        while not done.wait(0.2):
            for dripper in drippers:
                dripper.drip()

    thread = threading.Thread(target=drip)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
        for dripper in drippers:
            dripper.connection.close()


def drippers_of(server: Server, number: int) -> list[Dripper]:
    """Clients that drip, as many with heads as with bodies."""
    heads = [Dripper(server, HEAD + b"X-Slow: ") for _ in range(number)]
    return heads + [Dripper(server, POST % 5000 + b'{"full_name": "') for _ in range(number)]


def memory_mb(server: Server) -> float:
    """The memory of its only worker."""
    (pid,) = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text().split()
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def health(server: Server) -> float:
    """The seconds that /health takes on a connection of its own."""
    started = time.monotonic()
    with urllib3.HTTPConnectionPool("127.0.0.1", server.port, timeout=30, retries=False) as pool:
        assert pool.request("GET", "/health").status == 200
    return time.monotonic() - started


def test_clients_that_drip_heads_and_bodies_delay_nobody(serve: Serve, new_lead: NewLead) -> None:
    server = serve()

    with dripping(drippers_of(server, DRIPPERS)):
        seconds = [health(server) for _ in range(100)]
        stored = server.post("/leads", json=new_lead())

    assert max(seconds) < 1
    assert stored.status == 201


def test_clients_that_drip_are_cut_off(serve_hastily: Serve) -> None:
    server = serve_hastily()
    drippers = drippers_of(server, 5)

    started = time.monotonic()
    with dripping(drippers):
        while not all(dripper.is_cut_off for dripper in drippers) and time.monotonic() < started + AT_MOST:
            health(server)

    assert [dripper.is_cut_off for dripper in drippers] == [True] * 10
    assert time.monotonic() > started + 1


def test_connections_without_a_request_are_closed(serve_hastily: Serve) -> None:
    server = serve_hastily("--worker-connections", "20", WEB_CONCURRENCY="1")

    with ExitStack() as stack:
        idle = [stack.enter_context(server.connect()) for _ in range(30)]
        seconds = health(server)
        # Each connection is closed at a deadline of its own.
        ends = [connection.recv(1) for connection in idle]

    # /health waits until the first connections are closed.
    assert 1 < seconds < AT_MOST
    assert ends == [b""] * 30


def test_bodies_that_never_end_take_little_memory(serve: Serve, new_lead: NewLead) -> None:
    server = serve(WEB_CONCURRENCY="1", THREADS="1")
    server.get("/leads")
    before = memory_mb(server)
    size = 400_000

    with ExitStack() as stack:
        for _ in range(150):
            connection = stack.enter_context(server.connect())
            connection.sendall(POST % size + b"[" * (size - 1))
        seconds = health(server)
        used = memory_mb(server) - before
        stored = server.post("/leads", json=new_lead())

    assert stored.status == 201
    assert seconds < 1
    assert used < 30


@pytest.mark.parametrize("backend", ["sqlite"])
def test_whole_bodies_that_wait_for_a_thread_take_little_memory(
    serve: Serve, database_url: str, new_lead: NewLead
) -> None:
    server = serve(DATABASE_URL=database_url, WEB_CONCURRENCY="1", THREADS="1")
    server.get("/leads")
    before = memory_mb(server)
    body = orjson.dumps(new_lead()).ljust(2**20)

    with ExitStack() as stack, closing(sqlite3.connect(database_url.removeprefix("sqlite:///"))) as other:
        other.execute("BEGIN EXCLUSIVE")
        clients = [stack.enter_context(server.connect()) for _ in range(100)]
        for client in clients:
            client.sendall(POST % len(body) + body)
        used = memory_mb(server) - before
        other.rollback()
        statuses = [answer(client).status for client in clients]

    assert sorted(set(statuses)) == [201, 409]
    assert used < 50


def not_reading(server: Server, request: bytes) -> socket.socket:
    """A client that requests much and reads nothing of the response."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.connect(("127.0.0.1", server.port))
    connection.sendall(request)
    # The answer has begun.
    assert connection.recv(1, socket.MSG_PEEK) == b"H"
    return connection


def test_a_client_that_does_not_read_its_response_holds_no_thread(serve: Serve, new_lead: NewLead) -> None:
    server = serve(WEB_CONCURRENCY="1", THREADS="1", MAX_BODY_BYTES=str(2**24))
    # A page of them is longer than the kernel's socket buffers.
    attributes = {f"{number}": "𝔷" * 500 for number in range(8)}
    items = [new_lead(attributes=attributes, message="𝔷" * 2000) for _ in range(100)]
    server.post("/leads/batch", json={"items": items})

    with ExitStack() as stack:
        request = b"GET /leads?limit=100 HTTP/1.1\r\nHost: localhost\r\n\r\n"
        clients = [stack.enter_context(not_reading(server, request)) for _ in range(3)]
        seconds = health(server)
        clients[0].setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2**20)
        page = orjson.loads(answer(clients[0]).read())

    assert seconds < 1
    assert len(page["items"]) == 100
    assert all(lead["attributes"] == attributes for lead in page["items"])


def multiply(database_url: str, number: int) -> None:
    """Copy the first lead so many times."""
    with sqlite3.connect(database_url.removeprefix("sqlite:///")) as connection:
        columns = "full_name, company, message, source, attributes, created_at"
        connection.execute(
            f"INSERT INTO leads (email, email_key, {columns}) WITH RECURSIVE numbers (i) AS"
            " (SELECT 1 UNION ALL SELECT i + 1 FROM numbers WHERE i < ?)"
            f" SELECT email || i, email_key || i, {columns} FROM leads, numbers",
            (number,),
        )
    connection.close()


@pytest.mark.parametrize("backend", ["sqlite"])
def test_a_client_that_does_not_read_its_download_is_cut_off(
    serve_hastily: Serve, database_url: str, new_lead: NewLead
) -> None:
    server = serve_hastily(DATABASE_URL=database_url, WEB_CONCURRENCY="1", THREADS="1")
    lead = server.post("/leads", json=new_lead(message="m" * 2000)).json()
    multiply(database_url, 10_000)

    with not_reading(server, EXPORT):
        seconds = health(server)
        # Its database connection is free again, too.
        listed = server.get("/leads?limit=1").json()

    assert seconds < AT_MOST
    assert listed == {"total": 10_001, "items": [lead]}


@pytest.mark.parametrize("backend", ["sqlite"])
@pytest.mark.parametrize("kind", ["csv", "ndjson"])
def test_a_file_of_the_largest_leads_takes_little_memory(
    serve: Serve, database_url: str, new_lead: NewLead, kind: str
) -> None:
    server = serve(DATABASE_URL=database_url, WEB_CONCURRENCY="1", THREADS="1")
    server.post("/leads", json=new_lead(attributes={str(number): "\U0001f600" * 500 for number in range(8)}))
    multiply(database_url, 1000)
    before = memory_mb(server)

    with closing(server.get(f"/leads/export?format={kind}", preload_content=False)) as file:
        used = max(memory_mb(server) - before for _ in file.stream(2**20))

    assert used < 150


@pytest.mark.parametrize("backend", ["sqlite"])
def test_a_client_that_reads_its_download_slowly_gets_all_of_it(
    serve_hastily: Serve, database_url: str, new_lead: NewLead
) -> None:
    server = serve_hastily(DATABASE_URL=database_url)
    server.post("/leads", json=new_lead(attributes={str(number): "a" * 500 for number in range(30)}))
    multiply(database_url, 1000)

    with not_reading(server, EXPORT) as connection, connection.makefile("rb") as file:
        started = time.monotonic()
        while time.monotonic() < started + 3:
            # A pause. The kernel buffers megabytes, so the server sees progress in large steps only.
            time.sleep(0.05)
            file.read(200_000)
        end = file.read()[-7:]

    assert end == b"\r\n0\r\n\r\n"


@pytest.mark.parametrize("backend", ["sqlite"])
def test_clients_that_read_no_file_leave_a_thread_to_others_and_make_room_when_they_go(
    serve: Serve, database_url: str, new_lead: NewLead
) -> None:
    server = serve(DATABASE_URL=database_url, WEB_CONCURRENCY="1", THREADS="3")
    server.post("/leads", json=new_lead(message="m" * 2000))
    multiply(database_url, 10_000)

    with ExitStack() as stack:
        for _ in range(2):
            stack.enter_context(not_reading(server, EXPORT))
        refused = server.get("/leads/export")
        captured = server.post("/leads", json=new_lead())
    deadline = time.monotonic() + AT_MOST
    while (again := server.get("/leads/export?source=none")).status == 503 and time.monotonic() < deadline:
        pass

    assert (refused.status, captured.status) == (503, 201)
    assert again.status == 200


def test_bodies_in_many_pieces_are_answered(serve: Serve, new_lead: NewLead) -> None:
    server = serve(WEB_CONCURRENCY="1", THREADS="1")
    body = orjson.dumps(new_lead())
    head = (POST % len(body)).replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n")

    with ExitStack() as stack:
        connections = [stack.enter_context(server.connect()) for _ in range(5)]
        for connection in connections:
            connection.sendall(head)
        interim = {connection.recv(100) for connection in connections}
        for start, connection in itertools.product(range(0, len(body), 50), connections):
            connection.sendall(body[start : start + 50])
            health(server)
        statuses = sorted(answer(connection).status for connection in connections)

    assert interim == {b"HTTP/1.1 100 Continue\r\n\r\n"}
    assert statuses == [201, 409, 409, 409, 409]
