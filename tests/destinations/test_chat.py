"""Chat: what a room gets by Apprise, and what becomes of the answers."""

import gc
import logging
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

import orjson
import pytest

from leadapi import config
from leadapi.destinations import chat, kinds
from leadapi.destinations.errors import UrlRefused
from leadapi.destinations.kinds import Message, Outcome, Target
from receivers import Answer, Receiver, dripping, endless, response, running

PRIVATE = config.load(
    {"DATABASE_URL": "sqlite://", "WEBHOOK_ALLOW_PRIVATE": "on", "PUBLIC_URL": "https://leads.example.com"}
)
LEAD = {
    "id": 12,
    "full_name": "Ann Lee",
    "email": "ann@example.com",
    "company": "Lee & Sons",
    "message": "Hello,\nwe need 40 licences.",
    "source": "landing-page",
    "attributes": {"phone": "123"},
}
MESSAGE = Message(delivery_id=3, event_id=5, type="lead.created", time=datetime(2026, 2, 28, 10, tzinfo=UTC), lead=LEAD)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with running(Receiver()) as started:
        yield started


def send(receiver: Receiver, url: str = "json://{netloc}/", message: Message = MESSAGE) -> Outcome:
    """Send a message to a service of Apprise that the receiver stands for."""
    target = Target(url=url.format(netloc=receiver.netloc), headers={}, secrets=())
    return chat.send(target, [message], PRIVATE)


def test_a_room_gets_a_few_lines(receiver: Receiver) -> None:
    assert send(receiver, "ntfy://{netloc}/sales") == Outcome()

    [request] = receiver.requests
    sent = orjson.loads(request.body)
    assert sent["topic"] == "sales"
    assert sent["title"] == "New lead: Ann Lee (landing-page)"
    assert sent["message"] == (
        "Lee & Sons · ann@example.com\nHello,\nwe need 40 licences.\nhttps://leads.example.com/inbox/leads/12"
    )


def test_a_service_without_titles_gets_all_in_one_text(receiver: Receiver) -> None:
    assert send(receiver, "mmost://{netloc}/3ccdd113474722377935511fc85d3dd4") == Outcome()

    [request] = receiver.requests
    assert request.path == "/hooks/3ccdd113474722377935511fc85d3dd4"
    sent = orjson.loads(request.body)
    assert sent["username"] == "leadapi"
    assert sent["text"].splitlines() == [
        "New lead: Ann Lee (landing-page)",
        "Lee & Sons · ann@example.com",
        "Hello,",
        "we need 40 licences.",
        "https://leads.example.com/inbox/leads/12",
    ]


def test_several_rooms_of_one_url_get_the_message_without_a_pause(receiver: Receiver) -> None:
    began = time.monotonic()

    assert send(receiver, "ntfy://{netloc}/sales/support") == Outcome()

    assert {orjson.loads(request.body)["topic"] for request in receiver.requests} == {"sales", "support"}
    # Apprise would wait for more than five seconds in between.
    assert time.monotonic() - began < 3


def test_an_erasure_is_one_line(receiver: Receiver) -> None:
    assert send(receiver, message=replace(MESSAGE, type="lead.erased", lead={"id": 12})) == Outcome()

    sent = orjson.loads(receiver.requests[0].body)
    assert (sent["title"], sent["message"]) == ("", "Lead erased: lead 12")


