"""One shape for every error, whoever raises it."""

import logging
from typing import Any

import orjson
import pytest
from flask import Flask
from flask.testing import FlaskClient

from conftest import MARKER, MakeApp, body

pytestmark = pytest.mark.one_database


def broken(name: str) -> str:
    """Fail as only a bug would, with a person's data in the message."""
    raise RuntimeError(f"cannot write to {MARKER}@example.com") from KeyError(name)


@pytest.fixture
def app_with_a_bug(make_app: MakeApp) -> Flask:
    """An app with a route that fails."""
    app = make_app(DATABASE_URL="sqlite://")
    app.add_url_rule("/broken/<name>", "broken", broken)
    return app


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nowhere", 404),
        ("GET", "/leads//", 404),
        ("POST", "/leads//batch", 404),
        ("GET", "/docs//assets/x", 404),
        ("GET", "/leads/1/nothing", 404),
        ("GET", "/%00", 404),
    ],
)
def test_routing_errors_have_the_shape(client: FlaskClient, method: str, path: str, status: int) -> None:
    response = client.open(path, method=method)

    assert response.status_code == status
    assert response.mimetype == "application/problem+json"
    assert body(response) == {"detail": "There is nothing at this address."}


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "TRACE", "NONSENSE"])
def test_a_method_that_is_not_answered_is_told_which_are(client: FlaskClient, method: str) -> None:
    response = client.open("/leads", method=method)

    assert response.status_code == 405
    assert response.mimetype == "application/problem+json"
    assert {"GET", "POST"} <= set(response.headers["Allow"].split(", "))
    assert list(body(response)) == ["detail"]


def test_a_crash_tells_the_client_nothing(app_with_a_bug: Flask) -> None:
    response = app_with_a_bug.test_client().get("/broken/now")

    assert response.status_code == 500
    assert response.mimetype == "application/problem+json"
    assert body(response) == {"detail": "The service failed to answer this request."}
    assert response.headers["X-Request-Id"]


def test_a_crash_tells_the_log_where_and_not_whom(app_with_a_bug: Flask, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()

    response = app_with_a_bug.test_client().get(f"/broken/{MARKER}?email={MARKER}@example.com")

    output = capsys.readouterr().out
    lines: list[dict[str, Any]] = [orjson.loads(line) for line in output.splitlines()]
    (failure,) = [line for line in lines if line["level"] == "error"]
    assert failure["event"] == "request.failed"
    assert failure["error"] == "RuntimeError"
    assert failure["cause"] == ["KeyError"]
    assert failure["stack"][-1].endswith(" broken")
    assert failure["request_id"] == response.headers["X-Request-Id"]
    assert f"{MARKER}@" not in output


def test_a_library_that_quotes_what_it_was_sent_is_silenced(
    app_with_a_bug: Flask, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()

    for message in (
        f"Can't be read: 'Connection in use: {MARKER}'",
        f"Invalid request from ip=127.0.0.1: Invalid HTTP Header: '{MARKER} Dee'",
        f'Invalid HTTP request line: "GET {MARKER}"',
        f"Error handling request /leads/{MARKER}?name={MARKER}",
        f'Invalid HTTP Header: Cookie it\'s "a" name={MARKER}',
        f"no such person: {MARKER}%40example.com",
    ):
        logging.getLogger("gunicorn.error").warning(message)

    output = capsys.readouterr().out
    assert len(output.splitlines()) == 6
    assert MARKER not in output
    assert "Invalid HTTP Header" in output


def test_a_field_with_a_name_that_cannot_be_read_is_told_in_a_sentence_too(client: FlaskClient) -> None:
    named = {"": '""', " ": '" "', "a\nb": '"a\\nb"', "c" * 41: "c" * 40, "d e": "d e"}

    for name, told in named.items():
        response = client.get("/leads", query_string={name: "1"})

        assert response.status_code == 422
        assert body(response)["detail"] == f"This field is not valid: {told}."
        assert list(body(response)["errors"]) == [name]
