"""Stopping, as an orchestrator does it: SIGTERM."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import orjson
import psycopg

from conftest import NewLead, Serve
from servers import answer


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
