"""More clients than a worker can have."""

import resource
import sqlite3
from contextlib import ExitStack, closing
from pathlib import Path

import orjson

from conftest import NewLead
from servers import Server, answer

POST = (
    b"POST /leads HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n"
    b"Content-Length: %d\r\n\r\n"
)


def test_clients_beyond_the_limit_wait_and_are_answered(tmp_path: Path, new_lead: NewLead) -> None:
    arguments = ["-c", "python:leadapi.gunicorn", "--worker-connections", "20"]
    environ = {"WEB_CONCURRENCY": "1", "THREADS": "1", "DATABASE_URL": f"sqlite:///{tmp_path}/leads.db"}
    server = Server(environ, tmp_path, arguments)
    body = orjson.dumps(new_lead())

    with ExitStack() as stack:
        stack.callback(server.kill)
        (worker,) = server.until(r"Booting worker with pid: (\d+)")
        server.get("/leads", headers={"Connection": "close"})
        resource.prlimit(int(worker), resource.RLIMIT_NOFILE, (60, 60))
        with closing(sqlite3.connect(tmp_path / "leads.db", isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            clients = []
            for _ in range(150):
                clients.append(stack.enter_context(server.connect()))
                clients[-1].sendall(POST % len(body) + body)
            other.rollback()
        statuses = [answer(client).status for client in clients]

    assert sorted(statuses) == [201] + [409] * 149
