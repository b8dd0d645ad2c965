"""A test fails if the log during it contains what no log may contain (run_log.py)."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import run_log
from conftest import MARKER, Json
from servers import ROOT

REQUEST = '{"event":"request","method":"GET","path":"/leads/1","status":%d}'
SECRET = "lk_000000000000_" + "s" * 49


@pytest.mark.parametrize(
    "line",
    [
        "plain text",
        f'{{"event":"{MARKER.upper()}"}}',
        f'{{"event":"{SECRET}"}}',
        f'{{"event":"the key ends in {SECRET[16:]}"}}',
        REQUEST % 418,
    ],
)
def test_a_fault_is_found(document: Json, monkeypatch: pytest.MonkeyPatch, line: str) -> None:
    monkeypatch.setattr(run_log, "secrets", [SECRET])

    assert len(run_log.faults(f'{{"event":"start"}}\n\n{line}\n')) >= 1


@pytest.mark.parametrize("line", ['{"event":"key 000000000000 was used"}', REQUEST % 200, REQUEST % 404])
def test_a_good_line_has_no_fault(document: Json, line: str) -> None:
    assert run_log.faults(line) == []


@pytest.mark.slow
def test_a_test_with_a_fault_in_its_log_fails(tmp_path: Path) -> None:
    (tmp_path / "test_two.py").write_text("def test_good(): print('{}')\ndef test_bad(): print('x')\n")

    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "conftest", "-n", "0", "test_two.py"],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 1
    assert re.search(r"not JSON: x\n", done.stdout)
    assert "2 passed, 1 error" in done.stdout
