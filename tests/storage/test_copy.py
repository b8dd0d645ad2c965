"""flask db copy: from SQLite to PostgreSQL."""

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import make_url, select, text

from conftest import MakeApp, StoredLead, body, make_key
from leadapi import storage
from leadapi.storage import copy as copying
from leadapi.storage import db
from postgres import Postgres
from servers import ROOT

# It ends at once when so many batches are stored.
PROGRAM = """
import os, sys
from flask.cli import ScriptInfo
from leadapi import create_app
from leadapi.storage import cli, copy
copy.ROWS = 7
calls = []
class Bar:
    def __enter__(self):
        return self.advance
    def __exit__(self, *_):
        pass
    def advance(self, position, size):
        calls.append(position)
        if len(calls) == 4:
            os.kill(os.getpid(), int(sys.argv[3]))
cli.progress_bar = lambda _label: Bar()
app = create_app({"DATABASE_URL": sys.argv[1]})
cli.commands.main(["copy", sys.argv[2]], obj=ScriptInfo(create_app=lambda: app))
"""

pytestmark = pytest.mark.slow


@pytest.fixture(params=["sqlite"])
def backend(request: pytest.FixtureRequest) -> str:
    """The database from which to copy."""
    name: str = request.param
    return name


@pytest.fixture
def target(postgres: Postgres) -> Iterator[str]:
    """The URL of an empty database, as a user who owns it and has no other rights."""
    url = postgres.new_database()
    name = make_url(url).database
    postgres.execute(f"CREATE ROLE {name}_owner LOGIN")
    postgres.execute(f"ALTER DATABASE {name} OWNER TO {name}_owner")
    yield make_url(url).set(username=f"{name}_owner").render_as_string(hide_password=False)
    postgres.drop_database(url)


@pytest.fixture
def copy(app: Flask, target: str) -> Callable[..., Result]:
    """Run the command."""

    def run(*options: str) -> Result:
        return app.test_cli_runner().invoke(args=["db", "copy", target, *options])

    return run


@pytest.fixture
def interrupted(app: Flask, database_url: str, target: str) -> Callable[[int], subprocess.CompletedProcess[str]]:
    """Run the command in a process that gets a signal after some batches."""

    def run(number: int) -> subprocess.CompletedProcess[str]:
        with app.app_context():
            db.engine.dispose()
        return subprocess.run(
            [sys.executable, "-c", PROGRAM, database_url, target, str(number)],
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
        )

    return run


@pytest.fixture
def copied(make_app: MakeApp, target: str) -> Callable[[], Flask]:
    """An app on the target."""
    return lambda: make_app(DATABASE_URL=target)


@pytest.fixture
def history(client: FlaskClient, stored_lead: StoredLead) -> None:
    """Rows in every table that a service fills, with gaps between the ids, and the last ids deleted."""
    make_key(client.application, "admin")
    hook = {"kind": "webhook", "url": "https://example.com/hook", "events": ["lead.*"], "description": "Zoë's"}
    assert client.post("/destinations", json=hook).status_code == 201
    for number in range(30):
        stored_lead(source=f"page-{number % 3}", attributes={"town": "Köln\t\\N\n"}, message='"\\.\n')
    client.post("/leads", json={"full_name": "Zoë", "email": "z@example.com"}, headers={"Idempotency-Key": '"one"'})
    items = [{"full_name": "Zoë", "email": f"z{number}@example.com"} for number in range(3)]
    client.post("/leads/batch", json={"items": items}, headers={"Idempotency-Key": '"many"'})
    client.patch("/leads/3", json={"status": "qualified", "source": None})
    client.post("/leads/4/notes", json={"text": "Called"})
    caught = client.post("/leads", data={"full_name": "Bot", "email": "bot@example.com", "_gotcha": "x"})
    assert caught.status_code == 201
    assert stored_lead()["id"] == 36
    for lead_id in (2, 36):
        assert client.delete(f"/leads/{lead_id}").status_code == 204


def rows(app: Flask) -> dict[str, list[Any]]:
    """The rows of every table, except when a key was used last, which is noted at any time."""
    with app.app_context(), storage.read() as connection:
        return {
            table.name: sorted(connection.execute(select(table)).all(), key=repr) for table in db.metadata.sorted_tables
        }


@pytest.mark.usefixtures("history")
def test_every_row_is_copied_and_the_service_goes_on(
    app: Flask, client: FlaskClient, copy: Callable[..., Result], copied: Callable[[], Flask]
) -> None:
    before = rows(app)
    total = body(client.get("/leads"))["total"]
    by_source = body(client.get("/stats?by=source"))["items"]

    result = copy()

    assert result.exit_code == 0, result.output
    assert "leads                33" in result.output
    new_app = copied()
    new = new_app.test_client()
    assert rows(new_app) == before == rows(app)
    filled = {name for name, kept in before.items() if kept}
    assert set(before) - filled == {"imports", "inbox_sessions", "jobs"}
    assert body(new.get("/leads"))["total"] == total
    assert body(new.get("/stats?by=source"))["items"] == by_source
    assert new_app.test_cli_runner().invoke(args=["db", "check"]).exit_code == 0
    # Triggers are in force, and ids of erased and quarantined leads are not given again.
    lead = body(new.post("/leads", json={"full_name": "New Doe", "email": "new@example.com", "source": "page-1"}))
    assert lead["id"] == 37
    assert body(new.get("/leads"))["total"] == total + 1
    (event,) = body(new.get("/leads/37/events"))["items"]
    assert event["id"] == max(row[0] for row in before["events"]) + 1
    after = rows(new_app)
    assert len(after["deliveries"]) == len(before["deliveries"]) + 1


