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


def test_a_worker_takes_no_more_connections_than_it_may_open_files(tmp_path: Path) -> None:
    files = resource.getrlimit(resource.RLIMIT_NOFILE)
    # That is room for ten connections with three files each.
    resource.setrlimit(resource.RLIMIT_NOFILE, (130, files[1]))
    try:
        server = Server({"WEB_CONCURRENCY": "1", "DATABASE_URL": f"sqlite:///{tmp_path}/leads.db"}, tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, files)

    with ExitStack() as stack:
        stack.callback(server.kill)
        for _ in range(20):
            stack.enter_context(server.connect()).sendall(b"GET /")
        server.until("no longer accepting new connections")
        (worker,) = server.until(r"Booting worker with pid: (\d+)")
        sockets = [file for file in Path(f"/proc/{worker}/fd").iterdir() if str(file.readlink()).startswith("socket:")]

    # One of them listens.
    assert len(sockets) == 11
