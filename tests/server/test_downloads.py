"""Downloads that are taken slowly, and everybody else."""

import socket
import sqlite3
from contextlib import ExitStack

import pytest
import urllib3

from conftest import NewLead, Serve
from servers import Server

EXPORT = b"GET /leads/export HTTP/1.1\r\nHost: localhost\r\n\r\n"


def begin_download(server: Server) -> socket.socket:
    """A client that takes only the beginning of a file."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.connect(("127.0.0.1", server.port))
    connection.sendall(EXPORT)
    assert connection.recv(1) == b"H"
    return connection


@pytest.mark.parametrize("backend", ["sqlite"])
def test_slow_downloads_leave_a_thread_for_others(serve: Serve, database_url: str, new_lead: NewLead) -> None:
    server = serve(DATABASE_URL=database_url, WEB_CONCURRENCY="1", THREADS="3")
    server.post("/leads", json=new_lead(message="m" * 2000))
    with sqlite3.connect(database_url.removeprefix("sqlite:///")) as database:
        database.execute(
            "INSERT INTO leads (email, email_key, full_name, message, attributes, created_at)"
            " WITH RECURSIVE numbers (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM numbers WHERE i < 10000)"
            " SELECT email || i, email_key || i, full_name, message, attributes, created_at FROM leads, numbers"
        )
    database.close()

    with ExitStack() as stack:
        downloads = [stack.enter_context(begin_download(server)) for _ in range(2)]
        refused = server.get("/leads/export")
        stored = server.post("/leads", json=new_lead())
        downloads[0].close()
        # The server notices that the client is gone when it sends the next piece.
        free = server.get("/leads/export?format=ndjson", retries=REPEATED)

    assert (refused.status, refused.headers["Content-Type"]) == (503, "application/problem+json")
    assert refused.json() == {"detail": "Too many downloads are running; try again in a moment."}
    assert int(refused.headers["Retry-After"]) > 0
    assert stored.status == 201
    assert len(free.data.splitlines()) == 10_002


REPEATED = urllib3.Retry(
    50, backoff_factor=0.1, backoff_max=0.2, status_forcelist=[503], respect_retry_after_header=False
)
