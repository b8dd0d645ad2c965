"""What tests stand on: an app, a client and servers, on SQLite and on a real PostgreSQL."""

import itertools
import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from leadapi import create_app
from leadapi.keys import service as keys
from leadapi.storage import db
from postgres import Postgres
from redis_server import RedisServer
from servers import Server

if TYPE_CHECKING:
    from playwright.sync_api import Page

DRIVER_IS_MISSING = "Playwright is missing: pip install -r tests/requirements.txt"
BROWSER_IS_MISSING = "Chromium is missing: apt-get install chromium"
# Without these it asks its maker's servers things, or fails where the tests run as root.
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

# Every word a test says about a person has this in it, so that the log can be searched for people.
MARKER = "zebedee"

Json = dict[str, Any]
MakeApp = Callable[..., Flask]
NewLead = Callable[..., Json]
StoredLead = Callable[..., Json]
Serve = Callable[..., Server]


def body(response: TestResponse) -> Json:
    """The JSON object of a response."""
    assert isinstance(response.json, dict)
    return response.json


def make_key(app: Flask, *scopes: str, expires_at: datetime | None = None) -> str:
    """The text of a new key."""
    with app.app_context():
        key = keys.create_key(name=f"{MARKER}'s program", scopes=scopes, expires_at=expires_at)
    _secrets.append(key.text)
    return key.text


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL server for the whole run, with a database `migrated` to copy."""
    server = Postgres()
    server.execute("CREATE DATABASE migrated")
    _migrate(server.url("migrated"))
    yield server
    server.remove()


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file to copy."""
    path = tmp_path_factory.mktemp("sqlite") / "migrated.db"
    _migrate(f"sqlite:///{path}")
    return path


def _migrate(url: str) -> None:
    create_app({"DATABASE_URL": url, "AUTO_MIGRATE": "on"})


@pytest.fixture(params=["sqlite", "postgresql"])
def backend(request: pytest.FixtureRequest) -> str:
    """Each database in turn."""
    name: str = request.param
    return name


@pytest.fixture
def empty_database_url(backend: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A database without any table."""
    if backend == "sqlite":
        yield f"sqlite:///{tmp_path}/leads.db"
        return
    server: Postgres = request.getfixturevalue("postgres")
    url = server.new_database()
    yield url
    server.drop_database(url)


@pytest.fixture
def database_url(backend: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A migrated database without any lead."""
    if backend == "sqlite":
        shutil.copy(request.getfixturevalue("migrated_sqlite"), tmp_path / "leads.db")
        yield f"sqlite:///{tmp_path}/leads.db"
        return
    server: Postgres = request.getfixturevalue("postgres")
    url = server.new_database("migrated")
    yield url
    server.drop_database(url)


@pytest.fixture
def make_app() -> Iterator[MakeApp]:
    """Build apps from settings, and close their connections afterwards."""
    apps = []

    def make(**environ: str) -> Flask:
        app = create_app(environ)
        apps.append(app)
        return app

    yield make
    for app in apps:
        with app.app_context():
            db.engine.dispose()


@pytest.fixture
def app(make_app: MakeApp, database_url: str) -> Flask:
    """An app with the default settings."""
    return make_app(DATABASE_URL=database_url)


@pytest.fixture(scope="session")
def document() -> Iterator[Json]:
    """The document as a client reads it. No database has a say in it."""
    app = create_app({"DATABASE_URL": "sqlite://"})
    yield body(app.test_client().get("/openapi.json"))
    with app.app_context():
        db.engine.dispose()


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    """What sends requests to the app."""
    return app.test_client()


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Start services under gunicorn, and stop them afterwards."""
    servers: list[Server] = []

    def start(**environ: str) -> Server:
        servers.append(Server(environ, tmp_path))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()
        # Printed, so that it is part of the whole run's log.
        print(*server.lines, sep="\n")  # noqa: T201  # see pytest_runtest_logreport


@pytest.fixture
def as_ordinary_user() -> list[str]:
    """What stands before a command so that the modes of files bind it."""
    if os.geteuid() != 0:
        return []
    # Another user might not reach this Python. Root without capabilities does, as the files' owner.
    words = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"]
    if shutil.which("setpriv") is None or subprocess.run([*words, "true"], check=False).returncode != 0:
        pytest.skip("root cannot give up its rights here: run the tests as an ordinary user")
    return words


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    """A Redis that the test may stop."""
    if shutil.which("redis-server") is None:
        pytest.skip("Redis is missing: apt-get install redis-server")
    server = RedisServer()
    yield server
    server.kill()


@pytest.fixture
def page() -> Iterator["Page"]:
    """An empty page of a browser."""
    sync_api = pytest.importorskip("playwright.sync_api", reason=DRIVER_IS_MISSING)
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip(BROWSER_IS_MISSING)
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        yield browser.new_page()
        browser.close()


@pytest.fixture
def sites() -> Iterator[tuple[str, str]]:
    """Two origins, every page of which is empty."""

    class EmptyPage(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()

        def log_message(self, *arguments: Any) -> None:
            pass

    servers = [ThreadingHTTPServer(("127.0.0.1", 0), EmptyPage) for _ in range(2)]
    for server in servers:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    first, second = (f"http://127.0.0.1:{server.server_port}" for server in servers)
    yield first, second
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture(scope="session")
def _numbers() -> Iterator[int]:
    return itertools.count(1)


@pytest.fixture
def new_lead(_numbers: Iterator[int]) -> NewLead:
    """What a client sends; each time another person."""

    def make(**changes: Any) -> Json:
        number = next(_numbers)
        return {
            "full_name": f"{MARKER.title()} Doe {number}",
            "email": f"{MARKER}.{number}@example.com",
            "company": f"{MARKER.title()} Inc",
            "message": f"Please write to {MARKER}",
            "source": f"{MARKER}-page",
        } | changes

    return make


@pytest.fixture
def stored_lead(client: FlaskClient, new_lead: NewLead) -> StoredLead:
    """A lead that is stored, as the service shows it."""

    def store(**changes: Any) -> Json:
        response = client.post("/leads", json=new_lead(**changes))
        assert response.status_code == 201, response.json
        return body(response)

    return store


# --- the whole run's log -------------------------------------------------------------------------

_run_log: list[str] = []
_secrets: list[str] = []


@pytest.fixture
def run_log() -> list[str]:
    """Every line that an app or a server has logged in this run so far."""
    return _run_log


@pytest.fixture
def secrets() -> list[str]:
    """Every key that was made in this run so far."""
    return _secrets


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Gather what was logged: apps and servers write to standard output, tests do not."""
    for name, content in report.sections:
        if name == f"Captured stdout {report.when}":
            _run_log.extend(line for line in content.splitlines() if line)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let the test of the whole run's log come last."""
    items.sort(key=lambda item: "run_log" in getattr(item, "fixturenames", ()))
