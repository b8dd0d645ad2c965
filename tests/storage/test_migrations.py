"""The command flask db, and the migrations it runs."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import alembic.command
import pytest
from flask import Flask
from sqlalchemy import Connection, event, text

from conftest import MakeApp, body
from leadapi import create_app, storage
from leadapi.migrations import count_triggers, delivery_triggers
from leadapi.storage import db, schema
from leadapi.storage.engines import leave_autocommit
from servers import ROOT

# They change tables and files.
pytestmark = pytest.mark.usefixtures("own_app")

OLD_LEAD = """
    INSERT INTO leads (full_name, email, email_key, created_at)
    VALUES ('Zebedee Dee', 'z@example.com', 'z@example.com', '2026-02-28 10:00:00')
"""
# The triggers and functions that migrations 0002 and 0005 once created, without their bodies.
OLD_TRIGGERS = {
    "sqlite": [
        "CREATE TRIGGER count_new_lead AFTER INSERT ON leads BEGIN SELECT 1; END",
        "CREATE TRIGGER count_deleted_lead AFTER DELETE ON leads BEGIN SELECT 1; END",
        "CREATE TRIGGER count_moved_lead AFTER UPDATE OF source ON leads BEGIN SELECT 1; END",
    ],
    "postgresql": [
        "CREATE FUNCTION settled_lead_id() RETURNS bigint LANGUAGE sql AS 'SELECT 1::bigint'",
        "CREATE FUNCTION add_to_lead_count(what text, more bigint) RETURNS void LANGUAGE sql AS ''",
        "CREATE FUNCTION take_from_lead_count(what text, less bigint) RETURNS void LANGUAGE sql AS ''",
        *(
            f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'"
            for name in ("announce_new_leads", "count_leads", "count_moved_lead", "count_no_leads")
        ),
        *(
            f"CREATE TRIGGER {name} {event} ON leads FOR EACH STATEMENT EXECUTE FUNCTION {function}()"
            for name, event, function in (
                ("announce_new_leads", "BEFORE INSERT", "announce_new_leads"),
                ("count_new_leads", "AFTER INSERT", "count_leads"),
                ("count_deleted_leads", "AFTER DELETE", "count_leads"),
                ("count_moved_lead", "AFTER UPDATE", "count_moved_lead"),
                ("count_no_leads", "AFTER TRUNCATE", "count_no_leads"),
            )
        ),
    ],
}
DEFINITIONS = {
    "sqlite": "SELECT sql FROM sqlite_master WHERE type = 'trigger' ORDER BY sql",
    "postgresql": """
        SELECT pg_get_functiondef(oid) AS sql FROM pg_proc WHERE pronamespace = 'public'::regnamespace
        UNION ALL SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal
        ORDER BY sql
    """,
}


def definitions(connection: Connection) -> list[str]:
    """The SQL of every trigger and function in the database."""
    return list(connection.scalars(text(DEFINITIONS[connection.dialect.name])))


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


def test_an_upgrade_that_is_interrupted_goes_on(make_app: MakeApp, empty_database_url: str) -> None:
    app = make_app(DATABASE_URL=empty_database_url, AUTO_MIGRATE="off")

    def interrupt(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if statement.lstrip().startswith("CREATE TABLE"):
            event.remove(db.engine, "before_cursor_execute", interrupt)
            signal.raise_signal(signal.SIGINT)

    with app.app_context():
        event.listen(db.engine, "before_cursor_execute", interrupt)
        first = app.test_cli_runner().invoke(args=["db", "upgrade"])
    second = app.test_cli_runner().invoke(args=["db", "upgrade"])

    assert (first.exit_code, second.exit_code) == (130, 0), first.output
    assert "Interrupted. Run the command again." in first.output


def test_check_fails_until_the_schema_is_current(make_app: MakeApp, empty_database_url: str) -> None:
    commands = make_app(DATABASE_URL=empty_database_url, AUTO_MIGRATE="off").test_cli_runner()

    refused = commands.invoke(args=["db", "check"])
    commands.invoke(args=["db", "upgrade"])
    accepted = commands.invoke(args=["db", "check"])

    assert refused.exit_code == 1
    assert "flask db upgrade" in refused.output
    assert accepted.exit_code == 0, accepted.output


@pytest.mark.slow
def test_a_command_that_only_looks_changes_nothing(tmp_path: Path) -> None:
    def flask(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "flask", "--app", str(ROOT / "wsgi.py"), *arguments]
        environ = {"PATH": os.environ["PATH"], "DATABASE_URL": f"sqlite:///{tmp_path}/leads.db"}
        return subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False)

    assert "keys" in flask("--help").stdout
    assert not (tmp_path / "leads.db").exists()
    assert flask("db", "current").stdout == "None\n"
    assert flask("db", "check").returncode == 1
    # Commands that use the schema may create it, as the service does.
    assert flask("keys", "list").returncode == 0
    assert flask("db", "check").returncode == 0


def test_check_fails_when_the_models_ask_for_more(make_app: MakeApp, database_url: str) -> None:
    app = make_app(DATABASE_URL=database_url)
    with app.app_context(), db.engine.connect() as connection:
        connection.execute(text("DROP TABLE imports"))
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
    # Not in the threads: on Python 3.11, ast, by which Werkzeug compiles routes, is not safe there.
    apps = [create_app({"DATABASE_URL": empty_database_url, "AUTO_MIGRATE": "off"}) for _ in range(3)]

    def start(app: Flask) -> None:
        app.config["AUTO_MIGRATE"] = True
        try:
            with app.app_context():
                schema.require_current()
        except Exception as exc:  # noqa: BLE001  # the assertion below shows it
            failures.append(exc)

    threads = [threading.Thread(target=start, args=[app]) for app in apps]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []
    for app in apps:
        with app.app_context():
            assert schema.current() == schema.newest()
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


def test_the_leads_of_an_earlier_version_are_found(make_app: MakeApp, empty_database_url: str, backend: str) -> None:
    """There are more than the migration reads at once."""
    app = make_app(DATABASE_URL=empty_database_url, AUTO_MIGRATE="off")
    zone = "timestamptz" if backend == "postgresql" else ""
    number = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2500)"
    insert = f"""
        INSERT INTO leads (full_name, email, email_key, message, attributes, created_at)
        {number} SELECT 'Zoë ' || i, 'z', i || '', CASE WHEN i % 2 = 0 THEN '100% Straße' END,
        '{{"town": "Köln_' || i || '"}}', {zone} '2026-02-28 10:00:00' FROM n
    """
    with app.app_context():
        with schema.exclusive_transaction() as connection:
            alembic.command.upgrade(schema.alembic_config(connection), "0010")
            connection.exec_driver_sql(insert.replace("%", "%%") if backend == "postgresql" else insert)
        schema.upgrade()

    client = app.test_client()
    totals = [body(client.get("/leads", query_string={"q": q}))["total"] for q in ("zoe", "STRASSE 100%", "koln_2500")]
    assert totals == [2500, 1250, 1]


@pytest.mark.parametrize("old", [False, True])
def test_the_triggers_of_a_migrated_database_are_those_of_their_file(
    make_app: MakeApp, empty_database_url: str, backend: str, old: bool
) -> None:
    app = make_app(DATABASE_URL=empty_database_url, AUTO_MIGRATE="off")
    with app.app_context():
        with db.engine.connect() as connection:
            leave_autocommit(connection)
            if connection.dialect.name == "sqlite":
                connection.exec_driver_sql("BEGIN")
            db.metadata.create_all(connection)
            # Migrations may call these any number of times.
            for triggers in (count_triggers, delivery_triggers, count_triggers, delivery_triggers):
                triggers.create(connection)
            expected = definitions(connection)
            connection.rollback()
        if old:
            with schema.exclusive_transaction() as connection:
                alembic.command.upgrade(schema.alembic_config(connection), "0008")
                for statement in OLD_TRIGGERS[backend]:
                    connection.exec_driver_sql(statement)
        schema.upgrade()

        with db.engine.connect() as connection:
            assert definitions(connection) == expected
        assert expected


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

        with storage.read() as connection:
            assert connection.execute(text("PRAGMA foreign_keys")).scalar() == 1
            assert connection.execute(text("SELECT name FROM sqlite_master WHERE name = 'child'")).all() == []


def test_a_migration_may_take_longer_than_a_request_and_leaves_the_connection_as_it_was(
    make_app: MakeApp, database_url: str
) -> None:
    app = make_app(DATABASE_URL=database_url, THREADS="1")
    sqlite = database_url.startswith("sqlite")
    asked = ["PRAGMA foreign_keys"] if sqlite else ["SHOW statement_timeout", "SHOW lock_timeout"]

    with app.app_context():
        with schema.exclusive_transaction() as connection:
            meanwhile = [connection.scalar(text(statement)) for statement in asked]
        with storage.read() as connection:
            afterwards = [connection.scalar(text(statement)) for statement in asked]

    assert meanwhile == ([0] if sqlite else ["0", "0"])
    assert afterwards == ([1] if sqlite else ["5s", "4s"])