@pytest.mark.usefixtures("history")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_copy_that_was_interrupted_goes_on(
    app: Flask,
    interrupted: Callable[[int], subprocess.CompletedProcess[str]],
    copy: Callable[..., Result],
    copied: Callable[[], Flask],
    number: signal.Signals,
) -> None:
    before = rows(app)

    first = interrupted(number)
    result = copy()

    assert first.returncode == (130 if number == signal.SIGINT else -number), first.stderr
    assert ("The same command continues" in first.stderr) == (number == signal.SIGINT)
    assert result.exit_code == 0, result.output
    assert "Going on after 22 rows, " in result.output
    assert rows(copied()) == before


@pytest.fixture
def unfinished(app: Flask, target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy that was interrupted after its first batch."""
    monkeypatch.setattr(copying, "ROWS", 7)

    def interrupt(_position: int, _size: int) -> None:
        raise KeyboardInterrupt

    url = make_url(target).set(drivername="postgresql+psycopg")
    with app.app_context(), pytest.raises(KeyboardInterrupt):
        copying.copy_to(url, restart=False, begin=lambda _rows: None, progress=interrupt)


@pytest.mark.usefixtures("history", "unfinished")
def test_what_changed_since_the_interruption_is_not_mixed_in(
    app: Flask, client: FlaskClient, copy: Callable[..., Result], copied: Callable[[], Flask]
) -> None:
    client.patch("/leads/1", json={"status": "lost"})
    changed = rows(app)

    refused = copy()
    anew = copy("--restart")

    assert refused.exit_code == 1
    assert "--restart" in refused.output
    assert anew.exit_code == 0, anew.output
    assert "Going on" not in anew.output
    assert rows(copied()) == changed


@pytest.mark.usefixtures("history", "unfinished")
def test_a_target_that_another_program_writes_to_is_refused(
    copy: Callable[..., Result], copied: Callable[[], Flask]
) -> None:
    with copied().app_context(), storage.write() as tx:
        tx.execute(text("INSERT INTO jobs (name) VALUES ('another')"))

    refused = copy()

    assert refused.exit_code == 1
    assert "The target has 1 rows of jobs instead of 0" in refused.output
    assert copy("--restart").exit_code == 0


@pytest.mark.usefixtures("history")
@pytest.mark.parametrize("options", [[], ["--restart"]])
def test_a_target_with_data_is_refused_and_keeps_it(
    copy: Callable[..., Result], copied: Callable[[], Flask], options: list[str]
) -> None:
    assert copy().exit_code == 0
    before = rows(copied())

    refused = copy(*options)

    assert refused.exit_code == 1
    assert "The target is not empty" in refused.output
    assert rows(copied()) == before


def test_a_database_that_a_service_uses_is_refused(app: Flask, database_url: str, copy: Callable[..., Result]) -> None:
    with app.app_context():
        db.engine.dispose()
    reader = sqlite3.connect(str(make_url(database_url).database))
    with closing(reader):
        reader.execute("SELECT count(*) FROM leads").fetchone()
        refused = copy()

    assert refused.exit_code == 1
    assert "Stop the service" in refused.output
    assert copy().exit_code == 0


@pytest.mark.parametrize(
    ("url", "source", "said"),
    [
        ("sqlite:///other.db", "sqlite://", "must begin with postgresql://"),
        ("postgresql://", "sqlite://", "must name a PostgreSQL database"),
        ("postgresql://127.0.0.1:1/leads", "sqlite://", "must be that of a SQLite file"),
        ("postgresql://127.0.0.1:1/leads", "postgresql://127.0.0.1:1/leads", "must be that of a SQLite file"),
    ],
)
def test_databases_of_the_wrong_kind_are_refused(make_app: MakeApp, url: str, source: str, said: str) -> None:
    refused = make_app(DATABASE_URL=source).test_cli_runner().invoke(args=["db", "copy", url])

    assert refused.exit_code != 0
    assert said in refused.output


@pytest.mark.usefixtures("own_app")
def test_a_database_that_is_not_there_is_not_created(app: Flask, tmp_path: Path, copy: Callable[..., Result]) -> None:
    with app.app_context():
        db.engine.dispose()
    (tmp_path / "leads.db").unlink()

    refused = copy()

    assert refused.exit_code == 1
    assert "There is no database at" in refused.output
    assert not (tmp_path / "leads.db").exists()


def test_data_that_postgresql_refuses_is_not_shown(
    app: Flask, client: FlaskClient, stored_lead: StoredLead, copy: Callable[..., Result]
) -> None:
    stored_lead()
    with app.app_context(), storage.write() as tx:
        tx.execute(text("UPDATE leads SET company = char(65, 0, 66)"))

    refused = copy()

    assert refused.exit_code == 1
    assert "PostgreSQL refuses the data: " in refused.output
    assert "Doe" not in refused.output
