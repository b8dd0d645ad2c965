"""flask db restore."""

import sqlite3
from contextlib import closing
from pathlib import Path

import alembic.command
import pytest
from backups.conftest import BackUp, ids, restored
from flask import Flask
from flask.testing import FlaskClient

from conftest import MARKER, MakeApp, NewLead, Serve, StoredLead, body
from leadapi import storage
from leadapi.backups import service
from leadapi.storage import erased, schema

pytestmark = pytest.mark.parametrize("backend", ["sqlite"])


def test_everything_is_as_it_was_at_the_backup(
    app: Flask, client: FlaskClient, stored_lead: StoredLead, backup: BackUp
) -> None:
    lead = stored_lead()
    events = body(client.get("/leads/1/events"))
    file = backup()
    stored_lead()
    client.patch("/leads/1", json={"status": "lost"})

    result = restored(app, file, "--yes")

    assert (result.exit_code, result.stdout) == (0, "Restored 1 leads. 0 were erased again.\n")
    assert body(client.get("/leads")) == {"total": 1, "items": [lead]}
    assert body(client.get("/leads/1/events")) == events
    assert file.exists()


def test_it_asks_first(app: Flask, client: FlaskClient, stored_lead: StoredLead, backup: BackUp) -> None:
    file = backup()
    stored_lead()

    refused = restored(app, file, answer="n\n")
    before = ids(client)
    accepted = restored(app, file, answer="y\n")

    assert (refused.exit_code, before) == (1, [1])
    assert (accepted.exit_code, ids(client)) == (0, [])


def test_people_who_were_erased_since_are_erased_again(
    client: FlaskClient, new_lead: NewLead, stored_lead: StoredLead, backup: BackUp, path: Path
) -> None:
    for lead in [stored_lead() for _ in range(3)][:2]:
        client.post("/leads", json=new_lead(email=lead["email"], message="caught", _gotcha="x"))
    file = backup()
    client.delete("/leads/1")
    client.delete("/leads/2")
    stored_lead()
    client.delete("/leads/4")

    result = restored(client.application, file, "--yes")

    assert "Restored 1 leads. 2 were erased again." in result.output
    assert ids(client) == [3]
    assert [event["type"] for event in body(client.get("/leads/1/events"))["items"]] == ["lead.erased"]
    assert not any(b"caught" in each.read_bytes() for each in path.parent.glob("leads.db*"))
    assert MARKER.encode() not in erased.list_beside(path).read_bytes().lower()


def test_an_erasure_that_was_not_committed_is_not_made_up_for(
    app: Flask, client: FlaskClient, stored_lead: StoredLead, backup: BackUp
) -> None:
    stored_lead()
    stored_lead()
    file = backup()
    with app.app_context(), storage.write() as tx:
        storage.note_erased(tx, [1, 2])
        tx.rollback()
    client.delete("/leads/2")

    restored(app, file, "--yes")

    assert ids(client) == [1]


def test_a_line_that_a_crash_cut_off_is_nobody(
    app: Flask, client: FlaskClient, stored_lead: StoredLead, backup: BackUp, path: Path
) -> None:
    for _ in range(12):
        stored_lead()
    file = backup()
    # The beginning of 12.
    erased.list_beside(path).write_bytes(b"3\n1")
    client.delete("/leads/2")
    path.write_bytes(b"")
    for suffix in ("-wal", "-shm"):
        Path(f"{path}{suffix}").unlink()

    restored(app, file, "--yes")

    assert ids(client) == [1, *range(4, 13)]


def test_ids_go_on_where_they_were(app: Flask, client: FlaskClient, stored_lead: StoredLead, backup: BackUp) -> None:
    stored_lead()
    file = backup()
    stored_lead()
    client.delete("/leads/2")

    restored(app, file, "--yes")

    assert stored_lead()["id"] == 3
    # The events 1 to 3 were those of two leads and an erasure.
    assert body(client.get("/leads/3/events"))["items"][0]["id"] == 4
    restored(app, file, "--yes")
    assert ids(client) == [1]


