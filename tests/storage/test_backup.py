"""flask db backup."""

import os
import re
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import Result
from flask import Flask

from conftest import MakeApp, NewLead, StoredLead
from leadapi import storage
from leadapi.storage import backup
from servers import ROOT

NAME = re.compile(r"leadapi-\d{8}T\d{6}Z\.db")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where backups go."""
    return tmp_path / "backups"


def back_up(app: Flask, folder: Path, *options: str) -> Result:
    return app.test_cli_runner().invoke(args=["db", "backup", str(folder), *options])


def emails(path: Path) -> set[str]:
    """The addresses of the leads in a database."""
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return {email for (email,) in connection.execute("SELECT email FROM leads")}


@pytest.mark.parametrize("backend", ["sqlite"])
def test_a_backup_is_a_complete_file_for_its_owner_only(app: Flask, stored_lead: StoredLead, folder: Path) -> None:
    lead = stored_lead()
    umask = os.umask(0)

    result = back_up(app, folder)
    os.umask(umask)

    [written] = folder.iterdir()
    assert (result.exit_code, result.output) == (0, f"Wrote {written}.\n")
    assert NAME.fullmatch(written.name)
    assert stat.S_IMODE(written.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert emails(written) == {lead["email"]}


@pytest.mark.parametrize("backend", ["sqlite"])
def test_it_has_every_lead_that_was_acknowledged_before(app: Flask, new_lead: NewLead, folder: Path) -> None:
    acknowledged: list[str] = []
    some, is_done = threading.Event(), threading.Event()

    def capture() -> None:
        client = app.test_client()
        while not is_done.is_set():
            answer = client.post("/leads", json=new_lead(message="m" * 1900))
            assert answer.status_code == 201
            acknowledged.append(answer.json["email"] if answer.json else "")
            if len(acknowledged) > 100:
                some.set()

    writers = [threading.Thread(target=capture) for _ in range(2)]
    for writer in writers:
        writer.start()
    some.wait(30)
    before = set(acknowledged)
    result = back_up(app, folder)
    is_done.set()
    for writer in writers:
        writer.join()

    assert result.exit_code == 0
    assert before <= emails(next(folder.iterdir())) <= set(acknowledged)


@pytest.mark.parametrize("backend", ["sqlite"])
def test_older_ones_are_deleted_beyond_the_number_to_keep(app: Flask, folder: Path) -> None:
    folder.mkdir()
    others = ["notes.txt", "leadapi-20260101T000000Z.db.gz", "my-leadapi-20260101T000000Z.db"]
    old = [f"leadapi-2026010{day}T000000Z.db" for day in range(1, 5)]
    for name in [*others, *old]:
        (folder / name).touch()

    back_up(app, folder)
    kept_without = {file.name for file in folder.iterdir()} & set(old)
    back_up(app, folder, "--keep", "3")

    names = {file.name for file in folder.iterdir()}
    assert kept_without == set(old)
    assert set(others) <= names
    assert sum(NAME.fullmatch(name) is not None for name in names) == 3
    assert old[0] not in names


@pytest.mark.parametrize("backend", ["sqlite"])
def test_the_new_one_is_kept_although_the_clock_was_set_back(app: Flask, folder: Path) -> None:
    folder.mkdir()
    (folder / "leadapi-29990101T000000Z.db").touch()

    result = back_up(app, folder, "--keep", "1")

    [left] = folder.iterdir()
    assert str(left) in result.output


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["sqlite"])
def test_a_full_disk_leaves_no_half_file(app: Flask, stored_lead: StoredLead, folder: Path, database_url: str) -> None:
    for _ in range(50):
        stored_lead(message="m" * 1900)
    command = [sys.executable, "-m", "flask", "--app", str(ROOT / "wsgi.py"), "db", "backup", str(folder)]

    # A file of more than 100 blocks cannot be written, as on a disk that is full.
    result = subprocess.run(
        ["bash", "-c", 'ulimit -f 100 && exec "$@"', "-", *command],
        env={"PATH": os.environ["PATH"], "DATABASE_URL": database_url},
        cwd=folder.parent,
        capture_output=True,
        text=True,
        check=False,
    )

    assert result.returncode == 1
    assert [line for line in result.stderr.splitlines() if line[0] != "{"] == [
        "Error: The backup failed: disk I/O error."
    ]
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("backend", ["sqlite"])
def test_a_signal_ends_it_and_leaves_no_half_file(
    app: Flask, stored_lead: StoredLead, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored_lead()
    monkeypatch.setattr(backup, "INSTRUCTIONS", 100)

    with app.app_context(), pytest.raises(KeyboardInterrupt):
        backup.back_up(folder, keep=None, progress=lambda _position, _size: os.kill(os.getpid(), signal.SIGINT))

    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("backend", ["sqlite"])
def test_a_damaged_database_is_told_in_a_sentence(app: Flask, stored_lead: StoredLead, folder: Path) -> None:
    stored_lead()
    with app.app_context():
        with storage.read() as connection:
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
            page = connection.exec_driver_sql("SELECT rootpage FROM sqlite_master WHERE name = 'leads'").scalar_one()
        storage.db.engine.dispose()
        with Path(str(storage.db.engine.url.database)).open("r+b") as file:
            file.seek((page - 1) * 4096)
            file.write(b"x" * 4096)

    result = back_up(app, folder)

    assert result.exit_code == 1
    assert len(result.output.splitlines()) == 1
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("backend", ["sqlite"])
def test_an_error_of_the_folder_is_told_in_a_sentence(app: Flask, tmp_path: Path) -> None:
    result = back_up(app, tmp_path / "missing" / "backups")

    assert result.exit_code == 1
    assert result.output == f"Error: {tmp_path}/missing/backups: No such file or directory.\n"


@pytest.mark.parametrize("backend", ["sqlite"])
def test_a_database_without_the_schema_is_not_backed_up(
    make_app: MakeApp, empty_database_url: str, folder: Path
) -> None:
    result = back_up(make_app(DATABASE_URL=empty_database_url, AUTO_MIGRATE="off"), folder)

    assert result.exit_code == 1
    assert "flask db upgrade" in result.output
    assert not folder.exists()


@pytest.mark.parametrize("url", ["sqlite://", "postgresql"])
def test_other_databases_have_other_ways(
    make_app: MakeApp, folder: Path, url: str, request: pytest.FixtureRequest
) -> None:
    database_url = url if url == "sqlite://" else request.getfixturevalue("postgres").url()
    app = make_app(DATABASE_URL=database_url)

    result = back_up(app, folder)

    assert result.exit_code == 1
    assert len(result.output.splitlines()) == 1
    assert ("pg_dump" in result.output) == (url == "postgresql")