def test_a_long_message_is_shortened(receiver: Receiver) -> None:
    send(receiver, message=replace(MESSAGE, lead={**LEAD, "message": "x" * 2000, "full_name": "y" * 255}))

    sent = orjson.loads(receiver.requests[0].body)
    assert sent["title"] == "New lead: " + "y" * 139 + "…"
    assert sent["message"].splitlines()[1] == "x" * 499 + "…"


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("@channel", "@\u200bchannel"),
        ("hi @everyone, @here", "hi @\u200beveryone, @\u200bhere"),
        ("a@everyone b@ROOM", "a@\u200beveryone b@\u200bROOM"),
        ("<!here> <@U123> <!subteam^S1|x>", "‹!here› ‹@\u200bU123› ‹!subteam^S1|x›"),
        ("<https://evil.example|our page>", "‹https://evil.example|our page›"),
        ("[our page](https://evil.example)", "(our page)(https://evil.example)"),
        ("```code", "'''code"),
        ("@**all** @_**x**", "@\u200b**all** @\u200b_**x**"),
        ("ann@example.com", "ann@example.com"),
    ],
)
def test_what_a_stranger_sends_calls_nobody_and_is_no_markup(receiver: Receiver, text: str, plain: str) -> None:
    lead = {**LEAD, "full_name": text, "company": text, "message": text, "source": text}

    send(receiver, message=replace(MESSAGE, lead=lead))

    sent = orjson.loads(receiver.requests[0].body)
    assert sent["title"] == f"New lead: {plain} ({plain})"
    assert sent["message"].splitlines()[:2] == [f"{plain} · ann@example.com", plain]


@pytest.mark.parametrize("url", ["json://{netloc}/", "ntfy://{netloc}/sales", "mmost://{netloc}/" + "a" * 32])
@pytest.mark.parametrize("status", [302, 400, 401, 404, 410, 429, 500, 503])
def test_every_refusal_is_retried_with_its_status(receiver: Receiver, url: str, status: int) -> None:
    receiver.answers = [response(status, b"no", Location="/elsewhere")]

    assert send(receiver, url) == Outcome(error="status", status=status)
    assert len(receiver.requests) == 1


def test_a_lost_connection_is_told_from_a_refusal(receiver: Receiver) -> None:
    receiver.answers = [b""]

    assert send(receiver) == Outcome(error="connection")


def test_nothing_listens() -> None:
    closed = Receiver()
    closed.server_close()

    assert send(closed) == Outcome(error="connection")


