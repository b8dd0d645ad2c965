"""flask doctor, against each fault that it knows."""

import os
import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson
import pytest
from click.testing import CliRunner
from flask import Flask
from flask.cli import FlaskGroup
from flask.testing import FlaskClient
from sqlalchemy import make_url, text

from conftest import Json, MakeApp, NewLead, StoredLead
from leadapi import create_app, storage
from leadapi.doctor import surroundings
from postgres import Postgres
from redis_server import RedisServer
from servers import free_port

# They change tables and files.
pytestmark = pytest.mark.usefixtures("own_app")

Checks = dict[str, tuple[str, str]]


def examine(app: Flask, *arguments: str) -> Checks:
    """The status and the detail of each check, by its name."""
    result = app.test_cli_runner().invoke(args=["doctor", "--json", *arguments])
    said: Json = orjson.loads(result.stdout)
    assert set(said) == {"ok", "checks"}
    assert all(list(check) == ["name", "status", "detail"] for check in said["checks"])
    checks = {check["name"]: (check["status"], check["detail"]) for check in said["checks"]}
    failed = [status for status, _ in checks.values() if status == "failed"]
    assert said["ok"] == (not failed)
    assert result.exit_code == (1 if failed else 0)
    return checks


def execute(app: Flask, statement: str) -> None:
    with app.app_context(), storage.write() as tx:
        tx.execute(text(statement))


def with_settings(**environ: str) -> FlaskGroup:
    """The `flask` command with these settings."""
    return FlaskGroup(create_app=lambda: create_app(environ), load_dotenv=False, add_version_option=False)


def test_a_service_without_fault_is_ok(app: Flask, backend: str) -> None:
    checks = examine(app)

    assert {status for status, _ in checks.values()} == {"ok"}
    own = "sqlite" if backend == "sqlite" else "connections"
    assert list(checks) == ["settings", "disk", "database", "migrations", own, "clock", "deliveries"]


def test_a_database_in_memory_is_checked_too(make_app: MakeApp) -> None:
    assert examine(make_app(DATABASE_URL="sqlite://"))["database"][0] == "ok"


def test_people_get_a_table(app: Flask) -> None:
    header, *lines = app.test_cli_runner().invoke(args=["doctor"]).stdout.splitlines()

    assert header.split() == ["CHECK", "STATUS", "DETAIL"]
    assert re.fullmatch(r"settings +ok +All settings are valid\.", lines[0])


def test_all_faults_of_the_settings_are_told() -> None:
    said = CliRunner().invoke(with_settings(PORT="x", AUTH="maybe"), ["doctor", "--json"])

    assert said.exit_code == 1
    assert orjson.loads(said.stdout) == {
        "ok": False,
        "checks": [
            {
                "name": "settings",
                "status": "failed",
                "detail": "PORT must be a whole number from 1 to 65535. AUTH must be on or off.",
            }
        ],
    }


@pytest.mark.parametrize("arguments", [["keys", "list"], ["routes"], ["run"]])
def test_other_commands_still_tell_why_they_cannot_run(arguments: list[str]) -> None:
    said = CliRunner().invoke(with_settings(PORT="x"), arguments)

    assert said.exit_code == 1
    assert "Error: The settings are not usable.\nPORT must be a whole number" in said.output


def test_the_help_tells_it_too() -> None:
    said = CliRunner().invoke(with_settings(PORT="x"), ["--help"])

    assert "PORT must be a whole number" in said.stderr
    assert "doctor" in said.stdout


def test_probable_mistakes_are_warnings(make_app: MakeApp, database_url: str) -> None:
    checks = examine(make_app(DATABASE_URL=database_url, ENV="production", AUTH="off"))

    assert checks["settings"][0] == "warning"
    assert "AUTH=off with ENV=production" in checks["settings"][1]
    # Each of two workers counts on its own.
    assert checks["rate_limits"][0] == "warning"


@pytest.mark.parametrize(("limit", "status"), [("LEAST_BYTES", "failed"), ("LOW_BYTES", "warning")])
def test_a_disk_with_little_space_is_told(app: Flask, monkeypatch: pytest.MonkeyPatch, limit: str, status: str) -> None:
    monkeypatch.setattr(surroundings, limit, 10**18)

    assert examine(app)["disk"][0] == status


