"""The files of a SQLite database: who may open them, and what they contain."""

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from conftest import MakeApp, NewLead, body
from leadapi import storage
from leadapi.storage import db

FILES = ("leads.db", "leads.db-wal", "leads.db-shm", "leads.db.lock")


def modes(folder: Path) -> dict[str, int]:
    """The permissions of the files in a folder."""
    return {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()}


@pytest.fixture
def open_umask() -> Iterator[None]:
    """A process whose new files everybody may read and write."""
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.usefixtures("open_umask")
def test_the_files_are_private_from_their_creation(
    make_app: MakeApp, tmp_path: Path, new_lead: NewLead, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[dict[str, int]] = []
    connect = sqlite3.dbapi2.connect

    def connecting(*arguments: Any, **options: Any) -> Any:
        seen.append(modes(tmp_path))
        return connect(*arguments, **options)

    monkeypatch.setattr(sqlite3.dbapi2, "connect", connecting)
    app = make_app(DATABASE_URL=f"sqlite:///{tmp_path}/leads.db")

    assert app.test_client().post("/leads", json=new_lead()).status_code == 201
    assert modes(tmp_path) == dict.fromkeys(FILES, 0o600)
    assert seen[0] == {"leads.db": 0o600}


@pytest.mark.usefixtures("open_umask")
def test_the_files_of_an_earlier_version_become_private_and_keep_their_leads(
    make_app: MakeApp, migrated_sqlite: Path, tmp_path: Path, new_lead: NewLead
) -> None:
    path = tmp_path / "leads.db"
    shutil.copy(migrated_sqlite, path)
    first = make_app(DATABASE_URL=f"sqlite:///{path}").test_client()
    first.post("/leads", json=new_lead())
    assert modes(tmp_path).keys() == set(FILES)
    for file in tmp_path.iterdir():
        file.chmod(0o644)

    second = make_app(DATABASE_URL=f"sqlite:///{path}").test_client()

    assert body(second.get("/leads"))["total"] == 1
    assert second.post("/leads", json=new_lead()).status_code == 201
    assert modes(tmp_path) == dict.fromkeys(FILES, 0o600)


def test_a_new_connection_leaves_the_locks_of_others_alone(
    make_app: MakeApp, tmp_path: Path, new_lead: NewLead
) -> None:
    """POSIX locks belong to the process, and end when the process closes any descriptor of the file."""
    path = tmp_path / "leads.db"
    app = make_app(DATABASE_URL=f"sqlite:///{path}")
    intruder = f"import sqlite3; sqlite3.connect({str(path)!r}, timeout=0).execute('BEGIN IMMEDIATE')"
    with app.app_context(), storage.write():
        with db.engine.connect() as other:
            other.execute(text("SELECT 1"))
        run = subprocess.run([sys.executable, "-c", intruder], capture_output=True, text=True, check=False)

    assert "database is locked" in run.stderr
    assert app.test_client().post("/leads", json=new_lead()).status_code == 201
