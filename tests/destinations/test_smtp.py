"""Mail: what becomes of the replies of the server."""

import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest
from destinations.conftest import MESSAGE, SALES, NewSettings, mail_settings

from leadapi.destinations import egress, email, kinds
from leadapi.destinations.kinds import Outcome, Target
from receivers import CERTIFICATE, Mailbox, tls_of_server


def test_a_temporary_refusal_is_retried_and_the_next_attempt_arrives(
    mailbox: Mailbox, new_settings: NewSettings
) -> None:
    mailbox.replies = {"DATA": ["451 Try again later"]}
    configured = new_settings()

    assert email.send(SALES, [MESSAGE], configured) == Outcome(error="status", status=451, excerpt="Try again later")
    assert email.send(SALES, [MESSAGE], configured) == Outcome(status=250)
    assert len(mailbox.mails) == 1


@pytest.mark.parametrize(
    ("replies", "outcome"),
    [
        ({"MAIL": ["450 Busy"]}, Outcome(error="status", status=450, excerpt="Busy")),
        ({"MAIL": ["552 Too big"]}, Outcome(error="status", status=552, is_final=True, excerpt="Too big")),
        ({"MAIL": ["550 Not you"]}, Outcome(error="auth", status=550, disables="auth", excerpt="Not you")),
        (
            {"RCPT": ["550 Nobody", "551 Gone"]},
            Outcome(
                error="recipient",
                status=550,
                is_final=True,
                excerpt="a@example.com: 550 Nobody\nb@example.com: 551 Gone",
            ),
        ),
        (
            {"RCPT": ["550 Nobody", "452 Full"]},
            Outcome(error="status", status=452, excerpt="a@example.com: 550 Nobody\nb@example.com: 452 Full"),
        ),
        ({"RCPT": ["550 Nobody"]}, Outcome(status=250, excerpt="a@example.com: 550 Nobody")),
        ({"DATA": ["554 Spam"]}, Outcome(error="status", status=554, is_final=True, excerpt="Spam")),
        ({"DATA": ["421 Closing"]}, Outcome(error="status", status=421, excerpt="Closing")),
    ],
)
def test_a_refusal_is_temporary_final_or_our_own_fault(
    mailbox: Mailbox, new_settings: NewSettings, replies: dict[str, list[str]], outcome: Outcome
) -> None:
    mailbox.replies = replies
    both = Target(url="mailto:a@example.com,b@example.com", headers={}, secrets=())

    assert email.send(both, [MESSAGE], new_settings()) == outcome


def test_a_mail_about_several_leads_that_is_refused_is_retried(mailbox: Mailbox, new_settings: NewSettings) -> None:
    configured = new_settings()
    several = [MESSAGE, replace(MESSAGE, delivery_id=4)]

    mailbox.replies = {"DATA": ["554 Spam"]}
    refused_content = email.send(SALES, several, configured)
    mailbox.replies = {"RCPT": ["550 Nobody"]}
    refused_recipient = email.send(SALES, several, configured)

    # One of the leads may be the reason. No other mail has another recipient.
    assert refused_content == Outcome(error="status", status=554, excerpt="Spam")
    assert refused_recipient.is_final


def test_a_login_is_made(mailbox: Mailbox, new_settings: NewSettings) -> None:
    configured = new_settings(user="us%40er:pass%3Aword@", authenticator=mailbox.authenticate, auth_require_tls=False)

    assert email.send(SALES, [MESSAGE], configured) == Outcome(status=250)
    assert mailbox.logins == [(b"us@er", b"pass:word")]


