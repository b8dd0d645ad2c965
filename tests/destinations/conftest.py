"""Fixtures of the tests of destinations."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text

import run_log
from conftest import MARKER, Json, MakeApp, body
from leadapi import config, storage
from leadapi.config import Settings
from leadapi.destinations.dispatcher import Dispatcher, Pace
from leadapi.destinations.kinds import Message, Target
from receivers import Mailbox, mail_server
from webhook_receiver import Receiver

NewDestination = Callable[..., Json]
Dispatch = Callable[..., Dispatcher]
# Every part of it that a log must not contain has the word that the log is searched for.
URL = f"https://hooks.example.com/{MARKER}"
PACE = Pace(slots=16, pass_seconds=0.01, most_per_pass=16, share=1.0, poll_seconds=0.05)
# In the order in which they are shown.
FIELDS = [
    *("id", "kind", "url", "events", "sources", "description", "headers", "enabled", "disabled_reason"),
    *("created_at", "last_delivery"),
]
# A destination and a message of the tests of mail.
SALES = Target(url="mailto:sales@example.com", headers={}, secrets=())
LEAD = {
    "id": 12,
    "full_name": "María Lee",
    "email": "maria@bücher.example",
    "company": "Lee & Sons <b>",
    "message": "Hello,\n\nwe need <40> licences.\r\nBest, María",
    "source": "landing-page",
    "created_at": "2026-02-28T10:00:00Z",
    "status": "new",
    "attributes": {"utm_source": "news & more", "page": "https://www.example.com/?a=1&b=2"},
    "updated_at": "2026-02-28T10:00:00Z",
}
MESSAGE = Message(delivery_id=3, event_id=5, type="lead.created", time=datetime(2026, 2, 28, 10, tzinfo=UTC), lead=LEAD)
NewSettings = Callable[..., Settings]


@pytest.fixture
def app(shared_app: MakeApp) -> Flask:
    """An app that accepts every host, so that no test looks up a name."""
    mail = {"SMTP_URL": "smtp://127.0.0.1:25", "MAIL_FROM": "leads@example.com"}
    return shared_app(THREADS="4", WEBHOOK_ALLOW_PRIVATE="on", **mail)


@pytest.fixture
def new_destination(client: FlaskClient) -> NewDestination:
    """Create a destination, a webhook unless told otherwise, and return the JSON of the response."""

    def create(**fields: object) -> Json:
        response = client.post("/destinations", json={"kind": "webhook", "url": URL, **fields})
        assert response.status_code == 201, response.json
        created = body(response)
        if "secret" in created:
            run_log.secrets.append(created["secret"])
        return created

    return create


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A receiver of webhooks that accepts everything."""
    server = Receiver()
    yield server
    server.close()


@pytest.fixture
def hooked(receiver: Receiver, new_destination: NewDestination) -> Receiver:
    """A receiver of webhooks that is the first destination."""
    new_destination(url=receiver.url)
    return receiver


@pytest.fixture
def dispatch(app: Flask) -> Iterator[Dispatch]:
    """Start dispatchers for the app, and stop them at the end of the test."""
    running = []

    def start(**changes: Any) -> Dispatcher:
        dispatcher = Dispatcher(app, replace(PACE, **changes))
        app.extensions["after_commit"] = dispatcher.news.set
        dispatcher.start()
        running.append(dispatcher)
        return dispatcher

    yield start
    for dispatcher in running:
        dispatcher.stop()


def mail_settings(url: str, **environ: str) -> Settings:
    """The settings of a service that sends mail by a server."""
    return config.load({"DATABASE_URL": "sqlite://", "SMTP_URL": url, "MAIL_FROM": "leads@example.com"} | environ)


@pytest.fixture
def mailbox() -> Mailbox:
    return Mailbox()


@pytest.fixture
def new_settings(mailbox: Mailbox) -> Iterator[NewSettings]:
    """Run a server with the mailbox, and return the settings of a service that sends mail by it."""
    with ExitStack() as stack:

        def start(query: str = "?starttls=optional", user: str = "", scheme: str = "smtp", **options: Any) -> Settings:
            address = stack.enter_context(mail_server(mailbox, **options))
            public_url = "https://leads.example.com"
            return mail_settings(f"{scheme}://{user}{address}/{query}", PUBLIC_URL=public_url)

        yield start


def change_rows(app: Flask, statement: str, **values: Any) -> None:
    """Change what is stored, as a dispatcher would."""
    with app.app_context(), storage.write() as tx:
        tx.execute(text(statement), values)


def deliveries(client: FlaskClient, destination_id: int, query: str = "") -> list[Json]:
    """The items of a list of deliveries."""
    items: list[Json] = body(client.get(f"/destinations/{destination_id}/deliveries?{query}"))["items"]
    return items
