"""What must hold for the log of the whole test run; it comes last."""

import orjson

from conftest import MARKER


def test_every_line_of_the_log_is_one_json_object(run_log: list[str]) -> None:
    assert run_log
    for line in run_log:
        assert line.startswith("{"), line
        orjson.loads(line)


def test_the_log_says_nothing_about_people(run_log: list[str]) -> None:
    assert [line for line in run_log if MARKER in line.lower()] == []
