"""flask db, and what migrations keep."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import alembic.command
import pytest
from sqlalchemy import text

from conftest import MakeApp, body
from leadapi import create_app
from leadapi.storage import db, schema
from servers import ROOT

OLD_LEAD = """
    INSERT INTO leads (full_name, email, email_key, created_at)
    VALUES ('Zebedee Dee', 'z@example.com', 'z@example.com', '2026-02-28 10:00:00')
"""


def test_upgrade_makes_the_schema_and_says_so(make_app: MakeApp, empty_database_url: str) -> None:
    commands = make_app(DATABASE_URL=empty_database_url, AUTO_MIGRATE="off").test_cli_runner()

    before = commands.invoke(args=["db", "current"])
    first = commands.invoke(args=["db", "upgrade"])
    second = commands.invoke(args=["db", "upgrade"])
    after = commands.invoke(args=["db", "current"])

    assert before.stdout.splitlines()[-1] == "None"
    assert first.stdout.splitlines()[-1].startswith("Migrated from None to ")
    assert second.stdout.splitlines()[-1].startswith("The schema is at ")
    assert after.stdout.splitlines()[-1].endswith(" (newest)")


def test_check_fails_until_the_schema_is_current(make_app: MakeApp, empty_database_url: str) -> None:
    commands = make_app(DATABASE_URL=empty_database_url, AUTO_MIGRATE="off").test_cli_runner()

    refused = commands.invoke(args=["db", "check"])
    commands.invoke(args=["db", "upgrade"])
    accepted = commands.invoke(args=["db", "check"])

    assert refused.exit_code == 1
    assert "flask db upgrade" in refused.output
    assert accepted.exit_code == 0, accepted.output


def test_a_command_that_only_looks_changes_nothing(tmp_path: Path) -> None:
    def flask(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "flask", "--app", str(ROOT / "wsgi.py"), *arguments]
        environ = {"PATH": os.environ["PATH"], "DATABASE_URL": f"sqlite:///{tmp_path}/leads.db"}
        return subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False)

    assert "keys" in flask("--help").stdout
    assert not (tmp_path / "leads.db").exists()
    assert flask("db", "current").stdout == "None\n"
    assert flask("db", "check").returncode == 1
    # These work with the schema, so they may make it, as the service itself does.
    assert flask("keys", "list").returncode == 0
    assert flask("db", "check").returncode == 0


def test_check_fails_when_the_models_ask_for_more(make_app: MakeApp, database_url: str) -> None:
    app = make_app(DATABASE_URL=database_url)
    with app.app_context(), db.engine.connect() as connection:
        connection.execute(text("DROP TABLE leads"))
        connection.commit()

    refused = app.test_cli_runner().invoke(args=["db", "check"])

    assert refused.exit_code == 1
    assert "add_table" in refused.output


def test_a_database_that_does_not_answer_is_told_in_a_sentence(make_app: MakeApp) -> None:
    commands = make_app(DATABASE_URL="postgresql://127.0.0.1:1/nowhere").test_cli_runner()

    refused = commands.invoke(args=["db", "upgrade"])

    assert refused.exit_code == 1
    assert "Error: The database cannot answer: connection failed" in refused.output


def test_many_may_migrate_at_once(empty_database_url: str) -> None:
    failures = []

    def start() -> None:
        try:
            create_app({"DATABASE_URL": empty_database_url, "AUTO_MIGRATE": "on"})
        except Exception as exc:  # noqa: BLE001  # the test reports whatever it was
            failures.append(exc)

    threads = [threading.Thread(target=start) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []
    with create_app({"DATABASE_URL": empty_database_url, "AUTO_MIGRATE": "off"}).app_context():
        assert schema.current() == schema.newest()
        db.session.remove()
        db.engine.dispose()


def test_every_migration_keeps_the_leads_there_are(make_app: MakeApp, empty_database_url: str) -> None:
    app = make_app(DATABASE_URL=empty_database_url, AUTO_MIGRATE="off")
    with app.app_context():
        with schema.exclusive_transaction() as connection:
            alembic.command.upgrade(schema.alembic_config(connection), "0001")
            connection.execute(text(OLD_LEAD))
        schema.upgrade()

    (lead,) = body(app.test_client().get("/leads"))["items"]
    assert (lead["id"], lead["full_name"], lead["created_at"]) == (1, "Zebedee Dee", "2026-02-28T10:00:00Z")
    assert (lead["status"], lead["attributes"], lead["updated_at"]) == ("new", {}, lead["created_at"])
    (event,) = body(app.test_client().get("/leads/1/events"))["items"]
    assert (event["type"], event["time"], event["data"]) == ("lead.created", lead["created_at"], lead)


def test_a_migration_that_fails_changes_nothing(make_app: MakeApp, empty_database_url: str) -> None:
    app = make_app(DATABASE_URL=empty_database_url, AUTO_MIGRATE="off")

    def migrate_and_fail() -> None:
        with schema.exclusive_transaction() as connection:
            alembic.command.upgrade(schema.alembic_config(connection), "head")
            raise LookupError

    with app.app_context():
        with pytest.raises(LookupError):
            migrate_and_fail()

        assert schema.current() is None


def test_a_migration_that_breaks_references_is_undone(make_app: MakeApp) -> None:
    app = make_app(DATABASE_URL="sqlite://")

    def migrate_and_break() -> None:
        with schema.exclusive_transaction() as connection:
            connection.execute(text("CREATE TABLE child (lead_id INTEGER REFERENCES leads (id))"))
            connection.execute(text("INSERT INTO child VALUES (17)"))

    with app.app_context():
        with pytest.raises(RuntimeError, match="1 references"):
            migrate_and_break()

        assert db.session.execute(text("PRAGMA foreign_keys")).scalar() == 1
        assert db.session.execute(text("SELECT name FROM sqlite_master WHERE name = 'child'")).all() == []


def test_a_migration_may_take_longer_than_a_request_and_leaves_the_connection_as_it_was(
    make_app: MakeApp, database_url: str
) -> None:
    app = make_app(DATABASE_URL=database_url, THREADS="1")
    sqlite = database_url.startswith("sqlite")
    asked = ["PRAGMA foreign_keys"] if sqlite else ["SHOW statement_timeout", "SHOW lock_timeout"]

    with app.app_context():
        with schema.exclusive_transaction() as connection:
            meanwhile = [connection.scalar(text(statement)) for statement in asked]
        afterwards = [db.session.scalar(text(statement)) for statement in asked]

    assert meanwhile == ([0] if sqlite else ["0", "0"])
    assert afterwards == ([1] if sqlite else ["5s", "4s"])
