"""The log of an app. server/test_log.py tests the log of a server."""

import logging
import re
from pathlib import Path
from typing import Any

import orjson
import pytest
from flask.testing import FlaskClient

from conftest import MARKER, NewLead
from leadapi.logs import describe

pytestmark = pytest.mark.one_database


@pytest.fixture
def lines(client: FlaskClient, capsys: pytest.CaptureFixture[str]) -> Any:
    """A function that returns the lines that were logged since its last call."""
    capsys.readouterr()
    return lambda: [orjson.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_each_request_has_one_line_with_ids_and_no_person(client: FlaskClient, new_lead: NewLead, lines: Any) -> None:
    response = client.post("/leads", json=new_lead())
    assert response.status_code == 201

    (line,) = lines()

    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", line.pop("time"))
    assert 0 < line.pop("duration_ms") < 10_000
    assert line == {
        "level": "info",
        "logger": "leadapi.access",
        "event": "request",
        "request_id": response.headers["X-Request-Id"],
        "method": "POST",
        "path": "/leads",
        "status": 201,
        "lead_id": 1,
        "stored": 1,
    }


@pytest.mark.parametrize("path", ["/nowhere", "/leads", "/health", "/docs", "/"])
def test_every_answer_names_its_request(client: FlaskClient, path: str, lines: Any) -> None:
    response = client.get(path)

    assert re.fullmatch(r"[0-9a-f]{32}", response.headers["X-Request-Id"])
    assert lines()[-1]["request_id"] == response.headers["X-Request-Id"]


@pytest.mark.parametrize("given", ["a", "5f2b8c1e-7a00-4d9f-8f3e-000000000000", "Root=1-67891233:abc/d+e=", "x" * 128])
def test_a_well_formed_request_id_is_kept(client: FlaskClient, given: str) -> None:
    assert client.get("/health", headers={"X-Request-Id": given}).headers["X-Request-Id"] == given


@pytest.mark.parametrize("given", ["", " ", "a b", "x" * 129, f"{MARKER}@example.com", 'a"b', "é"])
def test_a_malformed_request_id_is_replaced(client: FlaskClient, given: str) -> None:
    answered = client.get("/health", headers={"X-Request-Id": given}).headers["X-Request-Id"]

    assert re.fullmatch(r"[0-9a-f]{32}", answered)


@pytest.mark.parametrize("path", [f"/leads/{MARKER}@example.com", f"/leads/{MARKER}.dee", "/api/leads", "/leads/%0a{}"])
def test_a_path_that_is_not_ours_is_not_repeated(client: FlaskClient, path: str, lines: Any) -> None:
    client.get(path)

    assert lines()[-1]["path"] == "…"


def test_of_a_path_with_a_name_in_it_only_the_form_is_logged(client: FlaskClient, lines: Any) -> None:
    client.get(f"/docs/assets/{MARKER}.css")

    assert lines()[-1]["path"] == "/docs/assets/<path:name>"


def test_a_query_is_not_logged(client: FlaskClient, lines: Any) -> None:
    client.get(f"/leads?email={MARKER}@example.com")

    assert lines()[-1]["path"] == "/leads"


def test_values_without_a_json_type_are_written_as_text(client: FlaskClient, lines: Any) -> None:
    logging.getLogger("leadapi").warning("told", extra={"folder": Path("/data")})

    assert lines()[-1]["folder"] == "/data"


def test_values_that_cannot_be_written_are_left_out(client: FlaskClient, lines: Any) -> None:
    logging.getLogger("leadapi").warning("told", extra={"number": 2**64, "text": f"{MARKER} \ud800"})

    (line,) = lines()
    assert line.keys() == {"time", "level", "logger", "event"}
    assert (line["level"], line["event"]) == ("warning", "log.failed")


def test_messages_of_waitress_have_no_data_of_a_request(client: FlaskClient, lines: Any) -> None:
    logging.getLogger("waitress.queue").warning("Task queue depth is %d", 5)
    logging.getLogger("waitress").info("Client disconnected while serving /leads/1")
    try:
        raise ValueError(f"invalid literal for int(): {MARKER}")
    except ValueError:
        logging.getLogger("waitress").exception("Exception while serving %s", f"/leads/{MARKER}")

    (line,) = lines()
    assert (line["event"], line["error"]) == ("Exception while serving…", "ValueError")
    assert MARKER not in str(line)


def test_an_error_is_described_in_few_words_however_deep_it_is() -> None:
    def fail(depth: int) -> None:
        if depth:
            fail(depth - 1)
        raise ValueError

    with pytest.raises(ValueError) as failed:  # noqa: PT011  # it says nothing
        fail(100)
    # A cycle of causes.
    failed.value.__cause__ = KeyError()
    failed.value.__cause__.__cause__ = failed.value

    kind, causes, stack = describe(failed.type, failed.value, failed.tb)

    assert (kind, causes, len(stack)) == ("ValueError", ["KeyError", "ValueError"] * 5, 30)
    assert stack[-1].endswith(" fail")
