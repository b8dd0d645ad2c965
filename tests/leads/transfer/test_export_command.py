"""flask leads export, and that what it writes can be imported again."""

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from conftest import MARKER, MakeApp, StoredLead, body
from servers import ROOT

AHEAD = "9999-12-31T23:59:59Z"


def without_ids(client: FlaskClient) -> list[object]:
    """What is shown of all leads, but for what an import gives anew."""
    return [lead | {"id": None} for lead in body(client.get("/leads?limit=100"))["items"]]


def ids(client: FlaskClient) -> list[int]:
    return [lead["id"] for lead in body(client.get("/leads"))["items"]]


@pytest.mark.parametrize("form", ["csv", "ndjson"])
def test_writes_what_the_download_has(app: Flask, client: FlaskClient, stored_lead: StoredLead, form: str) -> None:
    stored = [stored_lead(source=source, message="=1\r\n2") for source in ("a", "b", "a")]

    every = app.test_cli_runner().invoke(args=["leads", "export", "--format", form])
    some = app.test_cli_runner().invoke(
        args=[
            "leads",
            "export",
            "--format",
            form,
            "--source",
            "a",
            "--sort",
            "-id",
            "--created-from",
            stored[0]["created_at"],
        ]
    )
    one = app.test_cli_runner().invoke(
        args=["leads", "export", "--format", form, "--email", stored[1]["email"].upper()]
    )
    none = app.test_cli_runner().invoke(args=["leads", "export", "--format", form, "--status", "lost"])

    assert every.stdout_bytes == client.get(f"/leads/export?format={form}").data
    assert some.stdout_bytes == client.get(f"/leads/export?format={form}&source=a&sort=-id").data
    assert one.stdout_bytes == client.get(f"/leads/export?format={form}&source=b").data
    assert len(none.stdout.splitlines()) == (form == "csv")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--created-to", "yesterday"], "--created-to: Not a date and time with a zone"),
        (["--status", "old"], "--status: Must be one of: new"),
        (["--email", "nobody"], "--email: Not a valid email address."),
        (["-o", "/nowhere/leads.csv"], "No such file or directory"),
    ],
)
def test_says_what_is_wrong_in_a_sentence(sqlite_app: MakeApp, options: list[str], said: str) -> None:
    result = sqlite_app().test_cli_runner().invoke(args=["leads", "export", *options])

    assert result.exit_code in (1, 2)
    assert said in result.stderr
    assert result.stdout == "" or result.stdout.startswith("{")


