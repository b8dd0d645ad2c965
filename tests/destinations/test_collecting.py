"""Mail: several leads within a minute are one mail, and the operator is told of a destination that keeps failing."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from typing import Any

import pytest
from destinations.conftest import Dispatch, NewDestination, change_rows, deliveries
from flask import Flask
from flask.testing import FlaskClient

from conftest import MakeApp, StoredLead
from leadapi import storage
from leadapi.destinations import leases
from leadapi.destinations.dispatcher import PAUSE
from receivers import Mailbox, mail_server
from webhook_receiver import Receiver


@dataclass
class WatchedMailbox(Mailbox):
    """A mailbox that tells when a mail has come."""

    news: threading.Event = field(default_factory=threading.Event)

    async def handle_DATA(self, *arguments: Any) -> str:  # noqa: N802  # the name that aiosmtpd calls
        reply = await super().handle_DATA(*arguments)
        self.news.set()
        return reply

    def next_mail(self) -> EmailMessage:
        """Wait for a mail."""
        assert self.news.wait(30)
        self.news.clear()
        return self.mails[-1]


@pytest.fixture
def mailbox() -> WatchedMailbox:
    return WatchedMailbox()


@pytest.fixture
def app(make_app: MakeApp, database_url: str, mailbox: WatchedMailbox) -> Iterator[Flask]:
    """An app that sends mail to the mailbox."""
    with mail_server(mailbox) as address:
        mail = {"SMTP_URL": f"smtp://{address}/?starttls=optional", "MAIL_FROM": "leads@example.com"}
        yield make_app(DATABASE_URL=database_url, THREADS="4", WEBHOOK_ALLOW_PRIVATE="on", **mail)


@pytest.fixture
def mailed(new_destination: NewDestination) -> int:
    """The id of a destination that gets mail."""
    destination_id: int = new_destination(kind="email", url="mailto:sales@example.com")["id"]
    return destination_id


def claim_mail(app: Flask) -> list[int]:
    """Claim the messages of a mail as a dispatcher does; return the ids of the deliveries."""
    now = datetime.now(UTC)
    with app.app_context(), storage.write() as tx:
        claims = leases.claim(tx, 1, now, most=50, idle_since=now - PAUSE)
    return [claim.delivery_id for claim in claims]


def test_leads_of_a_moment_are_one_mail(
    client: FlaskClient, mailbox: WatchedMailbox, mailed: int, dispatch: Dispatch, stored_lead: StoredLead
) -> None:
    leads = [stored_lead() for _ in range(3)]

    running = dispatch()
    mail = mailbox.next_mail()
    running.stop()

    text = mail.get_body(("plain",))
    assert text is not None
    assert all(lead["email"] in text.get_content() for lead in leads)
    assert len(mailbox.mails) == 1
    shown = deliveries(client, mailed)
    assert [(each["state"], each["status"], each["attempts"]) for each in shown] == [("delivered", 250, 1)] * 3
    # It waited for more leads. The time of an event is truncated to the second.
    attempted, stored = (datetime.fromisoformat(time) for time in (shown[0]["last_attempt_at"], leads[0]["created_at"]))
    assert attempted - stored >= timedelta(seconds=2)


def test_the_next_mail_comes_a_minute_later(app: Flask, mailed: int, stored_lead: StoredLead) -> None:
    stored_lead()
    first = claim_mail(app)
    stored_lead()
    at_once = claim_mail(app)
    before = datetime.now(UTC) - timedelta(seconds=61)
    change_rows(app, "UPDATE deliveries SET last_attempt_at = :time WHERE id = 1", time=before)

    assert (first, at_once, claim_mail(app)) == ([1], [], [2])


def test_a_mail_that_seems_to_be_sent_in_the_future_does_not_hold_up_the_next(
    app: Flask, mailed: int, mailbox: WatchedMailbox, dispatch: Dispatch, stored_lead: StoredLead
) -> None:
    stored_lead()
    claim_mail(app)
    # The clock was wrong at that time.
    later = datetime.now(UTC) + timedelta(days=1)
    change_rows(app, "UPDATE deliveries SET state = 'delivered', last_attempt_at = :time", time=later)
    stored_lead()

    running = dispatch()
    mailbox.next_mail()
    running.stop()


def test_the_operator_is_told_once_of_a_destination_that_keeps_failing(
    client: FlaskClient, mailbox: WatchedMailbox, hooked: Receiver, dispatch: Dispatch, stored_lead: StoredLead
) -> None:
    before = datetime.now(UTC) - timedelta(days=6)
    change_rows(client.application, "UPDATE destinations SET failing_since = :time", time=before)
    hooked.behave = lambda _: 500
    stored_lead()
    stored_lead()

    running = dispatch()
    mail = mailbox.next_mail()
    running.stop()

    assert (mail["To"], mail["Subject"]) == ("leads@example.com", "Destination 1 is disabled")
    assert "flask destinations change 1 --enable" in mail.get_content()
    assert len(mailbox.mails) == 1
