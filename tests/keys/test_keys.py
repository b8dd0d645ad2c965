"""Keys: what is stored and logged, and how long a worker remembers them."""

import sqlite3
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from flask import Flask, Response
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Row, text

from conftest import MakeApp, make_key
from leadapi import storage
from leadapi.keys import service
from leadapi.keys.errors import KeyRefused
from leadapi.keys.guard import caller
from leadapi.keys.ring import KeyRing
from leadapi.keys.texts import LETTERS, KeyText, read_key
from leadapi.keys.texts import make_key as make_text
from leadapi.storage import db


def stored(app: Flask, key: str) -> Row[Any]:
    with app.app_context():
        (found,) = [one for one in service.list_keys() if one.id == key[3:15]]
        return found


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


# --- the text ------------------------------------------------------------------------------------


def test_a_key_is_read_back_in_its_parts() -> None:
    for _ in range(1000):
        key = make_text()
        assert read_key(str(key)) == key
        assert str(key).replace("_", "").isalnum()
        assert len(str(key)) == 65


@given(st.integers(0, 64), st.sampled_from(LETTERS))
def test_one_wrong_letter_is_recognised(place: int, letter: str) -> None:
    right = str(KeyText("0123456789ab", "A" * 43))
    wrong = right[:place] + letter + right[place + 1 :]

    assert read_key(wrong) is None or wrong == right


@given(st.integers(0, 63))
def test_two_swapped_letters_are_recognised(place: int) -> None:
    right = str(make_text())
    wrong = right[:place] + right[place + 1] + right[place] + right[place + 2 :]

    assert read_key(wrong) is None or wrong == right


def test_a_text_that_only_resembles_a_key_is_no_key() -> None:
    key = str(make_text())

    for wrong in ("", "lk_", key[:-1], f"{key}x", f" {key}", f"{key}\n", key.lower(), key.replace("lk_", "LK_")):
        assert read_key(wrong) is None


def test_a_secret_is_not_in_what_debuggers_show() -> None:
    key = make_text()

    assert key.secret not in repr(key)


# --- what is kept --------------------------------------------------------------------------------


def test_the_database_has_only_the_hash(app: Flask, database_url: str) -> None:
    key = make_key(app, "read")
    app.test_client().get("/leads", headers=bearer(key)).close()

    secret = key[16:59]
    with app.app_context(), storage.read() as connection:
        rows = connection.execute(text("SELECT * FROM api_keys")).all()
    assert rows
    assert secret not in repr(rows)
    if database_url.startswith("sqlite"):
        dump = "\n".join(sqlite3.connect(database_url.removeprefix("sqlite:///")).iterdump())
        assert key[3:15] in dump
        assert secret not in dump
        assert secret.encode().hex() not in dump.lower()


def test_the_log_names_the_key_by_its_id(app: Flask, capsys: pytest.CaptureFixture[str]) -> None:
    keys = [make_key(app, "read"), make_key(app, "capture"), make_key(app, "read")]
    with app.app_context():
        service.revoke_key(keys[2][3:15])
    capsys.readouterr()

    for shown in [*keys, "garbage", str(make_text())]:
        app.test_client().get("/leads", headers=bearer(shown))

    lines = [orjson.loads(line) for line in capsys.readouterr().out.splitlines()]
    seen = [(line["status"], line.get("key_id"), line.get("key_refused")) for line in lines]
    ids = [key[3:15] for key in keys]
    assert seen == [
        (200, ids[0], None),
        (403, ids[1], None),
        (401, ids[2], "revoked"),
        (401, None, "malformed"),
        (401, None, "unknown"),
    ]


@pytest.mark.usefixtures("own_app")
def test_others_can_ask_who_is_calling_and_what_they_may(app: Flask) -> None:
    asked: list[tuple[str | None, bool, bool]] = []

    @app.after_request
    def ask(response: Response) -> Response:
        by = caller()
        asked.append((by.key_id, by.may("read"), by.may("write")))
        return response

    reader, admin = make_key(app, "read"), make_key(app, "admin")
    client = app.test_client()

    client.get("/leads", headers=bearer(reader))
    client.get("/leads", headers=bearer(admin))
    client.get("/leads")
    client.post("/leads")

    assert asked == [(reader[3:15], True, False), (admin[3:15], True, True), (None, False, False), (None, False, False)]


def test_everybody_may_everything_with_auth_off(make_app: MakeApp) -> None:
    app = make_app(DATABASE_URL="sqlite://")

    with app.test_request_context():
        assert caller() == service.OPERATOR
        assert caller().may("write")
        assert caller().key_id is None