@pytest.mark.parametrize(
    ("reply", "outcome"),
    [
        ("535 Wrong password", Outcome(error="auth", status=535, disables="auth", excerpt="Wrong password")),
        ("454 Not now", Outcome(error="status", status=454, excerpt="Not now")),
    ],
)
def test_a_refused_login_disables_the_destination_unless_it_is_temporary(
    mailbox: Mailbox, new_settings: NewSettings, reply: str, outcome: Outcome
) -> None:
    # smtplib tries each method of authentication.
    mailbox.replies = {"AUTH": [reply] * 3}
    configured = new_settings(user="user:password@", authenticator=mailbox.authenticate, auth_require_tls=False)

    assert email.send(SALES, [MESSAGE], configured) == outcome
    assert mailbox.mails == []


def test_a_malformed_challenge_is_retried() -> None:
    """The server offers CRAM-MD5, and its challenge is no base64."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            connection, _ = listener.accept()
            with connection, connection.makefile("rb") as commands:
                connection.sendall(b"220 mail\r\n")
                for reply in (b"250-mail\r\n250 AUTH CRAM-MD5\r\n", b"334 a\r\n"):
                    commands.readline()
                    connection.sendall(reply)

        server = threading.Thread(target=answer)
        server.start()
        url = f"smtp://user:password@127.0.0.1:{listener.getsockname()[1]}?starttls=optional"
        outcome = email.send(SALES, [MESSAGE], mail_settings(url))
        server.join()

    assert outcome == Outcome(error="connection")


def test_a_server_without_logins_is_our_own_fault(new_settings: NewSettings) -> None:
    outcome = email.send(SALES, [MESSAGE], new_settings(user="user:password@"))

    assert (outcome.error, outcome.disables) == ("auth", "auth")


def test_a_server_without_starttls_gets_nothing_unless_it_is_optional(
    mailbox: Mailbox, new_settings: NewSettings
) -> None:
    assert email.send(SALES, [MESSAGE], new_settings(query="")) == Outcome(error="tls")
    assert mailbox.mails == []


@pytest.fixture
def trusted(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Trust the certificate of the tests."""
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
    egress.tls.cache_clear()
    yield
    egress.tls.cache_clear()


@pytest.mark.parametrize("query", ["", "?starttls=optional"])
def test_starttls_is_used_where_it_is_offered(
    mailbox: Mailbox, new_settings: NewSettings, trusted: None, query: str
) -> None:
    assert email.send(SALES, [MESSAGE], new_settings(query, tls_context=tls_of_server())) == Outcome(status=250)
    assert mailbox.is_encrypted == [True]


def test_a_connection_can_be_encrypted_from_its_beginning(
    mailbox: Mailbox, new_settings: NewSettings, trusted: None
) -> None:
    assert email.send(SALES, [MESSAGE], new_settings("", scheme="smtps", ssl_context=tls_of_server())) == Outcome(
        status=250
    )
    assert mailbox.is_encrypted == [True]


def test_a_certificate_that_is_not_trusted_is_accepted_only_where_no_encryption_is(
    mailbox: Mailbox, new_settings: NewSettings
) -> None:
    options = {"tls_context": tls_of_server()}

    assert email.send(SALES, [MESSAGE], new_settings("", **options)) == Outcome(error="tls")
    assert email.send(SALES, [MESSAGE], new_settings("", scheme="smtps", ssl_context=tls_of_server())) == Outcome(
        error="tls"
    )
    assert mailbox.mails == []
    assert email.send(SALES, [MESSAGE], new_settings("?starttls=optional", **options)) == Outcome(status=250)


def test_a_server_that_says_nothing_is_left_at_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kinds, "DEADLINE_SECONDS", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        began = time.monotonic()
        outcome = email.send(SALES, [MESSAGE], mail_settings(f"smtp://127.0.0.1:{silent.getsockname()[1]}"))

    assert outcome == Outcome(error="timeout")
    assert time.monotonic() - began < 0.9


def test_a_server_that_is_not_there_is_retried() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]

    assert email.send(SALES, [MESSAGE], mail_settings(f"smtp://127.0.0.1:{port}")) == Outcome(error="connection")
    assert email.send(SALES, [MESSAGE], mail_settings("smtp://nothing.invalid")) == Outcome(error="dns")
