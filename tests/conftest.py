"""Fixtures that all tests share: an app, a client and servers, on SQLite and on a real PostgreSQL."""

import itertools
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Generator, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import tracing
from browsers import browser as browser  # noqa: PLC0414  # a fixture
from browsers import page as page  # noqa: PLC0414  # the same
from browsers import sites as sites  # noqa: PLC0414  # the same
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import settings
from shared_apps import PostgresDatabase, SharedApps, SqliteDatabase, closing_connections, new_app
from tiers import pytest_collection as pytest_collection  # noqa: PLC0414  # pytest finds its hooks here
from tiers import pytest_collection_modifyitems as pytest_collection_modifyitems  # noqa: PLC0414  # the same
from werkzeug.test import TestResponse

import run_log
from leadapi import create_app
from leadapi.keys import service as keys
from leadapi.storage import db, engines
from postgres import Postgres, in_memory
from redis_server import RedisServer
from servers import Server

# How long an example takes depends on the load of the machine.
settings.register_profile("leadapi", deadline=None)
settings.load_profile("leadapi")

# A shell starts background jobs with SIGINT ignored, and commands that tests start would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
tracing.start_one_at_a_time()

MARKER = run_log.MARKER
_numbers = itertools.count(1)

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
    """Create a key and return its text."""
    with app.app_context():
        key = keys.create_key(name=f"{MARKER}'s program", scopes=scopes, expires_at=expires_at)
    run_log.secrets.append(key.text)
    return key.text


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL server for all tests of this process, with a migrated database to copy."""
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


@pytest.fixture(scope="session")
def shared_sqlite(migrated_sqlite: Path) -> Iterator[SqliteDatabase]:
    """The SQLite database of this process's tests."""
    with tempfile.TemporaryDirectory(prefix="leadapi-", dir=in_memory()) as folder:
        yield SqliteDatabase(migrated_sqlite, Path(folder) / "first")


@pytest.fixture(scope="session")
def _second_sqlite(migrated_sqlite: Path) -> Iterator[SqliteDatabase]:
    with tempfile.TemporaryDirectory(prefix="leadapi-", dir=in_memory()) as folder:
        yield SqliteDatabase(migrated_sqlite, Path(folder) / "second")


@pytest.fixture(scope="session")
def shared_postgresql(postgres: Postgres) -> Iterator[PostgresDatabase]:
    """The PostgreSQL database of this process's tests."""
    shared = PostgresDatabase(postgres.new_database("migrated"))
    yield shared
    shared.close()


@pytest.fixture
def own_app() -> None:
    """Use it in a test that changes its app, its tables or its database file: no other test gets those."""


@pytest.fixture
def database_url(backend: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A migrated database without any lead."""
    if "own_app" not in request.fixturenames:
        shared: SqliteDatabase | PostgresDatabase = request.getfixturevalue(f"shared_{backend}")
        shared.empty()
        yield shared.url
        return
    if backend == "sqlite":
        shutil.copy(request.getfixturevalue("migrated_sqlite"), tmp_path / "leads.db")
        yield f"sqlite:///{tmp_path}/leads.db"
        return
    server: Postgres = request.getfixturevalue("postgres")
    url = server.new_database("migrated")
    yield url
    server.drop_database(url)


@pytest.fixture
def short_waits(own_app: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let requests of apps that are made later wait for the database for two seconds only."""
    monkeypatch.setattr(engines, "WAIT_SECONDS", 2)


@pytest.fixture
def make_app() -> Iterator[MakeApp]:
    """Build apps from settings, and close their connections afterwards."""
    with closing_connections() as apps:

        def make(**environ: str) -> Flask:
            apps.append(create_app(environ))
            return apps[-1]

        yield make


@pytest.fixture(scope="session")
def _shared_apps() -> SharedApps:
    return SharedApps()


@pytest.fixture
def shared_app(_shared_apps: SharedApps, database_url: str, request: pytest.FixtureRequest) -> Iterator[MakeApp]:
    """Give out apps on the test's database by their settings. Other tests use them too, unless `own_app` is used."""
    get = new_app if "own_app" in request.fixturenames else _shared_apps.get
    with closing_connections() as apps:

        def make(**environ: str) -> Flask:
            apps.append(get(DATABASE_URL=database_url, **environ))
            return apps[-1]

        yield make


@pytest.fixture
def sqlite_app(_second_sqlite: SqliteDatabase, _shared_apps: SharedApps) -> Iterator[MakeApp]:
    """Give out apps on a SQLite database that is not the test's: for what does not depend on it, or takes two."""
    _second_sqlite.empty()
    with closing_connections() as apps:

        def make(**environ: str) -> Flask:
            apps.append(_shared_apps.get(DATABASE_URL=_second_sqlite.url, **environ))
            return apps[-1]

        yield make


@pytest.fixture
def app(shared_app: MakeApp) -> Flask:
    """An app with default settings, but for more connections: tests use several at a time."""
    return shared_app(THREADS="4")


@pytest.fixture(scope="session")
def document() -> Iterator[Json]:
    """The OpenAPI document, which does not depend on the database."""
    app = create_app({"DATABASE_URL": "sqlite://"})
    yield body(app.test_client().get("/openapi.json"))
    with app.app_context():
        db.engine.dispose()


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    """A client that sends requests to the app."""
    return app.test_client()


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Start services under gunicorn, and end them afterwards."""
    servers: list[Server] = []

    def start(**environ: str) -> Server:
        servers.append(Server(environ, tmp_path))
        return servers[-1]

    yield start
    for server in servers:
        server.end()
        print(*server.lines, sep="\n")  # noqa: T201  # the log of a test is checked, see run_log.py


@pytest.fixture(scope="module")
def serve_module(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    """Start services that the tests of a module share, each with a database of its own."""
    servers: list[Server] = []

    def start(**environ: str) -> Server:
        servers.append(Server(environ, tmp_path_factory.mktemp("server")))
        return servers[-1]

    yield start
    for server in servers:
        server.end()
        print(*server.lines, sep="\n")  # noqa: T201  # the same


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
def new_lead() -> NewLead:
    """Make the JSON of a new lead; each call is about another person."""

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
    """Store a lead and return the JSON of the response."""

    def store(**changes: Any) -> Json:
        response = client.post("/leads", json=new_lead(**changes))
        assert response.status_code == 201, response.json
        return body(response)

    return store


@pytest.fixture(scope="session", autouse=True)
def _documented_statuses(document: Json) -> None:
    run_log.read_document(document)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fail a test if something was logged during it that a log must not contain."""
    report = yield
    if report.when == "teardown" and report.passed:
        faults = run_log.faults(report.capstdout)
        if faults:
            report.outcome = "failed"
            report.longrepr = "The log of this test contains\n" + "\n".join(faults)
    return report
