"""What must hold for the log of the whole test run; it comes last."""

import re

import orjson

from conftest import MARKER


def test_every_line_of_the_log_is_one_json_object(run_log: list[str]) -> None:
    assert run_log
    for line in run_log:
        assert line.startswith("{"), line
        orjson.loads(line)


def test_the_log_has_no_key(run_log: list[str], secrets: list[str]) -> None:
    log = "\n".join(run_log)

    assert re.findall("lk_[0-9a-z]{12}_", log) == []
    # Without the part that names the key, which the log does have.
    assert [secret for secret in secrets if secret[16:] in log] == []


def test_the_log_says_nothing_about_people(run_log: list[str]) -> None:
    assert [line for line in run_log if MARKER in line.lower()] == []
