"""flask db scrub."""

import sqlite3
import threading
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import Connection, event, make_url, text

from conftest import MARKER, NewLead, StoredLead, body
from leadapi.storage import db

MERGE = {"Prefer": "resolution=merge-duplicates"}


def holding(database_url: str, word: str) -> list[str]:
    """The database's files that have a word in them."""
    path = Path(str(make_url(database_url).database))
    files = sorted(path.parent.glob(f"{path.name}*"))
    return [file.name for file in files if word.encode() in file.read_bytes()]


def delete_carelessly(database_url: str, number: int) -> None:
    """Delete leads up to an id, and leave their rows in unused space of the file."""
    connection = sqlite3.connect(str(make_url(database_url).database), isolation_level=None)
    connection.execute("PRAGMA secure_delete = OFF")
    connection.execute("DELETE FROM events WHERE lead_id <= ?", [number])
    connection.execute("DELETE FROM lead_search WHERE lead_id <= ?", [number])
    connection.execute("DELETE FROM leads WHERE id <= ?", [number])
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


@pytest.mark.parametrize("backend", ["sqlite"])
def test_nothing_that_was_deleted_is_left_in_any_file(
    app: Flask, client: FlaskClient, database_url: str, stored_lead: StoredLead
) -> None:
    for number in range(50):
        stored_lead(message=f"gone {number} " + "z" * 500)
    kept = stored_lead(message="kept")
    delete_carelessly(database_url, 50)
    assert holding(database_url, "gone ") == ["leads.db"]

    result = app.test_cli_runner().invoke(args=["db", "scrub"])

    assert (result.exit_code, result.output) == (
        0,
        "The database file is rewritten. Nothing that was erased is left in it.\n",
    )
    assert holding(database_url, "gone ") == []
    assert holding(database_url, "kept") == ["leads.db"]
    assert body(client.get("/leads")) == {"total": 1, "items": [kept]}


@pytest.mark.parametrize("backend", ["sqlite"])
def test_people_erased_among_leads_that_grow_are_gone(
    app: Flask, client: FlaskClient, database_url: str, new_lead: NewLead
) -> None:
    """Leads that grow move others between pages, which leaves copies in unused space that no erasure reaches."""
    plain = {"full_name": "Another", "company": None, "source": None}
    people = [plain | {"email": f"person.{n}@example.com", "message": f"{MARKER} {n}"} for n in range(100)]
    others = [plain | {"email": f"other.{n}@example.com", "message": "y" * (n % 300)} for n in range(300)]
    leads = [lead for n in range(100) for lead in (people[n], *others[3 * n : 3 * n + 3])]
    client.post("/leads/batch", json={"items": leads})
    growing = [lead | {"message": f"{lead['message']} {'y' * 1500}"} for lead in people[::2] + others[::6]]
    answer = client.post("/leads/batch", json={"items": growing}, headers=MERGE)
    assert {item["status"] for item in body(answer)["items"]} == {200}
    with app.app_context():
        ids = list(db.session.scalars(text("SELECT id FROM leads WHERE email LIKE 'person%'")))
        db.session.rollback()
    for lead_id in ids:
        assert client.delete(f"/leads/{lead_id}").status_code == 204

    result = app.test_cli_runner().invoke(args=["db", "scrub"])

    assert result.exit_code == 0
    assert holding(database_url, MARKER) == []
    assert holding(database_url, "person.") == []
    assert body(client.get("/leads"))["total"] == 300


@pytest.mark.parametrize("backend", ["sqlite"])
def test_captures_wait_for_it_and_none_is_lost(app: Flask, new_lead: NewLead) -> None:
    statuses: list[int] = []
    scrubbed = threading.Event()

    def capture() -> None:
        client = app.test_client()
        while not scrubbed.is_set():
            statuses.append(client.post("/leads", json=new_lead(message="m" * 1900)).status_code)

    writers = [threading.Thread(target=capture) for _ in range(2)]
    for writer in writers:
        writer.start()
    results = [app.test_cli_runner().invoke(args=["db", "scrub"]).exit_code for _ in range(5)]
    scrubbed.set()
    for writer in writers:
        writer.join()

    assert results == [0] * 5
    assert set(statuses) == {201}
    assert body(app.test_client().get("/leads"))["total"] == len(statuses)


@pytest.mark.parametrize("backend", ["sqlite"])
def test_a_reader_of_the_old_content_is_told(app: Flask, stored_lead: StoredLead, database_url: str) -> None:
    stored_lead(message="gone")
    with app.app_context(), db.engine.connect() as reader:
        reader.exec_driver_sql("BEGIN")
        assert reader.execute(text("SELECT count(*) FROM leads")).scalar_one() == 1
        app.test_client().delete("/leads/1")

        early = app.test_cli_runner().invoke(args=["db", "scrub"])
        reader.exec_driver_sql("ROLLBACK")
    late = app.test_cli_runner().invoke(args=["db", "scrub"])

    assert early.exit_code == 1
    assert "Run the command again" in early.output
    assert late.exit_code == 0
    assert holding(database_url, "gone") == []


@pytest.mark.parametrize("backend", ["sqlite"])
def test_an_interruption_is_told(app: Flask) -> None:
    def interrupt(connection: Connection, _cursor: object, statement: str, *_: object) -> None:
        driver: Any = connection.connection.driver_connection
        # While SQLite runs the statement.
        driver.set_trace_callback((lambda _: driver.interrupt()) if statement == "VACUUM" else None)

    with app.app_context():
        event.listen(db.engine, "before_cursor_execute", interrupt)
    result = app.test_cli_runner().invoke(args=["db", "scrub"])

    assert result.exit_code == 130
    assert "Interrupted. The file is as it was before. Run the command again." in result.output


@pytest.mark.parametrize("backend", ["sqlite"])
def test_ctrl_c_during_the_statement_is_told(own_app: None, app: Flask) -> None:
    def interrupt(_cursor: object, statement: str, *_: object) -> None:
        if statement == "VACUUM":
            raise KeyboardInterrupt

    with app.app_context():
        event.listen(db.engine, "do_execute", interrupt)
    result = app.test_cli_runner().invoke(args=["db", "scrub"])

    assert result.exit_code == 130
    assert "Interrupted. The file is as it was before. Run the command again." in result.output


@pytest.mark.parametrize("backend", ["postgresql"])
def test_on_postgresql_it_says_what_to_do(app: Flask) -> None:
    result = app.test_cli_runner().invoke(args=["db", "scrub"])

    assert result.exit_code == 1
    statement = result.output.partition(": ")[2].partition("with: ")[2].partition(";")[0]
    with app.app_context(), db.engine.connect() as connection:
        connection.exec_driver_sql(statement)
    assert statement.startswith("VACUUM (FULL) ")
    assert "leads" in statement
