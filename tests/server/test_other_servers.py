"""`wsgi:app` is an ordinary WSGI application, which any server can serve."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import urllib3

from conftest import NewLead
from servers import ROOT, Server, free_port

COMMANDS = {
    "gunicorn": "gunicorn --bind 127.0.0.1:{port} wsgi:app",
    "gthread": "gunicorn --bind 127.0.0.1:{port} -k gthread --threads 2 wsgi:app",
    "gthread with our settings": "gunicorn -c python:leadapi.gunicorn -k gthread wsgi:app",
    "waitress": "waitress --listen 127.0.0.1:{port} wsgi:app",
    "flask run": "flask run --port {port}",
}
# Removes, before anything is imported, what some systems lack: epoll, poll and /dev/shm.
LACKING = """
import os, pathlib, select
del select.epoll, select.poll
is_dir = pathlib.Path.is_dir
pathlib.Path.is_dir = lambda path, **options: str(path) != "/dev/shm" and is_dir(path, **options)
"""


@pytest.fixture
def port(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[int]:
    """The port of a server that is started by this command."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", *request.param.format(port=port).split()],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "PORT": str(port), "DATABASE_URL": f"sqlite:///{tmp_path}/leads.db"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    yield port
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(timeout=30)


@pytest.mark.parametrize("port", COMMANDS.values(), ids=COMMANDS, indirect=True)
def test_other_servers_serve_the_application(port: int, new_lead: NewLead) -> None:
    lead = new_lead()
    starting = urllib3.Retry(100, backoff_factor=0.1, backoff_max=0.2)
    with urllib3.HTTPConnectionPool("127.0.0.1", port, timeout=30) as pool:
        health = pool.request("GET", "/health", retries=starting)
        stored = pool.request("POST", "/leads", json=lead, retries=False)
        repeated = pool.request("POST", "/leads", json=lead, retries=False)
        exported = pool.request("GET", "/leads/export?format=ndjson", retries=False)

    assert [answer.status for answer in (health, stored, repeated)] == [200, 201, 409]
    assert exported.json() == stored.json()


def test_the_service_needs_neither_epoll_nor_poll_nor_shared_memory(tmp_path: Path, new_lead: NewLead) -> None:
    (tmp_path / "sitecustomize.py").write_text(LACKING)
    paths = f"{tmp_path}{os.pathsep}{ROOT}"
    server = Server({"DATABASE_URL": f"sqlite:///{tmp_path}/leads.db", "PYTHONPATH": paths}, tmp_path)

    stored = server.post("/leads", json=new_lead())
    listed = server.get("/leads").json()
    status = server.stop()

    assert stored.status == 201
    assert listed == {"total": 1, "items": [stored.json()]}
    assert status == 0