# --- what is remembered --------------------------------------------------------------------------


def test_a_key_that_is_revoked_is_soon_forgotten(app: Flask) -> None:
    key = make_key(app, "read")
    ring = KeyRing(remembered_seconds=0.05)

    with app.app_context():
        ring.identify(key)
        service.revoke_key(key[3:15])

        assert refusal(ring, key) == "revoked"


def test_a_key_ends_on_time_though_it_is_remembered(app: Flask) -> None:
    key = make_key(app, "read", expires_at=datetime.now(UTC) + timedelta(seconds=2))
    ring = KeyRing()

    with app.app_context():
        ring.identify(key)

        assert refusal(ring, key) == "expired"


def refusal(ring: KeyRing, key: str) -> str:
    """Show a key until it is refused; return why."""
    until = time.monotonic() + 5
    while time.monotonic() < until:
        try:
            ring.identify(key)
        except KeyRefused as exc:
            return exc.reason
    raise AssertionError("the key is taken still")


def test_a_ring_does_not_grow_for_ever(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("leadapi.keys.ring.MAX_REMEMBERED", 2)
    ring = KeyRing()

    with app.app_context():
        for key in [make_key(app, "read") for _ in range(5)]:
            assert ring.identify(key).scopes == {"read"}

    assert len(vars(ring)["_seen"]) <= 2


# --- the last use --------------------------------------------------------------------------------


def test_a_use_is_noted_at_most_once_a_minute(make_app: MakeApp, database_url: str, app: Flask) -> None:
    key = make_key(app, "read")
    assert stored(app, key).last_used_at is None

    app.test_client().get("/leads", headers=bearer(key)).close()
    first = stored(app, key).last_used_at
    assert first is not None
    assert abs(datetime.now(UTC) - first) < timedelta(seconds=10)

    # This process knows that it noted one just now, and does not ask the database.
    set_last_use(app, first - timedelta(days=1))
    app.test_client().get("/leads", headers=bearer(key)).close()
    assert stored(app, key).last_used_at == first - timedelta(days=1)

    for ago, noted in ((30, False), (90, True)):
        then = datetime.now(UTC).replace(microsecond=0) - timedelta(seconds=ago)
        set_last_use(app, then)
        # Another process, which remembers nothing.
        other = make_app(DATABASE_URL=database_url, AUTH="on")
        other.test_client().get("/leads", headers=bearer(key)).close()
        assert (stored(app, key).last_used_at != then) is noted


def set_last_use(app: Flask, moment: datetime) -> None:
    with app.app_context(), storage.write() as tx:
        tx.execute(text("UPDATE api_keys SET last_used_at = :moment"), {"moment": moment.replace(tzinfo=None)})


def test_a_use_that_cannot_be_noted_delays_nobody(app: Flask, capsys: pytest.CaptureFixture[str]) -> None:
    key = make_key(app, "read")
    capsys.readouterr()
    began = time.monotonic()

    with app.app_context(), storage.write() as tx:
        # Another writer holds the lock of all SQLite writers, or the row on PostgreSQL.
        tx.execute(text("UPDATE api_keys SET name = name"))
        response = app.test_client().get("/leads", headers=bearer(key))
        response.close()

    assert response.status_code == 200
    assert time.monotonic() - began < 2
    assert stored(app, key).last_used_at is None
    events = [orjson.loads(line)["event"] for line in capsys.readouterr().out.splitlines()]
    assert events == (["request", "keys.use_not_noted"] if db_name(app) == "sqlite" else ["request"])


def db_name(app: Flask) -> str:
    with app.app_context():
        return db.engine.dialect.name


# --- without a database --------------------------------------------------------------------------


def test_a_database_that_does_not_answer_is_a_503(app: Flask, make_app: MakeApp) -> None:
    down = make_app(DATABASE_URL="postgresql://127.0.0.1:1/nowhere", AUTH="on").test_client()

    response = down.get("/leads", headers=bearer(str(make_text())))

    assert response.status_code == 503
    assert response.headers["Retry-After"]
    # A text that is no key is refused without the database.
    assert down.get("/leads").status_code == 401
    assert down.get("/leads", headers=bearer("garbage")).status_code == 401


@pytest.mark.usefixtures("own_app")
def test_a_table_that_is_not_there_is_a_503(app: Flask) -> None:
    with app.app_context(), storage.write() as tx:
        tx.execute(text("DROP TABLE api_keys"))

    assert app.test_client().get("/leads", headers=bearer(str(make_text()))).status_code == 503
