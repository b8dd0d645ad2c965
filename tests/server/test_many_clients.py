"""More clients than a worker can have."""

import resource
import sqlite3
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import orjson

from conftest import NewLead
from servers import Server, answer

POST = b"POST /leads HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"


def test_who_finds_all_connections_at_work_takes_no_file_that_the_worker_needs(
    tmp_path: Path, new_lead: NewLead
) -> None:
    arguments = ["-c", "python:leadapi.gunicorn", "--worker-connections", "20"]
    environ = {"WEB_CONCURRENCY": "1", "THREADS": "1", "DATABASE_URL": f"sqlite:///{tmp_path}/leads.db"}
    server = Server(environ, tmp_path, arguments)
    body = orjson.dumps(new_lead())

    with ExitStack() as stack:
        stack.callback(server.kill)
        (worker,) = server.until(r"Booting worker with pid: (\d+)")
        server.get("/leads")
        resource.prlimit(int(worker), resource.RLIMIT_NOFILE, (60, 60))
        with closing(sqlite3.connect(tmp_path / "leads.db", isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            clients = []
            for _ in range(150):
                clients.append(stack.enter_context(server.connect()))
                clients[-1].sendall(POST % len(body) + body)
            other.rollback()
        statuses = set()
        for client in clients:
            # Some are closed to make room, as always.
            with suppress(ConnectionError):
                statuses.add(answer(client).status)

    assert statuses == {201, 409}
    assert "Too many connections" not in "\n".join(server.lines)
