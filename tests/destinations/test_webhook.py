"""Webhooks: what a receiver gets, and what becomes of its answers."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import orjson
import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from leadapi import config
from leadapi.destinations import webhook
from leadapi.destinations.errors import UrlRefused
from leadapi.destinations.kinds import Message, Outcome, Target
from receivers import Receiver, response, running

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OLD_SECRET = "whsec_" + "bGVhZGFwaS1sZWFkYXBpLWxlYWRhcGk="
PRIVATE = config.load({"DATABASE_URL": "sqlite://", "WEBHOOK_ALLOW_PRIVATE": "on"})
LEAD = {"id": 7, "full_name": "Ann Müller", "email": "ann@example.com", "attributes": {"page": "/a?b"}}
MESSAGE = Message(delivery_id=3, event_id=5, type="lead.created", time=datetime(2026, 2, 28, 10, tzinfo=UTC), lead=LEAD)


def target(receiver: Receiver, *secrets: str, path: str = "", **headers: str) -> Target:
    """A destination that is the receiver."""
    return Target(url=f"http://{receiver.netloc}{path}", headers=headers, secrets=secrets or (SECRET,))


def send(receiver: Receiver) -> Outcome:
    """Send a message to the receiver."""
    return webhook.send(target(receiver), [MESSAGE], PRIVATE)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with running(Receiver()) as started:
        yield started


def test_a_receiver_gets_the_event_as_json(receiver: Receiver) -> None:
    outcome = webhook.send(target(receiver, path="/hooks?x=1", authorization="Bearer ünïcode"), [MESSAGE], PRIVATE)

    assert outcome == Outcome(status=200, excerpt="ok")
    [request] = receiver.requests
    assert request.path == "/hooks?x=1"
    assert orjson.loads(request.body) == {"type": "lead.created", "timestamp": "2026-02-28T10:00:00Z", "data": LEAD}
    assert list(orjson.loads(request.body)) == ["type", "timestamp", "data"]
    assert request.headers["host"] == receiver.netloc
    assert request.headers["content-type"] == "application/json"
    assert request.headers["user-agent"] == "leadapi/1.0.0"
    assert request.headers["webhook-id"] == "evt_5"
    assert abs(int(request.headers["webhook-timestamp"]) - time.time()) < 5
    assert request.headers["authorization"].encode("latin-1").decode() == "Bearer ünïcode"


def test_a_receiver_can_verify_what_it_gets(receiver: Receiver) -> None:
    webhook.send(target(receiver, SECRET), [MESSAGE], PRIVATE)

    [request] = receiver.requests
    Webhook(SECRET).verify(request.body, request.headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(request.body + b" ", request.headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(OLD_SECRET).verify(request.body, request.headers)


def test_after_a_rotation_both_secrets_verify_and_the_new_one_comes_first(receiver: Receiver) -> None:
    webhook.send(target(receiver, SECRET, OLD_SECRET), [MESSAGE], PRIVATE)

    [request] = receiver.requests
    Webhook(SECRET).verify(request.body, request.headers)
    Webhook(OLD_SECRET).verify(request.body, request.headers)
    first, second = request.headers["webhook-signature"].split(" ")
    assert first == Webhook(SECRET).sign("evt_5", _time(request.headers), request.body.decode())
    assert second == Webhook(OLD_SECRET).sign("evt_5", _time(request.headers), request.body.decode())


def _time(headers: dict[str, str]) -> datetime:
    return datetime.fromtimestamp(int(headers["webhook-timestamp"]), UTC)


def test_the_signature_is_that_of_the_standard() -> None:
    headers = webhook.signature([SECRET], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')

    assert headers == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_own_headers_replace_the_user_agent_and_nothing_else(receiver: Receiver) -> None:
    headers = {"User-Agent": "own", "Webhook-Id": "own", "Content-Type": "own"}

    webhook.send(Target(url=f"http://{receiver.netloc}", headers=headers, secrets=(SECRET,)), [MESSAGE], PRIVATE)

    [request] = receiver.requests
    assert request.path == "/"
    assert request.headers["user-agent"] == "own"
    assert request.headers["webhook-id"] == "evt_5"
    assert request.headers["content-type"] == "application/json"


@pytest.mark.parametrize("status", [200, 201, 204, 299])
def test_every_status_from_200_to_299_is_a_success(receiver: Receiver, status: int) -> None:
    receiver.answers = [response(status, b"")]

    assert send(receiver) == Outcome(status=status)


@pytest.mark.parametrize("status", [101, 199, 300, 301, 302, 304, 307, 308, 400, 404, 429, 500, 503, 599, 999])
def test_every_other_status_is_a_failure_that_is_retried(receiver: Receiver, status: int) -> None:
    receiver.answers = [response(status, b"no", Location=f"http://{receiver.netloc}/elsewhere")]

    outcome = send(receiver)

    assert (outcome.error, outcome.status, outcome.is_final, outcome.disables) == ("status", status, False, None)
    # No redirect was followed.
    assert len(receiver.requests) == 1


def test_410_ends_the_delivery_and_disables_the_destination(receiver: Receiver) -> None:
    receiver.answers = [response(410, b"we moved")]

    assert send(receiver) == Outcome(error="status", status=410, is_final=True, disables="gone", excerpt="we moved")


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120.0),
        ("0", 0.0),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("1.5", None),
        ("9" * 5000, None),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
        ("Fri, 31 Dec 99999 23:59:59 GMT", None),
        ("Fri, 31 Dec 2026 23:59:59 +99999999999999", None),
    ],
)
def test_retry_after_is_a_number_of_seconds_or_a_date(receiver: Receiver, value: str, seconds: float | None) -> None:
    receiver.answers = [response(503, Retry_After=value)]

    assert send(receiver).retry_after == seconds


def test_retry_after_can_be_a_date_in_the_future(receiver: Receiver) -> None:
    receiver.answers = [
        response(429, Retry_After=format_datetime(datetime.now(UTC) + timedelta(minutes=10), usegmt=True))
    ]

    seconds = send(receiver).retry_after

    assert seconds is not None
    assert 590 < seconds <= 600


@pytest.mark.parametrize(
    ("answer", "excerpt"),
    [
        (b"nothing \0 here", "nothing  here"),
        (b"bad \xff\xfe bytes", "bad \ufffd\ufffd bytes"),
        (b"x" * 5000, "x" * 1024),
        (b"\xff" * 5000, "\ufffd" * 341),
        (b"", None),
    ],
)
def test_the_beginning_of_the_answer_is_kept_as_text(receiver: Receiver, answer: bytes, excerpt: str | None) -> None:
    receiver.answers = [response(500, answer)]

    assert send(receiver).excerpt == excerpt


def test_an_answer_that_says_it_is_compressed_is_kept_as_it_is(receiver: Receiver) -> None:
    receiver.answers = [response(200, b"this is no gzip", Content_Encoding="gzip")]

    assert send(receiver) == Outcome(status=200, excerpt="this is no gzip")
    assert receiver.requests[0].headers["accept-encoding"] == "identity"


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"not HTTP\r\n\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 1000 + b"\r\n",
        b"HTTP/1.1 " + b"2" * 100_000,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10\r\nshort",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\nshort",
    ],
    ids=["nothing", "no HTTP", "no status", "many headers", "long line", "bad chunk", "cut chunk", "negative chunk"],
)
def test_an_answer_that_is_no_http_is_a_lost_connection(receiver: Receiver, answer: bytes) -> None:
    receiver.answers = [answer]

    assert send(receiver) == Outcome(error="connection")


@pytest.mark.parametrize(
    ("url", "normal"),
    [
        ("https://example.com", "https://example.com"),
        ("HTTPS://Example.COM:8443/Path?Query=%20", "https://example.com:8443/Path?Query=%20"),
        ("https://bücher.example?x", "https://xn--bcher-kva.example?x"),
        ("https://a_b.example.com./", "https://a_b.example.com./"),
        ("http://[::1]:80/", "http://[::1]:80/"),
    ],
)
def test_a_url_is_kept_with_its_host_in_lower_case_and_ascii(url: str, normal: str) -> None:
    assert webhook.check(url, PRIVATE) == normal
    assert webhook.shown(normal) == normal


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("", "Must be a URL such as"),
        ("example.com", "Must be a URL such as"),
        ("ftp://example.com", "Must be a URL such as"),
        ("https://", "Must be a URL such as"),
        ("https:///x", "Must be a URL such as"),
        ("https://example.com:0", "Must be a URL such as"),
        ("https://example.com:65536", "Must be a URL such as"),
        ("https://example.com:٨", "Must be a URL such as"),
        ("https://example.com/a b", "Must be a URL such as"),
        ("https://example.com/a\r\nb", "Must be a URL such as"),
        ("https://example.com/ü", "Must be a URL such as"),
        ("https://user:password@example.com/", "Must not contain a user or password"),
        ("https://example.com@127.0.0.1/", "Must not contain a user or password"),
        ("https://example.com/x#y", "Must not contain a fragment"),
        ("https://a..b/", "The host is not a valid name"),
        ("https://a b/", "The host is not a valid name"),
        ("https://example.com\\@evil.example/", "Must not contain a user or password"),
        ("https://" + "a" * 64 + ".example/", "The host is not a valid name"),
        ("https://" + "ü" * 300 + ".example/", "The host is not a valid name"),
        ("https://[1.2.3.4]/", "The host is not a valid name"),
        ("https://[::1%25lo]/", "Must be a URL such as"),
    ],
)
def test_what_is_no_url_is_refused(url: str, sentence: str) -> None:
    with pytest.raises(UrlRefused) as caught:
        webhook.check(url, PRIVATE)

    assert caught.value.errors["url"][0].startswith(sentence)


def test_without_tls_a_url_is_refused_unless_private_ones_are_allowed() -> None:
    with pytest.raises(UrlRefused, match="url"):
        webhook.check("http://example.com", config.load({"DATABASE_URL": "sqlite://"}))

    assert webhook.check("http://example.com", PRIVATE) == "http://example.com"
