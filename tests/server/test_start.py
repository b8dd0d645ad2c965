"""Starting: on an empty database, many at once, before the migration, and with wrong settings."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import orjson
import psycopg
import pytest

from conftest import NewLead, Serve
from postgres import Postgres
from servers import ROOT, Server, answer, at_once, free_port

# Waits until three sessions wait for a lock, for 20 seconds at most.
UNTIL_THREE_WAIT = """
    DO $$ BEGIN
        FOR asked IN 1..2000 LOOP
            IF (SELECT count(DISTINCT pid) >= 3 FROM pg_locks WHERE NOT granted) THEN
                RETURN;
            END IF;
            PERFORM pg_sleep(0.01);
        END LOOP;
        RAISE 'three sessions never waited at the same time';
    END $$
"""


def test_workers_that_start_on_an_empty_database_serve(
    serve: Serve, empty_database_url: str, new_lead: NewLead
) -> None:
    server = serve(DATABASE_URL=empty_database_url, AUTO_MIGRATE="on", WEB_CONCURRENCY="4")
    answers = server.with_each_worker(4, lambda: server.post("/leads", json=new_lead()))

    assert [answer.status for answer in answers] == [201] * 4
    assert server.get("/leads").json()["total"] == 4
    assert {line["level"] for line in server.log()} == {"info"}


@pytest.mark.one_database  # the next test makes the race certain on PostgreSQL
def test_servers_that_start_at_once_on_an_empty_database_serve(
    serve: Serve, empty_database_url: str, new_lead: NewLead
) -> None:
    servers = at_once(3, lambda _: serve(DATABASE_URL=empty_database_url, AUTO_MIGRATE="on"))

    answers = [server.post("/leads", json=new_lead()) for server in servers]

    assert [answer.status for answer in answers] == [201] * 3
    assert [server.get("/leads").json()["total"] for server in servers] == [3] * 3


@pytest.mark.parametrize("backend", ["postgresql"])
def test_servers_that_migrate_at_the_same_moment_serve(
    serve: Serve, postgres: Postgres, empty_database_url: str, new_lead: NewLead
) -> None:
    with psycopg.connect(empty_database_url) as first, ThreadPoolExecutor() as threads:
        # Other transactions that create this table wait until this one ends.
        first.execute("CREATE TABLE alembic_version ()")
        starts = [threads.submit(serve, DATABASE_URL=empty_database_url, AUTO_MIGRATE="on") for _ in range(3)]
        postgres.execute(UNTIL_THREE_WAIT)
        first.rollback()
        servers = [start.result() for start in starts]

    answers = [server.post("/leads", json=new_lead()) for server in servers]

    assert [answer.status for answer in answers] == [201] * 3
    assert [server.get("/leads").json()["total"] for server in servers] == [3] * 3


@pytest.fixture
def plain_server(empty_database_url: str, tmp_path: Path) -> Iterator[Server]:
    """Gunicorn without our settings: each worker builds the application, and migrates."""
    port = free_port()
    environ = {"DATABASE_URL": empty_database_url, "AUTO_MIGRATE": "on", "PORT": str(port), "HOME": str(tmp_path)}
    server = Server(environ, tmp_path, arguments=["-w", "3", "-b", f"127.0.0.1:{port}"])
    yield server
    server.end()


def test_every_worker_of_an_unconfigured_gunicorn_serves(plain_server: Server, new_lead: NewLead) -> None:
    bodies = [orjson.dumps(new_lead()) for _ in range(3)]
    head = "POST /leads HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nExpect: 100-continue\r\n"

    # Such a worker serves one connection at a time, so three that wait for a body are all the workers.
    connections = [plain_server.connect() for _ in bodies]
    for connection, body in zip(connections, bodies, strict=True):
        connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode())
    interim = [connection.recv(100) for connection in connections]
    for connection, body in zip(connections, bodies, strict=True):
        connection.sendall(body)
    statuses = [answer(connection).status for connection in connections]
    for connection in connections:
        connection.close()

    assert interim == [b"HTTP/1.1 100 Continue\r\n\r\n"] * 3
    assert statuses == [201] * 3
    assert plain_server.get("/leads").json()["total"] == 3


@pytest.mark.parametrize("backend", ["postgresql"])
def test_without_its_schema_it_says_what_to_run_and_needs_no_restart(
    serve: Serve, empty_database_url: str, new_lead: NewLead
) -> None:
    server = serve(DATABASE_URL=empty_database_url)

    before = [server.get("/health"), server.get("/ready"), server.post("/leads", json=new_lead())]
    migrated = subprocess.run(
        [sys.executable, "-m", "flask", "db", "upgrade"],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "DATABASE_URL": empty_database_url},
        capture_output=True,
        text=True,
        check=False,
    )
    after = [server.get("/health"), server.get("/ready"), server.post("/leads", json=new_lead())]

    assert [answer.status for answer in before] == [200, 503, 503]
    assert "flask db upgrade" in before[1].json()["detail"]
    assert any("flask db upgrade" in line.get("reason", "") for line in server.log())
    assert migrated.returncode == 0, migrated.stderr
    assert [answer.status for answer in after] == [200, 200, 201]


def test_a_database_in_memory_is_refused_because_workers_cannot_share_it(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "gunicorn", "-c", "python:leadapi.gunicorn", "wsgi:app"],
        cwd=tmp_path,
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "PORT": str(free_port()),
            "DATABASE_URL": "sqlite://",
        },
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )

    assert ended.returncode != 0
    assert "DATABASE_URL must name a file" in ended.stdout + ended.stderr


def test_listens_on_an_address_of_ipv6_too(serve: Serve) -> None:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        pytest.skip("this machine has no IPv6")

    server = serve(HOST="::1")

    with socket.create_connection(("::1", server.port), timeout=30) as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert answer(connection).status == 200


@pytest.mark.parametrize("command", ["gunicorn -c python:leadapi.gunicorn wsgi:app", "flask db upgrade"])
def test_wrong_settings_are_all_named_and_nothing_starts(tmp_path: Path, command: str) -> None:
    port = free_port()
    wrong = {"LOG_LEVEL": "LOUD", "THREADS": "none"}

    ended = subprocess.run(
        [sys.executable, "-m", *command.split()],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "PORT": str(port), "DATABASE_URL": f"sqlite:///{tmp_path}/leads.db", **wrong},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )

    said = ended.stdout + ended.stderr
    assert ended.returncode != 0
    assert "LOG_LEVEL must be one of" in said
    assert "THREADS must be a whole number" in said
    assert "Listening" not in said
    assert "Traceback" not in said
    assert list(tmp_path.iterdir()) == []
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0


def start_in_vain(folder: Path, *words: str, **environ: str) -> str:
    """Start a server that ends by itself; return what it says."""
    ended = subprocess.run(
        [*words, sys.executable, "-m", "gunicorn", "-c", "python:leadapi.gunicorn", "wsgi:app"],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "PORT": str(free_port()), **environ},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert ended.returncode != 0
    assert "Traceback" not in ended.stdout + ended.stderr
    return ended.stdout + ended.stderr


@pytest.mark.parametrize(
    ("modes", "told"),
    [
        ((0o500, 0o600), "names a file in the folder {folder}, where SQLite cannot write: Permission denied."),
        ((0o700, 0o400), "names the file {folder}/app.db, which cannot be read and written."),
    ],
)
def test_a_database_that_cannot_be_written_is_refused_at_the_start(
    tmp_path: Path, as_ordinary_user: list[str], modes: tuple[int, int], told: str
) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "app.db").touch()
    (folder / "app.db").chmod(modes[1])
    folder.chmod(modes[0])

    said = start_in_vain(folder, *as_ordinary_user)

    folder.chmod(0o700)
    assert f"DATABASE_URL {told.format(folder=folder)}" in said


def test_an_address_that_is_in_use_is_named(serve: Serve, tmp_path: Path) -> None:
    port = serve().port

    said = start_in_vain(tmp_path, PORT=str(port))

    assert f"Connection in use: ('127.0.0.1', {port})" in said


def test_a_probable_mistake_is_logged_once(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("REDIS_URI=redis://:secret@db\n")

    server = serve(HOST="0.0.0.0")

    warnings = [line for line in server.log() if line["level"] == "warning"]
    assert [line["event"] for line in warnings] == ["settings.unknown", "service.exposed"]
    assert "no API key and no rate limit" in warnings[1]["reason"]
    assert "REDIS_URI" in warnings[0]["reason"]
    assert "secret" not in "".join(server.lines)


@pytest.mark.parametrize("worker", [[], ["-k", "gthread"]], ids=["own worker", "gthread"])
def test_a_prefix_does_not_hide_the_service_from_a_health_check(tmp_path: Path, worker: list[str]) -> None:
    server = Server({"SCRIPT_NAME": "/leadapi"}, tmp_path, ["-c", "python:leadapi.gunicorn", *worker])

    answers = [server.get(path).status for path in ("/ready", "/leadapi/ready", "/leadapi/leads", "//leads")]
    server.end()

    assert answers == [200, 200, 200, 404]
