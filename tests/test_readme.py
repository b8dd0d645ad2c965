"""The README says what is so."""

import re
import shlex
import shutil
import subprocess

import pytest

from conftest import Serve
from leadapi.config import SettingsSchema, load
from servers import ROOT

README = (ROOT / "README.md").read_text()


def test_the_table_of_settings_is_complete() -> None:
    rows = dict(re.findall(r"^\| `([A-Z_]+)` \| (.+?) \|", README, re.MULTILINE))

    assert list(rows) == list(SettingsSchema().fields)
    # Some depend on others, which is said in words.
    assert load({name: default.strip("`") for name, default in rows.items() if " " not in default}) == load({})


def test_the_tour_shows_real_answers(serve: Serve) -> None:
    if shutil.which("curl") is None:
        pytest.skip("curl is missing: apt-get install curl")
    server = serve()
    steps = re.findall(r"^\$ (curl .+)\n(.+)$", README, re.MULTILINE)
    assert len(steps) > 4

    # A lead's tag is another one at another time.
    shown_tag = tag = ""
    for command, shown in steps:
        here = command.replace("http://127.0.0.1:8000", server.url)
        arguments = shlex.split(here.replace(shown_tag, tag) if tag else here)
        answer = subprocess.run(arguments, capture_output=True, text=True, check=True).stdout.rstrip("\n")
        if re.fullmatch('"[0-9a-f]{24}"', answer):
            tag, shown_tag = answer, shown
        else:
            assert re.sub(r'"\d{4}-[^"]+?Z"', '"2026-02-28T10:00:00Z"', answer) == shown
    assert tag


def test_the_map_of_the_code_is_complete() -> None:
    described = set(re.findall(r"^  (\w+\.py|\w+/) ", README, re.MULTILINE))
    there = {path.name for path in (ROOT / "leadapi").glob("*.py")}
    there |= {f"{path.name}/" for path in (ROOT / "leadapi").iterdir() if (path / "__init__.py").exists()}

    assert described == there
