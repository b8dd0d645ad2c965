"""Keys that are not valid count against the address that they come from."""

from datetime import UTC, datetime, timedelta

import pytest
from flask import Flask
from sqlalchemy import event

from conftest import MakeApp, make_key
from leadapi.keys import service
from leadapi.keys.texts import make_key as make_text
from leadapi.storage import db


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def statements_of(app: Flask) -> list[str]:
    """Every statement that the database gets from now on."""
    statements: list[str] = []
    with app.app_context():
        event.listen(db.engine, "before_cursor_execute", lambda *arguments: statements.append(arguments[2]))
    return statements


def test_failed_keys_cost_their_address_before_they_cost_the_database(make_app: MakeApp, database_url: str) -> None:
    app = make_app(DATABASE_URL=database_url, AUTH="on", RATE_LIMIT_API="20/minute")
    client, statements = app.test_client(), statements_of(app)

    answers = [client.get("/leads", headers=bearer(str(make_text()))) for _ in range(200)]

    assert [answer.status_code for answer in answers] == [401] * 20 + [429] * 180
    assert len([statement for statement in statements if "api_keys" in statement]) == 20
    assert answers[0].headers["RateLimit"].startswith('"api";r=19;')
    assert 0 < int(answers[-1].headers["Retry-After"]) <= 60
    assert client.get("/health").status_code == 200


def test_a_failed_key_costs_a_request_wherever_and_however_it_is_sent(make_app: MakeApp, database_url: str) -> None:
    app = make_app(DATABASE_URL=database_url, AUTH="on", RATE_LIMIT_API="1000/hour")
    client = app.test_client()
    left = 1000

    revoked = make_key(app, "admin")
    with app.app_context():
        service.revoke_key(revoked[3:15])
    expired = make_key(app, "admin", expires_at=datetime.now(UTC) - timedelta(seconds=1))
    failing: list[dict[str, str]] = [
        bearer("garbage"),
        bearer(str(make_text())),
        bearer(revoked),
        bearer(revoked),
        bearer(expired),
        {"Authorization": "Basic *"},
        {"Authorization": "Digest x"},
        {"X-API-Key": ""},
        {**bearer("one"), "X-API-Key": "another"},
    ]

    for method, path in (("GET", "/leads"), ("POST", "/leads"), ("DELETE", "/leads/1")):
        for headers in failing:
            left -= 1
            response = client.open(path, method=method, headers=headers)
            assert response.status_code == 401
            assert response.headers["RateLimit"].startswith(f'"api";r={left};'), headers


def test_a_valid_key_costs_its_address_nothing(make_app: MakeApp, database_url: str) -> None:
    app = make_app(DATABASE_URL=database_url, AUTH="on", RATE_LIMIT_API="2/hour")
    client = app.test_client()
    first, second = make_key(app, "read"), make_key(app, "read")

    def status(key: str) -> int:
        return client.get("/leads", headers=bearer(key)).status_code

    assert [status(first) for _ in range(3)] == [200, 200, 429]
    assert [status(second) for _ in range(3)] == [200, 200, 429]
    assert [status("garbage") for _ in range(3)] == [401, 401, 429]


def test_a_key_in_use_works_on_though_its_address_sent_too_many_others(
    make_app: MakeApp, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # So that each request reads the key again.
    monkeypatch.setattr("leadapi.keys.ring.KeyRing.__init__.__defaults__", (0.0,))
    app = make_app(DATABASE_URL=database_url, AUTH="on", RATE_LIMIT_API="5/hour")
    client, key = app.test_client(), make_key(app, "read")

    first = client.get("/leads", headers=bearer(key))
    guesses = [client.get("/leads", headers=bearer(str(make_text()))).status_code for _ in range(7)]
    second = client.get("/leads", headers=bearer(key))
    with app.app_context():
        service.revoke_key(key[3:15])
    revoked = client.get("/leads", headers=bearer(key))

    assert (first.status_code, second.status_code) == (200, 200)
    assert guesses == [401] * 5 + [429] * 2
    assert revoked.status_code == 429
