"""The README and the guide describe the service as it is: settings, statuses, log events and every answer shown."""

import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from conftest import Json
from leadapi.config import SettingsSchema, load
from servers import ROOT, Server, free_port, wait_until_listening

README = ROOT / "README.md"
GUIDE = ROOT / "leadapi/guide"
TOURS = [page for page in (README, *sorted(GUIDE.glob("*.md"))) if "```console\n" in page.read_text()]

# These differ in every run. A page always shows the same time and the same durations.
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
BACKUP = re.compile(r"leadapi-\d{8}T\d{6}Z")
DURATION = re.compile(r"\d+\.\d seconds")
MILLISECONDS = re.compile(r'\d+(?= ms)|(?<="duration_ms":)\d+')
# Later commands refer to these: ETags, and secrets of webhooks.
TAG = re.compile('"[0-9a-f]{24}"|whsec_[A-Za-z0-9+/]{43}=')
# Where the receivers in the guide listen.
RECEIVER_PORT = "9000"

Run = Callable[[str], str]


def steps(page: Path) -> list[tuple[str, str]]:
    """The commands in the console blocks of a page, each with the output below it."""
    blocks = re.findall(r"^```console\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)
    parts = [part for block in blocks for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]]
    # A backslash at the end of a line continues a command.
    return [re.findall(r"\A((?:.*\\\n)*.*)\n([\s\S]*)\Z", part)[0] for part in parts]


def with_tags(text: str, tags: dict[str, str]) -> str:
    """Replace the ETags in a text."""
    return TAG.sub(lambda found: tags.get(found[0], found[0]), text)


def rows(page: Path, first: str) -> dict[str, str]:
    """The first two cells of the table rows whose first cell matches a pattern."""
    return dict(re.findall(rf"^\| `?({first})`? \| (.+?) \|", page.read_text(), re.MULTILINE))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The working directory of the tours."""
    return tmp_path_factory.mktemp("tours")


@pytest.fixture(scope="module")
def run(folder: Path) -> Iterator[Run]:
    """A function that runs a command as a reader would. All pages share one server."""
    # The tours of forms.md and of destinations.md need these settings. The other tours do not depend on them.
    server = Server({"REDIRECT_URLS": "https://www.example.com/thanks", "WEBHOOK_ALLOW_PRIVATE": "on"}, folder)
    port = free_port()
    groups = []
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environ = {"PATH": path, "PYTHONPATH": str(ROOT), "FLASK_APP": "wsgi"}

    def run(command: str) -> str:
        command = command.replace("http://127.0.0.1:8000", server.url).replace(RECEIVER_PORT, str(port))
        done = subprocess.Popen(
            ["bash", "-c", command],
            cwd=folder,
            env=environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        output, _ = done.communicate()
        if command.endswith("&"):
            groups.append(done.pid)
            wait_until_listening(port)
        return output.replace(str(port), RECEIVER_PORT)

    yield run
    for group in groups:
        os.killpg(group, signal.SIGKILL)
    server.stop()
    print(*server.lines, sep="\n")  # noqa: T201  # the log of a test is checked, see run_log.py


def empty(database: Path) -> None:
    """Delete every row and start the ids at 1 again, so that a page does not depend on the pages before it."""
    with closing(sqlite3.connect(database)) as connection, connection:
        tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        for (table,) in tables:
            if table not in ("alembic_version", "lead_counts"):
                connection.execute(f"DELETE FROM {table}")


@pytest.mark.parametrize("page", TOURS, ids=lambda page: page.name)
def test_a_tour_shows_real_answers(page: Path, run: Run, folder: Path) -> None:
    if shutil.which("curl") is None:
        pytest.skip("curl is missing: apt-get install curl")
    empty(folder / "app.db")
    real_tags: dict[str, str] = {}

    for command, shown in steps(page):
        file = folder / command.removeprefix("cat ")
        if command.startswith("cat ") and not file.exists():
            # The tour shows a file that the reader has to create.
            file.write_text(shown)
            continue
        answer = run(with_tags(command, real_tags))
        real_tags |= zip(TAG.findall(shown), TAG.findall(answer), strict=False)
        answer = with_tags(answer, {real: tag for tag, real in real_tags.items()})
        answer = BACKUP.sub("leadapi-20260228T100000Z", answer)
        answer = DURATION.sub("0.1 seconds", TIME.sub("2026-02-28T10:00:00Z", MILLISECONDS.sub("12", answer)))
        assert answer.rstrip("\n") == shown.rstrip("\n"), command


def test_the_readme_and_the_guide_have_tours() -> None:
    assert README in TOURS
    assert len(TOURS) > 1
    assert all(steps(page) for page in TOURS)


def test_the_table_of_settings_is_complete() -> None:
    settings = rows(README, "[A-Z_]+")

    assert list(settings) == list(SettingsSchema().fields)
    # The table describes a default in words where it depends on other settings.
    assert load({name: default.strip("`") for name, default in settings.items() if " " not in default}) == load({})


def test_the_table_of_errors_has_every_status_of_the_document(document: Json) -> None:
    answered = {
        status
        for operations in document["paths"].values()
        for operation in operations.values()
        if "responses" in operation
        for status in operation["responses"]
        if status >= "400"
    }

    assert answered <= rows(GUIDE / "errors.md", r"\d{3}").keys()


def test_the_table_of_log_events_is_complete() -> None:
    code = "".join(path.read_text() for path in (ROOT / "leadapi").rglob("*.py"))
    logged = set(re.findall(r'logger\.\w+\(\s*"([a-z_]+(?:\.[a-z_]+)*)"', code))

    assert logged
    assert logged <= rows(GUIDE / "operations.md", r"[a-z_.]+").keys()