def test_a_file_is_there_when_it_is_whole(
    app: Flask, client: FlaskClient, stored_lead: StoredLead, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored_lead()
    path = tmp_path / "leads.ndjson"
    app.test_cli_runner().invoke(args=["leads", "export", "-o", str(path)])
    whole = path.read_bytes()

    def fail(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", fail)
    stored_lead()
    failed = app.test_cli_runner().invoke(args=["leads", "export", "-o", str(path)])

    assert failed.exit_code == 1
    assert "No space left on device" in failed.stderr
    assert path.read_bytes() == whole == client.get("/leads/export?format=ndjson").data.splitlines(keepends=True)[0]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [file.name for file in tmp_path.iterdir() if "leads.ndjson" in file.name] == ["leads.ndjson"]


# What writes a file and, when all but the last of it is done, is told to end.
TOLD_TO_END = """
import os, signal, sys
path, number = sys.argv[1:]
# Whoever runs the tests may ignore it, and what measures them has a way of its own with it.
signal.signal(int(number), signal.SIG_DFL)
os.fsync = lambda _: os.kill(os.getpid(), int(number))
from flask.cli import main
sys.argv[1:] = ["leads", "export", "-o", path]
main()
"""


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_who_is_told_to_end_leaves_no_part_of_a_file(
    database_url: str, stored_lead: StoredLead, tmp_path: Path, number: signal.Signals
) -> None:
    stored_lead()
    folder = tmp_path / "folder"
    folder.mkdir()

    ended = subprocess.run(
        [sys.executable, "-c", TOLD_TO_END, str(folder / "leads.csv"), str(int(number))],
        cwd=tmp_path,
        env=os.environ | {"DATABASE_URL": database_url, "FLASK_APP": str(ROOT / "wsgi.py"), "PYTHONPATH": str(ROOT)},
        check=False,
    )

    assert ended.returncode == 128 + number
    assert list(folder.iterdir()) == []


def test_what_is_no_file_stays_what_it_is(app: Flask, stored_lead: StoredLead, tmp_path: Path) -> None:
    stored_lead()
    pipe, link, path = tmp_path / "pipe", tmp_path / "link.csv", tmp_path / "leads.csv"
    os.mkfifo(pipe)
    link.symlink_to(path)

    # Open for both, so that nobody waits for the other end.
    with os.fdopen(os.open(pipe, os.O_RDWR | os.O_NONBLOCK), "rb", buffering=0) as end:
        piped = app.test_cli_runner().invoke(args=["leads", "export", "-o", str(pipe)])
        through = end.read(2**16)
    linked = app.test_cli_runner().invoke(args=["leads", "export", "-o", str(link)])

    assert (piped.exit_code, linked.exit_code) == (0, 0)
    assert pipe.is_fifo()
    assert link.is_symlink()
    assert through == path.read_bytes() != b""


@pytest.mark.parametrize("form", ["csv", "ndjson"])
def test_what_is_exported_can_be_imported_without_loss(
    client: FlaskClient, stored_lead: StoredLead, sqlite_app: MakeApp, tmp_path: Path, form: str
) -> None:
    for name in (f"=cmd|'{MARKER}", f"'={MARKER}", f"''+{MARKER}", f"'{MARKER}", f'"{MARKER}", ;\u2028'):
        stored_lead(
            full_name=name,
            message=f"-{name}\r\n\tlast",
            company=None,
            attributes={name: f"@{name}", "a": "", "b": "\r\n"},
        )
    first = stored_lead()
    client.patch(f"/leads/{first['id']}", json={"status": "qualified"})
    # By a host whose clock is ahead.
    client.application.test_cli_runner().invoke(
        args=["leads", "import", "-"],
        input=f"full_name,email,created_at\n{MARKER},ahead@example.com,{AHEAD}\n",
    )
    (ahead,) = body(client.get("/leads?email=ahead@example.com"))["items"]
    client.patch(f"/leads/{ahead['id']}", json={"status": "lost"})
    path = tmp_path / f"leads.{form}"
    client.application.test_cli_runner().invoke(args=["leads", "export", "-o", str(path)])
    other = sqlite_app()

    result = other.test_cli_runner().invoke(args=["leads", "import", str(path)])

    assert result.exit_code == 0, result.output
    assert without_ids(other.test_client()) == without_ids(client)
    again = other.test_cli_runner().invoke(args=["leads", "export", "--format", form])
    assert again.stdout_bytes == path.read_bytes()


def test_what_a_spreadsheet_saved_goes_in_and_out_unchanged(app: Flask, client: FlaskClient, tmp_path: Path) -> None:
    path, back = tmp_path / "saved.csv", tmp_path / "back.csv"
    path.write_bytes(
        b"\xef\xbb\xbfFull Name;Email;Message;Company\r\n"
        b'"=HYPERLINK(""x"")";z@example.com;"Zebedee says:\r\n""a; b""";-1\r\n'
    )

    taken = app.test_cli_runner().invoke(args=["leads", "import", str(path)])
    app.test_cli_runner().invoke(args=["leads", "export", "-o", str(back)])
    (lead,) = body(client.get("/leads"))["items"]
    client.delete(f"/leads/{lead['id']}")
    taken_back = app.test_cli_runner().invoke(args=["leads", "import", str(back)])

    assert (taken.exit_code, taken_back.exit_code) == (0, 0)
    assert lead["full_name"] == '=HYPERLINK("x")'
    assert (lead["message"], lead["company"]) == ('Zebedee says:\r\n"a; b"', "-1")
    assert without_ids(client) == [lead | {"id": None}]


TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=30) | st.text("'=+-@;,\"\u2028 a", max_size=8)


@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    leads=st.lists(
        st.fixed_dictionaries({"full_name": TEXT, "message": TEXT, "attributes": st.dictionaries(TEXT, TEXT)})
    )
)
def test_whatever_is_stored_comes_back(
    sqlite_app: MakeApp, make_app: MakeApp, tmp_path: Path, leads: list[dict[str, object]]
) -> None:
    first, second = sqlite_app(), make_app(DATABASE_URL="sqlite://")
    for number in ids(first.test_client()):
        first.test_client().delete(f"/leads/{number}")
    for number, lead in enumerate(leads):
        # Nothing, in a file of cells, is no message at all.
        sent = lead | {"email": f"z{number}@example.com", "message": lead["message"] or None}
        assert first.test_client().post("/leads", json=sent).status_code in (201, 422)
    path = tmp_path / "leads.csv"
    first.test_cli_runner().invoke(args=["leads", "export", "-o", str(path)])

    second.test_cli_runner().invoke(args=["leads", "import", str(path)])

    assert without_ids(second.test_client()) == without_ids(first.test_client())
