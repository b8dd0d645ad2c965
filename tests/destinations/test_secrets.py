"""The secrets of destinations: shown once, rotated, and never in a log."""

import base64
from datetime import UTC, datetime, timedelta
from typing import Any

from destinations.conftest import NewDestination
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text

import run_log
from conftest import MARKER, body
from leadapi import storage


def stored(app: Flask) -> Any:
    """The secrets of the only destination."""
    with app.app_context(), storage.read() as connection:
        columns = "secret, previous_secret, previous_secret_until"
        return connection.execute(text(f"SELECT {columns} FROM destinations")).one()


def test_a_secret_has_256_random_bits(new_destination: NewDestination) -> None:
    first, second = (new_destination()["secret"] for _ in range(2))

    assert first != second
    assert first.startswith("whsec_")
    assert len(base64.b64decode(first.removeprefix("whsec_"), validate=True)) == 32


def test_a_secret_and_the_values_of_headers_are_never_shown_again(
    client: FlaskClient, new_destination: NewDestination
) -> None:
    created = new_destination(headers={"Authorization": f"Bearer {MARKER}"})

    answers = [
        client.get("/destinations"),
        client.get("/destinations/1"),
        client.patch("/destinations/1", json={"headers": {"X-Other": MARKER}, "description": "new"}),
        client.post("/destinations/1/test"),
        client.get("/destinations/1/deliveries"),
    ]

    # The word is a part of the URL, which is shown.
    url = created.pop("url")
    for answer in answers:
        shown = answer.text.replace(url, "")
        assert created["secret"] not in shown
        assert MARKER not in shown


def test_a_rotation_keeps_the_secret_before_for_a_day(
    app: Flask, client: FlaskClient, new_destination: NewDestination
) -> None:
    first = new_destination()

    response = client.post("/destinations/1/rotate")

    assert response.status_code == 200
    second = body(response)
    run_log.secrets.append(second["secret"])
    assert {**second, "secret": first["secret"]} == first
    assert list(second) == list(first)
    secret, previous, until = stored(app)
    assert (secret, previous) == (second["secret"], first["secret"])
    ends = datetime.fromisoformat(str(until)).replace(tzinfo=UTC)
    assert abs(ends - datetime.now(UTC) - timedelta(hours=24)) < timedelta(seconds=30)


def test_a_second_rotation_drops_the_oldest_secret(
    app: Flask, client: FlaskClient, new_destination: NewDestination
) -> None:
    new_destination()

    second, third = (body(client.post("/destinations/1/rotate"))["secret"] for _ in range(2))

    assert stored(app)[:2] == (third, second)


def test_only_a_webhook_has_a_secret_to_rotate(client: FlaskClient, new_destination: NewDestination) -> None:
    new_destination(kind="email", url="mailto:sales@example.com")

    response = client.post("/destinations/1/rotate")

    assert (response.status_code, response.json) == (409, {"detail": "Only a webhook has a secret."})


def test_a_chat_is_shown_without_its_secrets(client: FlaskClient, new_destination: NewDestination) -> None:
    created = new_destination(kind="chat", url=f"slack://T1JJ3T3L2/A1BRTD4JD/{MARKER}{MARKER}{MARKER}a/#leads")

    assert MARKER not in created["url"]
    assert created["url"].startswith("slack://")
    assert body(client.get("/destinations/1"))["url"] == created["url"]


def test_a_refused_value_is_in_no_answer(client: FlaskClient) -> None:
    sent = {"kind": "webhook", "url": "https://hooks.example.com/", "headers": {"Authorization": f"{MARKER}\n"}}

    response = client.post("/destinations", json=sent)
    wrong_url = client.post("/destinations", json={**sent, "headers": None, "url": f"https://{MARKER}:a@b/"})

    assert (response.status_code, wrong_url.status_code) == (422, 422)
    assert MARKER not in response.text + wrong_url.text
