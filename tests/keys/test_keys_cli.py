"""flask keys."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from flask import Flask
from sqlalchemy import text

import run_log
from conftest import MARKER, MakeApp
from leadapi import storage
from leadapi.keys import service


def run(app: Flask, *arguments: str) -> str:
    """The standard output of a command."""
    result = app.test_cli_runner().invoke(args=["keys", *arguments])
    assert result.exit_code == 0, result.output
    return str(result.stdout)


def fault(app: Flask, *arguments: str) -> str:
    """The message of a command that fails."""
    result = app.test_cli_runner().invoke(args=["keys", *arguments])
    assert result.exit_code != 0
    assert "Traceback" not in result.output
    return str(result.output)


@pytest.fixture
def key(app: Flask) -> str:
    """A key as the command shows it."""
    shown = run(app, "create", "--name", f"{MARKER}'s site", "--scope", "read", "--scope", "capture").removesuffix("\n")
    run_log.secrets.append(shown)
    return shown


def test_create_shows_a_key_that_works_and_nothing_else(app: Flask, key: str) -> None:
    client = app.test_client()

    assert re.fullmatch("lk_[0-9a-z]{12}_[0-9A-Za-z]{49}", key)
    assert client.get("/leads", headers={"X-API-Key": key}).status_code == 200


def test_list_shows_all_but_the_secret(app: Flask, key: str) -> None:
    header, line = run(app, "list").splitlines()

    assert header.split("  ")[0] == "ID"
    assert line.startswith(f"{key[3:15]}  {MARKER}'s site  capture,read  20")
    assert line.endswith("valid")
    assert key[16:] not in line


def test_list_shows_when_a_key_was_used_last(app: Flask, key: str) -> None:
    app.test_client().get("/leads", headers={"X-API-Key": key}).close()

    assert len(re.findall(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", run(app, "list"))) == 2


def test_revoke_ends_a_key(app: Flask, key: str, make_app: MakeApp, database_url: str) -> None:
    said = run(app, "revoke", key[3:15])
    with app.app_context(), storage.write() as tx:
        tx.execute(text("UPDATE api_keys SET revoked_at = '2026-02-28 10:00:00Z'"))
    again = run(app, "revoke", key[3:15])

    assert "within 5 seconds" in said
    assert again == said
    # It ended when it was revoked first.
    assert "revoked 2026-02-28T10:00:00Z" in run(app, "list")
    assert app.test_client().get("/leads", headers={"X-API-Key": key}).status_code == 401


def test_revoke_says_when_there_is_no_such_key(app: Flask) -> None:
    assert "There is no key with this id." in fault(app, "revoke", "000000000000")


@pytest.mark.parametrize(("given", "days"), [("30d", 30), ("12h", 0.5), ("999999d", 36500), ("2999-01-31", None)])
def test_a_key_can_have_an_end(app: Flask, given: str, days: float | None) -> None:
    run(app, "create", "--name", "site", "--scope", "capture", "--expires", given)

    with app.app_context():
        (key,) = service.list_keys()
    end = datetime(2999, 1, 31, tzinfo=UTC) if days is None else datetime.now(UTC) + timedelta(days=days)
    assert key.expires_at is not None
    assert abs(key.expires_at - end) < timedelta(seconds=30)


def test_a_key_that_has_ended_is_shown_so(app: Flask) -> None:
    with app.app_context():
        service.create_key(name="site", scopes=["read"], expires_at=datetime.now(UTC) - timedelta(days=1))

    assert run(app, "list").splitlines()[1].endswith("expired")


@pytest.mark.one_database
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--name", "x", "--scope", "everything"], "'everything' is not one of"),
        (["--name", "x"], "Missing option '--scope'"),
        (["--scope", "read"], "Missing option '--name'"),
        (["--name", " ", "--scope", "read"], "1 to 100 printable characters"),
        (["--name", "a\nb", "--scope", "read"], "1 to 100 printable characters"),
        (["--name", "x" * 101, "--scope", "read"], "1 to 100 printable characters"),
        (["--name", "x", "--scope", "read", "--expires", "soon"], "give a number of days or hours"),
        (["--name", "x", "--scope", "read", "--expires", "0d"], "this is in the past"),
        (["--name", "x", "--scope", "read", "--expires", "2020-01-01"], "this is in the past"),
    ],
)
def test_create_says_what_is_wrong(app: Flask, arguments: list[str], said: str) -> None:
    assert said in fault(app, "create", *arguments)

    with app.app_context():
        assert service.list_keys() == []


def test_a_schema_that_is_not_there_is_told_in_a_sentence(make_app: MakeApp, empty_database_url: str) -> None:
    app = make_app(DATABASE_URL=empty_database_url, AUTO_MIGRATE="off")

    said = fault(app, "list")

    assert "no such table" in said or "flask db upgrade" in said
