"""flask leads import: encodings, bounds, interruption, and the file of refused rows."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import Result
from flask import Flask

from conftest import MakeApp, body
from leadapi.leads.transfer.refused import RefusedRows
from servers import ROOT

HEADER = b"full_name,email\n"


@pytest.fixture
def app(sqlite_app: MakeApp) -> Flask:
    """The database does not matter for reading files."""
    return sqlite_app()


def bring_in(app: Flask, path: Path, content: bytes, *options: str) -> Result:
    path.write_bytes(content)
    return app.test_cli_runner().invoke(args=["leads", "import", str(path), *options])


def names(app: Flask) -> list[str]:
    return [lead["full_name"] for lead in body(app.test_client().get("/leads"))["items"]]


@pytest.mark.parametrize("rows", [0, 400])
def test_a_file_that_cannot_be_utf_8_is_read_as_windows_1252_with_a_notice(
    app: Flask, tmp_path: Path, rows: int
) -> None:
    content = HEADER + (b"J" * 1000 + b",nobody\n") * rows + "Zoé “Z” €,z@example.com\n".encode("cp1252")

    result = bring_in(app, tmp_path / "people.csv", content)

    assert result.stderr.startswith("The file is not UTF-8. It is read as windows-1252;")
    assert names(app) == ["Zoé “Z” €"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (HEADER + "Zoé,z@example.com\n".encode() + "Zoé,y@example.com\n".encode("cp1252"), "byte 37,"),
        (HEADER + b"x" * 2**20 + "é".encode() + b"\xe9", f"byte {16 + 2**20 + 2},"),
        (HEADER + b"Zo\x81,z@example.com\n", "byte 18,"),
    ],
    ids=["mixed", "mixed in a later part", "not windows-1252"],
)
def test_a_file_of_no_single_encoding_is_refused(app: Flask, tmp_path: Path, content: bytes, said: str) -> None:
    result = bring_in(app, tmp_path / "people.csv", content)

    assert result.exit_code == 1
    assert "people.csv: The file is neither UTF-8 (see byte " in result.stderr
    assert said in result.stderr
    assert names(app) == []


@pytest.mark.parametrize(
    ("content", "options", "said"),
    [
        (b"\xff\xfeZ\x00\x00\xd8", [], "The file is not utf-16: see byte 4,"),
        (b"\xff\xfeZ", [], "The file is not utf-16: see byte 2,"),
        (HEADER + b"Zo\xe9,z@example.com\n", ["--encoding", "utf-8"], "The file is not UTF-8: see byte 18,"),
        (HEADER + b"Zo\xe9,z@example.com\n", ["--encoding", "ascii"], "The file is not ascii: see byte 18,"),
    ],
)
def test_a_named_encoding_is_not_changed(
    app: Flask, tmp_path: Path, content: bytes, options: list[str], said: str
) -> None:
    result = bring_in(app, tmp_path / "people.csv", content, *options)

    assert said in result.stderr


def test_standard_input_is_understood_like_a_file(app: Flask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    result = app.test_cli_runner().invoke(
        args=["leads", "import", "-"], input="First Name,Last Name,Reach\nZoé,Roe,z@example.com\n".encode("cp1252")
    )

    assert "windows-1252" in result.stderr
    assert "'Reach' is email" in result.stderr
    assert names(app) == ["Zoé Roe"]


# Prints the exit status of each command, and by how many KiB the memory has grown beyond that of a small import.
MEASURE = """
import resource, sys
from leadapi import create_app
app = create_app({"DATABASE_URL": "sqlite://"})
small, *files = sys.argv[1:]
invoke = app.test_cli_runner().invoke
invoke(args=["leads", "import", small])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for large in files:
    result = invoke(args=["leads", "import", large])
    print("MEASURED", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, result.exit_code, result.stderr)
