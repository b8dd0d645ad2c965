"""flask leads import, interrupted and beside others: nothing is lost, and nothing comes twice."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import orjson
import pytest
from flask import Flask
from sqlalchemy import Connection, create_engine, event, text
from sqlalchemy.exc import OperationalError

from conftest import MARKER, NewLead, Serve
from leadapi import config
from leadapi.leads.transfer import imports, progress
from leadapi.leads.transfer.progress import Progress
from leadapi.storage import db
from servers import ROOT

ROWS = 10_000
# One in so many rows cannot be stored.
BAD = 100
AFTER_THE_MARK = "FROM leads WHERE id > (SELECT number FROM lead_counts WHERE counted = 'mark')"
COUNTS = {
    "leads": "SELECT count(*) FROM leads",
    "total": f"""
        SELECT coalesce(sum(number), 0) + (SELECT count(*) {AFTER_THE_MARK}) FROM lead_counts WHERE counted = ''
    """,
    "of the source": f"""
        SELECT coalesce(sum(number), 0) + (SELECT count(*) {AFTER_THE_MARK} AND source = '{MARKER}')
        FROM lead_counts WHERE counted = 'source:{MARKER}'
    """,
    "created": "SELECT count(*) FROM events WHERE type = 'lead.created'",
    "told of": "SELECT count(DISTINCT lead_id) FROM events WHERE type = 'lead.created'",
    "repeated": "SELECT count(*) FROM events WHERE type = 'lead.repeated'",
    "unfinished": "SELECT count(*) FROM imports",
}

Count = Callable[[str], int]


@pytest.fixture
def count(database_url: str) -> Iterator[Count]:
    """How many there are of something, seen from elsewhere."""
    engine = create_engine(config.load({"DATABASE_URL": database_url}).database_url)

    def ask(what: str) -> int:
        with engine.connect() as connection:
            return int(connection.scalar(text(COUNTS[what])) or 0)

    yield ask
    engine.dispose()


def write_rows(path: Path, rows: int) -> Path:
    """A file with some rows that cannot be stored."""
    lines = [
        f"{MARKER} {number},{'nobody' if number % BAD == 0 else f'{MARKER}{number}@example.com'},{MARKER}"
        for number in range(rows)
    ]
    path.write_text("\n".join(["full_name,email,source", *lines, ""]))
    return path


def start(url: str, path: Path, *options: str) -> subprocess.Popen[str]:
    """The command in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "flask", "leads", "import", str(path), *options],
        cwd=path.parent,
        env=os.environ | {"DATABASE_URL": url, "FLASK_APP": str(ROOT / "wsgi.py"), "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
@pytest.mark.parametrize("options", [(), ("--on-duplicate", "merge")], ids=["refuse", "merge"])
def test_what_was_killed_goes_on_where_it_stopped(
    database_url: str, count: Count, tmp_path: Path, options: tuple[str, ...]
) -> None:
    path = write_rows(tmp_path / "people.csv", ROWS)
    with path.open("a") as file:
        # The last rows repeat the first ones, one of them with another name.
        file.writelines(f"{MARKER} again,{MARKER}{number}@example.com,{MARKER}\n" for number in range(1, 100))
    first = start(database_url, path, *options)
    while not count("leads") and first.poll() is None:
        # There is nothing to wait for but the database.
        time.sleep(0.02)
    first.kill()
    first.communicate()
    done = count("leads")

    out, err = start(database_url, path, *options).communicate()

    assert 0 < done < ROWS - ROWS // BAD
    assert f"Going on after row {done * BAD // (BAD - 1):,}, where" in err
    stored = ROWS - ROWS // BAD
    merged = 99 if options else 0
    refused = ROWS // BAD + 99 - merged
    assert f"stored {stored:,}, merged {merged}, ignored 0, refused {refused} of {ROWS + 99:,} rows" in out
    assert {what: count(what) for what in COUNTS} == {
        **dict.fromkeys(("leads", "total", "of the source", "created", "told of"), stored),
        "repeated": merged,
        "unfinished": 0,
    }
    lines = path.with_name("people.csv.refused.csv").read_text().splitlines()
    assert len(lines) == len(set(lines)) == refused + 1


def test_captures_go_on_during_an_import(
    serve: Serve, database_url: str, count: Count, new_lead: NewLead, tmp_path: Path
) -> None:
    server = serve(DATABASE_URL=database_url)
    process = start(database_url, write_rows(tmp_path / "people.csv", ROWS))
    captured = 0

    while process.poll() is None:
        assert server.post("/leads", json=new_lead()).status == 201
        captured += 1
    out, err = process.communicate()

    assert "Error" not in err
    assert f"refused {ROWS // BAD} of" in out
    assert captured > 3
    assert count("leads") == count("total") == count("told of") == ROWS - ROWS // BAD + captured


class Interrupted(Exception):
    """A way to end a process half way."""


def run_until(app: Flask, path: Path, commits: int, *options: str) -> None:
    """Import a file until so many chunks are stored, and then write refused rows that are never committed."""
    left = [commits]

    def commit(_connection: Connection) -> None:
        if not left[0]:
            raise Interrupted
        left[0] -= 1

    with app.app_context(), pytest.MonkeyPatch.context() as patch, suppress(Interrupted):
        # The first is that of the progress.
        event.listen(db.engine, "commit", commit)
        patch.setattr(imports, "CHUNK", 100)
        result = app.test_cli_runner().invoke(args=["leads", "import", str(path), *options])
        assert isinstance(result.exception, Interrupted)
        event.remove(db.engine, "commit", commit)


def test_the_refused_rows_of_what_was_not_stored_do_not_come_twice(app: Flask, count: Count, tmp_path: Path) -> None:
    path = write_rows(tmp_path / "people.csv", 950)
    run_until(app, path, 4)
    before = path.with_name("people.csv.refused.csv").read_text()

    result = app.test_cli_runner().invoke(args=["leads", "import", str(path)])

    # The header, three of stored chunks, and one of the chunk that was not.
    assert len(before.splitlines()) == 5
    assert "Going on after row 300," in result.stderr
    assert "stored 940, merged 0, ignored 0, refused 10 of 950" in result.stdout
    lines = path.with_name("people.csv.refused.csv").read_text().splitlines()
    assert lines[0] == "full_name,email,source,error"
    assert [line.partition(",")[0] for line in lines[1:]] == [f"{MARKER} {number}" for number in range(0, 950, BAD)]
    assert count("unfinished") == 0


def test_another_way_to_import_it_is_another_import(app: Flask, tmp_path: Path) -> None:
    path = write_rows(tmp_path / "people.csv", 350)
    run_until(app, path, 3)
    refused = path.with_name("other.csv")

    merging = app.test_cli_runner().invoke(
        args=["leads", "import", str(path), "--on-duplicate", "merge", "--refused", str(refused)]
    )

    assert "Going on" not in merging.stderr
    assert "stored 148, merged 198, ignored 0, refused 4 of 350" in merging.stdout


def test_restart_begins_anew(app: Flask, tmp_path: Path) -> None:
    path = write_rows(tmp_path / "people.csv", 350)
    run_until(app, path, 3)
    in_the_way = app.test_cli_runner().invoke(args=["leads", "import", str(path), "--restart"])
    path.with_name("people.csv.refused.csv").unlink()

    result = app.test_cli_runner().invoke(args=["leads", "import", str(path), "--restart"])

    assert "people.csv.refused.csv is there already." in in_the_way.stderr
    assert "stored 148, merged 0, ignored 0, refused 202 of 350" in result.stdout
    assert len(path.with_name("people.csv.refused.csv").read_text().splitlines()) == 203


def test_refused_rows_that_were_taken_away_meanwhile_are_not_made_up(app: Flask, tmp_path: Path) -> None:
    path = write_rows(tmp_path / "people.csv", 350)
    run_until(app, path, 3)
    path.with_name("people.csv.refused.csv").unlink()

    app.test_cli_runner().invoke(args=["leads", "import", str(path)])

    lines = path.with_name("people.csv.refused.csv").read_text().splitlines()
    assert [line.partition(",")[0] for line in lines] == ["full_name", f"{MARKER} 200", f"{MARKER} 300"]


@pytest.mark.parametrize(
    ("commits", "edit"),
    [
        (1, lambda rows: f"{rows}{MARKER},corrected@example.com,{MARKER},\n"),
        (3, lambda rows: f"{rows}{MARKER},corrected@example.com,{MARKER},\n"),
        (3, lambda rows: rows.splitlines()[0]),
    ],
    ids=["before any row was refused", "made longer", "made shorter"],
)
def test_what_goes_on_changes_no_rows_that_somebody_corrects(
    app: Flask, count: Count, tmp_path: Path, commits: int, edit: Callable[[str], str]
) -> None:
    path = write_rows(tmp_path / "people.csv", 350)
    run_until(app, path, commits)
    refused = path.with_name("people.csv.refused.csv")
    corrected = edit(refused.read_text())
    refused.write_text(corrected)

    result = app.test_cli_runner().invoke(args=["leads", "import", str(path)])
    kept = refused.read_text()
    refused.unlink()
    again = app.test_cli_runner().invoke(args=["leads", "import", str(path)])

    assert result.exit_code == 1
    assert "people.csv.refused.csv is there already. Remove it, or name another file with --refused." in result.stderr
    assert kept == corrected
    assert "refused 4 of 350" in again.stdout
    assert count("leads") == 346


def test_what_is_done_is_not_done_again_by_a_second_one(app: Flask, count: Count, tmp_path: Path) -> None:
    path = write_rows(tmp_path / "people.csv", 350)
    run_until(app, path, 3)
    real = progress.find
    with pytest.MonkeyPatch.context() as patch:
        # As another one saw it a moment earlier.
        patch.setattr(
            progress, "find", lambda fingerprint: Progress(rows=100, refused=1) if real(fingerprint) else None
        )
        result = app.test_cli_runner().invoke(args=["leads", "import", str(path)])

    assert result.exit_code == 1
    assert "Error: Another import of this file is at work, or was started over." in result.stderr
    assert count("leads") == 198


def test_a_database_that_does_not_answer_is_told_in_a_sentence(app: Flask, tmp_path: Path) -> None:
    path = write_rows(tmp_path / "people.csv", 350)

    def fail(*_: object) -> None:
        raise OperationalError("", {}, Exception("gone"))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(progress, "require", fail)
        result = app.test_cli_runner().invoke(args=["leads", "import", str(path)])

    assert result.exit_code == 1
    assert "The database cannot answer: gone" in result.stderr


def test_a_finished_import_begins_again(app: Flask, tmp_path: Path) -> None:
    path = tmp_path / "people.ndjson"
    path.write_bytes(orjson.dumps({"full_name": MARKER, "email": "z@example.com"}))
    app.test_cli_runner().invoke(args=["leads", "import", str(path)])

    again = app.test_cli_runner().invoke(args=["leads", "import", str(path)])

    assert "stored 0, merged 0, ignored 0, refused 1 of 1" in again.stdout


def test_ctrl_c_ends_a_dry_run_in_order(own_app: None, app: Flask, tmp_path: Path) -> None:
    file = tmp_path / "people.csv"
    file.write_text("full_name,email\nZo,z@example.com\n")

    def interrupt(_cursor: object, statement: str, *_: object) -> None:
        if statement.startswith("INSERT INTO simulated"):
            raise KeyboardInterrupt

    with app.app_context():
        event.listen(db.engine, "do_execute", interrupt)
        event.listen(db.engine, "do_executemany", interrupt)
    result = app.test_cli_runner().invoke(args=["leads", "import", str(file), "--dry-run"])

    assert result.exit_code == 130
    assert result.output == "\nInterrupted. Nothing was stored.\n"