@pytest.mark.parametrize(
    "answer",
    [
        dripping(b"HTTP/1.1 200 OK\r\n"),
        dripping(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"),
        endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        dripping(b"", pause=60),
    ],
    ids=["headers", "body", "continue", "silence"],
)
def test_an_attempt_ends_at_its_deadline(receiver: Receiver, monkeypatch: pytest.MonkeyPatch, answer: Answer) -> None:
    send(receiver)
    monkeypatch.setattr(kinds, "DEADLINE_SECONDS", 0.5)
    receiver.answers = [answer]

    began = time.monotonic()
    outcome = send(receiver)

    assert outcome == Outcome(error="timeout")
    assert 0.4 < time.monotonic() - began < 0.9


def test_a_service_that_waits_before_it_repeats_a_request_is_left_at_the_deadline(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kinds, "DEADLINE_SECONDS", 0.5)
    # A Matrix server asks to be left alone for two seconds, and Apprise waits.
    receiver.answers = [response(429, b'{"retry_after_ms": 2000}', Content_Type="application/json")] * 2

    began = time.monotonic()
    outcome = send(receiver, "matrix://user:token@{netloc}/#room?mode=off")

    assert outcome == Outcome(error="timeout")
    assert time.monotonic() - began < 0.9


def test_a_service_that_logs_out_does_so_during_the_attempt(receiver: Receiver) -> None:
    login = b'{"user_id": "@user:example.com", "access_token": "token", "home_server": "example.com"}'
    # The connection is lost after the login, so the error and the service refer to each other.
    receiver.answers = [response(200, login, Content_Type="application/json"), b"", response(500)]

    outcome = send(receiver, "matrix://user:password@{netloc}/!room:example.com")

    paths = [request.path for request in receiver.requests]
    assert outcome == Outcome(error="connection")
    assert paths[-1] == "/_matrix/client/v3/logout"
    gc.collect()
    assert len(receiver.requests) == len(paths)


def test_proxies_of_the_environment_are_not_used(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.setenv("no_proxy", "")

    config.ignore_proxies()

    assert send(receiver) == Outcome()


def test_what_apprise_logs_is_in_no_log(receiver: Receiver, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    receiver.answers = [response(500)]

    send(receiver, "ntfy://tk_secret@{netloc}/sales")

    lines = [record.getMessage() for record in caplog.records if "tk_secret" in record.getMessage()]
    assert lines == []
    assert logging.getLogger("apprise").propagate is False


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/#general", "slack://T...2/A...D/T...Q/%23general/"),
        (
            "https://hooks.slack.com/services/T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ",
            "slack://T...2/A...D/T...Q//",
        ),
        ("discord://4174216298/JHMHI8qBe7bk2ZwO5U711o3dV_js", "discord://4...8/J...s/"),
        ("tgram://123456789:abcdefg_hijklmnop/12315544", "tgram://1...p/12315544/"),
        ("ntfys://secret-topic", "ntfys://****"),
        ("ntfys://tk_secret@ntfy.example.com/secret-topic", "ntfys://****@ntfy.example.com/****"),
        ("ntfys://secret:secret@ntfy.example.com:8443/secret", "ntfys://****@ntfy.example.com:8443/****"),
        ("mmosts://chat.example.com/3ccdd113474722377935511fc85d3dd4?to=x", "mmosts://chat.example.com/3...4/"),
        (
            "jsons://secret:secret@example.com:81/secret?+X-Token=secret&:p=secret&-g=secret",
            "jsons://****@example.com:81/****",
        ),
        ("json://example.com", "json://example.com"),
        ("gotifys://example.com/secret-token", "gotifys://example.com/s...n/"),
        ("nothing://secret", "nothing://****"),
        ("tgram://8080:", "tgram://****"),
        ("secret", "****"),
    ],
)
def test_a_url_is_shown_without_its_secrets(url: str, shown: str) -> None:
    assert chat.shown(url) == shown


@pytest.mark.parametrize(
    "url",
    [
        "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/#general",
        "https://hooks.slack.com/services/T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ",
        "ntfys://topic",
        "ntfy://127.0.0.1/topic",
    ],
)
def test_a_url_that_apprise_knows_is_kept_as_it_is(url: str) -> None:
    assert chat.check(url, PRIVATE) == url


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("", "Must be the Apprise URL of a chat service"),
        ("nothing://x", "Must be the Apprise URL of a chat service"),
        ("https://example.com/x", "Must be the Apprise URL of a chat service"),
        ("slack://x", "Must be the Apprise URL of a chat service"),
        ("tgram://8080:", "Must be the Apprise URL of a chat service"),
        ("wxteams://[::1]", "Must be the Apprise URL of a chat service"),
        ("${SERVICE}://x", "Must be the Apprise URL of a chat service"),
        ("syslog://", "Must be the Apprise URL of a chat service"),
        ("SYSLOG://", "Must be the Apprise URL of a chat service"),
        ("dbus://", "Must be the Apprise URL of a chat service"),
        ("gnome://", "Must be the Apprise URL of a chat service"),
        ("macosx://", "Must be the Apprise URL of a chat service"),
        ("windows://", "Must be the Apprise URL of a chat service"),
        ("file:///etc/passwd", "Must be the Apprise URL of a chat service"),
        ("mailto://user:password@example.com", "Mail is sent by a destination of the kind email."),
        ("mailtos://user:password@example.com", "Mail is sent by a destination of the kind email."),
        ("slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/#x?template=/etc/passwd", "Must not have a parameter"),
        ("discord://4174216298/JHMHI8qBe7bk2ZwO5U711o3dV_js/?Template=/etc/passwd", "Must not have a parameter"),
        ("tgram://123456789:abcdefg_hijklmnop/12315544/?%74emplate=/etc/passwd", "Must not have a parameter"),
        ("workflows://example.com/workflow/signature/?template=/etc/passwd", "Must not have a parameter"),
    ],
)
def test_what_is_no_chat_service_is_refused(url: str, sentence: str) -> None:
    with pytest.raises(UrlRefused) as caught:
        chat.check(url, PRIVATE)

    assert caught.value.errors["url"][0].startswith(sentence)