def test_redis_is_asked(make_app: MakeApp, database_url: str, redis: RedisServer) -> None:
    app = make_app(DATABASE_URL=database_url, ENV="production", REDIS_URL=redis.url)
    before = examine(app)
    redis.kill()
    after = examine(app)

    assert (before["redis"][0], before["rate_limits"][0]) == ("ok", "ok")
    assert after["redis"][0] == "failed"
    assert "Connection refused" in after["redis"][1]
    assert redis.PASSWORD not in after["redis"][1]


@pytest.mark.parametrize(
    ("name", "age", "status"),
    [
        ("leadapi.dump", timedelta(hours=1), "ok"),
        ("leadapi.dump", timedelta(days=3), "warning"),
        ("leadapi.dump", timedelta(days=9), "failed"),
        # A copy of an old backup.
        ("leadapi-20260101T000000Z.db", timedelta(), "failed"),
    ],
)
def test_an_old_backup_is_told(app: Flask, tmp_path: Path, name: str, age: timedelta, status: str) -> None:
    folder = tmp_path / "backups"
    folder.mkdir()
    file = folder / name
    file.touch()
    changed_at = (datetime.now(UTC) - age).timestamp()
    os.utime(file, (changed_at, changed_at))

    assert examine(app, "--backups", str(folder))["backups"][0] == status


@pytest.mark.parametrize(
    ("make", "fault"),
    [(Path.mkdir, "has no backup"), (Path.touch, "cannot be read"), (lambda _: None, "cannot be read")],
    ids=["empty", "no folder", "missing"],
)
def test_a_missing_backup_is_told(app: Flask, tmp_path: Path, make: Callable[[Path], None], fault: str) -> None:
    make(tmp_path / "backups")

    status, detail = examine(app, "--backups", str(tmp_path / "backups"))["backups"]

    assert status == "failed"
    assert fault in detail


def test_a_postgresql_that_is_down_is_told(make_app: MakeApp) -> None:
    checks = examine(make_app(DATABASE_URL=f"postgresql://leadapi:secret@127.0.0.1:{free_port()}/leadapi"))

    assert list(checks)[-1] == "database"
    assert checks["database"][0] == "failed"
    assert re.match(r"The database does not answer \(.*Connection refused", checks["database"][1])
    assert "secret" not in checks["database"][1]


def test_a_file_that_does_not_exist_is_told_and_not_made(make_app: MakeApp, tmp_path: Path) -> None:
    app = make_app(DATABASE_URL=f"sqlite:///{tmp_path}/leads.db")
    (tmp_path / "leads.db").unlink()

    checks = examine(app)

    assert checks["database"][0] == "warning"
    assert not (tmp_path / "leads.db").exists()


def test_a_file_that_is_no_database_is_told(make_app: MakeApp, tmp_path: Path) -> None:
    app = make_app(DATABASE_URL=f"sqlite:///{tmp_path}/leads.db")
    (tmp_path / "leads.db").write_bytes(b"no database" * 1000)

    assert "The database does not answer (file is not a database)." in examine(app)["database"][1]