"""

# These files are large, or read by a process of their own.
pytestmark = pytest.mark.slow


LINES = {
    "header": (b"", b"x"),
    "row": (HEADER, b"x"),
    "row of many lines": (HEADER, b'"a\n",'),
    "ndjson": (b"", b'{"full_name":['),
    "utf-16": ("\ufeff".encode("utf-16-le"), "\u010a".encode("utf-16-le")),
}


def test_a_line_of_50_mb_is_refused_and_takes_no_memory(tmp_path: Path) -> None:
    small = tmp_path / "small.csv"
    small.write_bytes(HEADER + b"Zo,nobody\n" + b"x" * 2**19 + b"\n")
    files = [tmp_path / name for name in LINES]
    for file, (start, part) in zip(files, LINES.values(), strict=True):
        file.write_bytes(start + part * (50 * 10**6 // len(part)))

    ended = subprocess.run(
        [sys.executable, "-c", MEASURE, str(small), *map(str, files)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        check=False,
    )

    measured = [line.split(" ", 2) for line in ended.stdout.split("MEASURED ")[1:]]
    for file, (grown, status, said) in zip(files, measured, strict=True):
        assert f"Error: {file}: Line" in said, ended
        assert "is longer than 1,048,576 characters." in said
        assert status == "1"
        assert int(grown) < 30_000


def test_an_interrupted_import_says_how_to_go_on(database_url: str, tmp_path: Path) -> None:
    path = tmp_path / "people.csv"
    path.write_bytes(HEADER + b"".join(b"Zo %d,z%d@example.com\n" % (number, number) for number in range(20_000)))
    command = [sys.executable, "-m", "flask", "leads", "import", str(path)]
    environ = os.environ | {"DATABASE_URL": database_url, "FLASK_APP": str(ROOT / "wsgi.py"), "PYTHONPATH": str(ROOT)}
    progress = tmp_path / "progress"

    with progress.open("wb") as log:
        # The notice of a resumed run is the only output before the end, so wait for the refused row of the first chunk.
        path.write_bytes(path.read_bytes().replace(b"z5@example.com", b"nobody"))
        process = subprocess.Popen(command, cwd=tmp_path, env=environ, stdout=log, stderr=log)
        while not (tmp_path / "people.csv.refused.csv").exists() and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        status = process.wait()
    again = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False)

    assert status == 130, progress.read_text()
    assert progress.read_text().endswith("Interrupted. The same command continues where it stopped.\n")
    assert "stored 19,999, merged 0, ignored 0, refused 1 of 20,000" in again.stdout


def test_an_interrupted_export_leaves_no_file(app: Flask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_handle: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("os.fsync", interrupt)

    result = app.test_cli_runner().invoke(args=["leads", "export", "-o", str(tmp_path / "leads.csv")])

    assert result.exit_code == 130
    assert "Interrupted. An export starts anew when the command is run again." in result.stderr
    assert list(tmp_path.glob("*leads.csv*")) == []


def test_refused_rows_are_never_written_to_a_file_that_is_there(
    app: Flask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "people.csv"
    prepared = tmp_path / "people.csv.refused.csv"
    real = RefusedRows.add

    def prepare(*args: object) -> int:
        # Somebody else creates the file after it was found to be missing.
        prepared.touch(0o666)
        return real(*args)  # type: ignore[arg-type]  # the arguments of the method

    monkeypatch.setattr(RefusedRows, "add", prepare)

    result = bring_in(app, path, HEADER + b"Zo,nobody\n")

    assert result.exit_code == 1
    assert "people.csv.refused.csv is there already." in result.stderr
    assert prepared.read_bytes() == b""


def test_the_umask_does_not_open_refused_rows(app: Flask, tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        bring_in(app, tmp_path / "people.csv", HEADER + b"Zo,nobody\n")
    finally:
        os.umask(old)

    assert (tmp_path / "people.csv.refused.csv").stat().st_mode & 0o777 == 0o600


def test_a_terminal_shows_notices_before_the_progress(tmp_path: Path) -> None:
    path = tmp_path / "people.csv"
    path.write_bytes(b"Name,Email\nZo,z@example.com\n")
    reader, terminal = os.openpty()

    ended = subprocess.run(
        [sys.executable, "-m", "flask", "leads", "import", str(path)],
        cwd=tmp_path,
        env=os.environ | {"DATABASE_URL": "sqlite://", "FLASK_APP": str(ROOT / "wsgi.py"), "PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=terminal,
        check=False,
    )

    shown = os.read(reader, 10_000).decode()
    os.close(reader)
    os.close(terminal)
    assert ended.returncode == 0
    assert 0 <= shown.index("'Name' is full_name.\r\n") < shown.index("Importing")
    assert "100%" in shown