@pytest.mark.parametrize("damage", ["gone", "not a database", "half"])
def test_a_database_that_is_lost_is_replaced(
    client: FlaskClient,
    stored_lead: StoredLead,
    backup: BackUp,
    path: Path,
    damage: str,
) -> None:
    for _ in range(50):
        stored_lead(message="m" * 1900)
    client.delete("/leads/7")
    file = backup()
    client.delete("/leads/8")
    with client.application.app_context():
        storage.db.engine.dispose()
    content = path.read_bytes()
    path.unlink()
    if damage != "gone":
        path.write_bytes(b"x" * 50_000 if damage == "not a database" else content[: len(content) // 2])

    result = restored(client.application, file, "--yes")

    assert result.exit_code == 0, result.output
    assert ids(client) == [*range(1, 7), *range(9, 51)]
    assert path.with_name("leads.db.damaged").exists() == (damage != "gone")
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_backup_of_an_earlier_version_is_migrated(make_app: MakeApp, tmp_path: Path, database_url: str) -> None:
    old = make_app(DATABASE_URL=f"sqlite:///{tmp_path}/old.db", AUTO_MIGRATE="off")
    with old.app_context():
        with schema.exclusive_transaction() as tx:
            alembic.command.upgrade(schema.alembic_config(tx), "0004")
            tx.exec_driver_sql(
                "INSERT INTO leads (full_name, email, email_key, created_at)"
                " VALUES ('Zebedee Dee', 'z@example.com', 'z@example.com', '2026-02-28 10:00:00')"
            )
        storage.db.engine.dispose()
    app = make_app(DATABASE_URL=database_url, AUTO_MIGRATE="off")

    result = restored(app, tmp_path / "old.db", "--yes")

    assert result.exit_code == 0, result.output
    assert app.test_cli_runner().invoke(args=["db", "check"]).exit_code == 0
    assert body(app.test_client().get("/leads"))["items"][0]["email"] == "z@example.com"


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        (None, "cannot be read"),
        ("DROP TABLE alembic_version", "is not a database of leadapi"),
        ("UPDATE alembic_version SET version_num = '9999'", "later version"),
    ],
)
def test_another_file_is_refused_and_nothing_changes(
    client: FlaskClient,
    stored_lead: StoredLead,
    backup: BackUp,
    statement: str | None,
    reason: str,
) -> None:
    stored_lead()
    file = backup()
    stored_lead()
    if statement is None:
        file.write_bytes(b"x" * 5000)
    else:
        with closing(sqlite3.connect(file)) as connection, connection:
            connection.execute(statement)

    result = restored(client.application, file, "--yes")

    assert (result.exit_code, len(result.output.splitlines())) == (1, 1), result.output
    assert reason in result.output
    assert ids(client) == [1, 2]


def test_a_damaged_backup_is_refused(app: Flask, client: FlaskClient, stored_lead: StoredLead, backup: BackUp) -> None:
    stored_lead()
    file = backup()
    with closing(sqlite3.connect(file)) as connection:
        [page] = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'leads'").fetchone()
    with file.open("r+b") as raw:
        raw.seek((page - 1) * 4096)
        raw.write(b"x" * 4096)

    result = restored(app, file, "--yes")

    assert (result.exit_code, len(result.output.splitlines())) == (1, 1), result.output
    assert f"{file} is damaged" in result.output
    assert ids(client) == [1]


def test_the_database_itself_is_no_backup(app: Flask, path: Path, client: FlaskClient, stored_lead: StoredLead) -> None:
    stored_lead()

    result = restored(app, path, "--yes")

    assert result.exit_code == 1
    assert "is the database itself" in result.output
    assert ids(client) == [1]


def test_it_is_refused_while_the_service_runs(
    serve: Serve, app: Flask, database_url: str, new_lead: NewLead, backup: BackUp
) -> None:
    file = backup()
    server = serve(DATABASE_URL=database_url)
    assert server.post("/leads", json=new_lead()).status == 201

    result = restored(app, file, "--yes")
    after = server.post("/leads", json=new_lead()).status, server.total()
    server.stop()

    assert (result.exit_code, len(result.output.splitlines())) == (1, 1)
    assert "Stop the service" in result.output
    assert after == (201, 2)
    assert restored(app, file, "--yes").exit_code == 0


def test_nobody_can_open_the_database_meanwhile(
    app: Flask, stored_lead: StoredLead, backup: BackUp, path: Path
) -> None:
    stored_lead()
    file = backup()
    refusals = []

    def open_it(_position: int, _size: int) -> None:
        with closing(sqlite3.connect(path, timeout=0)) as other, pytest.raises(sqlite3.OperationalError) as refused:
            other.execute("SELECT count(*) FROM leads")
        refusals.append(str(refused.value))

    with app.app_context():
        service.restore(file, progress=open_it)

    assert set(refusals) == {"database is locked"}