@pytest.mark.one_database
@pytest.mark.slow
def test_a_lock_of_another_program_is_told(
    short_waits: None, make_app: MakeApp, database_url: str, tmp_path: Path
) -> None:
    app = make_app(DATABASE_URL=database_url)
    with closing(sqlite3.connect(tmp_path / "leads.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")

        assert "cannot be locked for writing (database is locked)" in examine(app)["database"][1]


def test_a_standby_is_told(make_app: MakeApp, postgres: Postgres) -> None:
    url = postgres.new_database("migrated")
    postgres.execute(
        f"ALTER DATABASE {url.partition('?')[0].rpartition('/')[2]} SET default_transaction_read_only = on"
    )

    assert "can only be read" in examine(make_app(DATABASE_URL=url))["database"][1]


@pytest.mark.parametrize(("auto_migrate", "status"), [("on", "warning"), ("off", "failed")])
def test_a_schema_that_is_not_current_is_told(
    make_app: MakeApp, database_url: str, auto_migrate: str, status: str
) -> None:
    app = make_app(DATABASE_URL=database_url, AUTO_MIGRATE=auto_migrate)
    execute(app, "UPDATE alembic_version SET version_num = '0009'")
    old = examine(app)
    execute(app, "DROP TABLE alembic_version")
    missing = examine(app)

    assert list(old)[-1] == "migrations"
    assert old["migrations"][0] == missing["migrations"][0] == status
    assert "flask db upgrade" in old["migrations"][1]


def test_a_schema_of_a_later_version_is_told(app: Flask) -> None:
    execute(app, "UPDATE alembic_version SET version_num = '9999'")

    assert examine(app)["migrations"][0] == "failed"


def test_a_missing_table_ends_one_check_only(app: Flask) -> None:
    execute(app, "DROP TABLE events")

    checks = examine(app)

    assert checks["clock"][0] == "failed"
    assert "events" in checks["clock"][1]
    assert checks["deliveries"][0] == "ok"


def test_more_connections_than_postgresql_allows_are_told(make_app: MakeApp, postgres: Postgres) -> None:
    url = postgres.new_database("migrated")
    many = examine(make_app(DATABASE_URL=url, WEB_CONCURRENCY="64", THREADS="2"))
    postgres.execute(f"ALTER DATABASE {make_url(url).database} CONNECTION LIMIT 6")
    limited = examine(make_app(DATABASE_URL=url))

    assert many["connections"][0] == limited["connections"][0] == "failed"
    assert "need up to 7 connections, and PostgreSQL allows 6." in limited["connections"][1]


def test_an_event_in_the_future_is_told(app: Flask, stored_lead: StoredLead) -> None:
    stored_lead()
    execute(app, "UPDATE events SET created_at = '2999-02-28 10:00:00Z'")

    assert examine(app)["clock"][0] == "failed"


@pytest.mark.parametrize(("ahead", "status"), [("20 seconds", "warning"), ("1 hour", "failed")])
def test_a_clock_unlike_the_database_s_is_told(make_app: MakeApp, postgres: Postgres, ahead: str, status: str) -> None:
    url = postgres.new_database("migrated")
    app = make_app(DATABASE_URL=url)
    # The database finds this function before its own.
    execute(
        app,
        "CREATE FUNCTION public.clock_timestamp() RETURNS timestamptz LANGUAGE sql"
        f" AS $$ SELECT pg_catalog.clock_timestamp() + interval '{ahead}' $$",
    )
    postgres.execute(f"ALTER DATABASE {make_url(url).database} SET search_path = public, pg_catalog")

    assert examine(make_app(DATABASE_URL=url))["clock"][0] == status


def test_mail_without_its_settings_is_told(make_app: MakeApp, database_url: str) -> None:
    smtp = {"SMTP_URL": "smtp://127.0.0.1:9", "MAIL_FROM": "zebedee@example.com"}
    app = make_app(DATABASE_URL=database_url, **smtp)
    made = app.test_client().post("/destinations", json={"kind": "email", "url": "mailto:zebedee@example.com"})
    assert made.status_code == 201

    assert examine(app)["mail"][0] == "ok"
    assert "SMTP_URL" in examine(make_app(DATABASE_URL=database_url))["mail"][1]
    assert "MAIL_FROM" in examine(make_app(DATABASE_URL=database_url, SMTP_URL=smtp["SMTP_URL"]))["mail"][1]


@pytest.fixture
def due(app: Flask, client: FlaskClient, new_lead: NewLead) -> Flask:
    """An app with a delivery that is due."""
    hook = {"kind": "webhook", "url": "https://www.example.com/hook"}
    assert client.post("/destinations", json=hook).status_code == 201
    assert client.post("/leads", json=new_lead()).status_code == 201
    return app


@pytest.mark.parametrize(
    ("delivery", "remedy"), [("embedded", "Start the service"), ("external", "Start `flask deliver`")]
)
def test_deliveries_that_nobody_takes_are_told(
    due: Flask, make_app: MakeApp, database_url: str, delivery: str, remedy: str
) -> None:
    app = make_app(DATABASE_URL=database_url, DELIVERY=delivery)
    new = examine(app)["deliveries"]
    execute(app, "UPDATE deliveries SET due_at = '2026-02-28 10:00:00Z'")
    old = examine(app)["deliveries"]
    execute(app, "UPDATE destinations SET enabled = false")
    disabled = examine(app)["deliveries"]

    assert new == ("ok", "1 deliveries are due or wait for another attempt.")
    assert old[0] == "failed"
    assert remedy in old[1]
    assert disabled[0] == "ok"


def test_a_dispatcher_that_is_busy_is_not_told(due: Flask) -> None:
    execute(due, "UPDATE deliveries SET due_at = '2026-02-28 10:00:00Z', last_attempt_at = CURRENT_TIMESTAMP")

    assert examine(due)["deliveries"][0] == "ok"
