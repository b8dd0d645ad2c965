"""Webhooks: connections that fail, hang, are slow or cannot be trusted."""

import socket
import threading
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from io import BufferedIOBase

import pytest

from leadapi import config
from leadapi.destinations import egress, kinds, webhook
from leadapi.destinations.kinds import Message, Outcome, Target
from receivers import CERTIFICATE, Answer, Receiver, dripping, endless, response, running

PRIVATE = config.load({"DATABASE_URL": "sqlite://", "WEBHOOK_ALLOW_PRIVATE": "on"})
MESSAGE = Message(delivery_id=3, event_id=5, type="lead.erased", time=datetime(2026, 2, 28, tzinfo=UTC), lead={"id": 7})
START = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n"


def target(url: str) -> Target:
    return Target(url=url, headers={}, secrets=())


def send(receiver: Receiver) -> Outcome:
    """Send a message to the receiver."""
    return webhook.send(target(f"http://{receiver.netloc}"), [MESSAGE], PRIVATE)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with running(Receiver()) as started:
        yield started


@pytest.fixture
def short_deadline(monkeypatch: pytest.MonkeyPatch) -> float:
    """Let an attempt end soon."""
    monkeypatch.setattr(kinds, "DEADLINE_SECONDS", 0.5)
    return 0.5


@pytest.mark.parametrize(
    "answer",
    [
        dripping(b""),
        dripping(START),
        dripping(START + b"\r\n"),
        dripping(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
        dripping(b"", pause=60),
    ],
    ids=["status", "headers", "body", "chunk", "silence"],
)
def test_an_attempt_ends_at_its_deadline_however_slow_the_receiver_is(
    receiver: Receiver, short_deadline: float, answer: Answer
) -> None:
    receiver.answers = [answer]

    began = time.monotonic()
    outcome = send(receiver)

    assert outcome == Outcome(error="timeout")
    assert short_deadline <= time.monotonic() - began < short_deadline + 0.4


def test_an_attempt_ends_at_its_deadline_while_it_connects(short_deadline: float) -> None:
    with ExitStack() as stack:
        # The second connection that nobody accepts fills the queue, and later ones get no answer.
        full = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(3):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        destination = target(f"http://127.0.0.1:{full.getsockname()[1]}")
        began = time.monotonic()
        outcome = webhook.send(destination, [MESSAGE], PRIVATE)

    assert outcome == Outcome(error="timeout")
    assert time.monotonic() - began < short_deadline + 0.4


def test_an_attempt_ends_at_its_deadline_during_a_handshake(short_deadline: float) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        destination = target(f"https://127.0.0.1:{silent.getsockname()[1]}")
        began = time.monotonic()
        outcome = webhook.send(destination, [MESSAGE], PRIVATE)

    assert outcome == Outcome(error="timeout")
    assert time.monotonic() - began < short_deadline + 0.4


def test_a_receiver_may_take_longer_to_answer_than_to_accept_a_connection(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhook, "CONNECT_SECONDS", 0.2)

    def slow(connection: BufferedIOBase) -> None:
        threading.Event().wait(0.4)  # time has to pass: the timeout of the connection is what is tested
        connection.write(response(200))

    receiver.answers = [slow]

    assert send(receiver) == Outcome(status=200, excerpt="ok")


def test_of_a_large_answer_only_the_beginning_is_read(receiver: Receiver) -> None:
    receiver.answers = [endless(b"HTTP/1.1 200 OK\r\nContent-Length: 10000000000\r\n\r\n", b"x" * 65536)] * 2
    send(receiver)
    receiver.left.clear()

    tracemalloc.start()
    outcome = send(receiver)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert outcome == Outcome(status=200, excerpt="x" * 1024)
    assert peak < 1_000_000
    # The connection is closed, which ends the answer.
    assert receiver.left.wait(10)


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n"), Outcome(error="connection")),
        (endless(CHUNKED + b"-1\r\n", b"x" * 65536), Outcome(error="connection")),
        (endless(CHUNKED + b"0\r\n", b"a: b\r\n" * 1000), Outcome(status=200)),
        (endless(b"HTTP/1.1 200 OK\r\n", b"a:" + b"\r" * 60000 + b"\r\n"), Outcome(status=200)),
    ],
    ids=["continue", "chunk of the size -1", "trailers", "headers"],
)
def test_an_answer_without_an_end_is_cut_off(receiver: Receiver, answer: Answer, outcome: Outcome) -> None:
    receiver.answers = [answer]

    began = time.thread_time()
    assert send(receiver) == outcome
    assert time.thread_time() - began < 0.5
    assert receiver.left.wait(10)


def test_nothing_listens(receiver: Receiver) -> None:
    closed = Receiver()
    closed.server_close()

    assert send(closed) == Outcome(error="connection")


def test_a_name_that_does_not_exist_is_an_error_of_the_dns() -> None:
    destination = target("https://nothing.invalid/")

    assert webhook.send(destination, [MESSAGE], PRIVATE) == Outcome(error="dns")


def test_a_connection_that_is_closed_during_the_handshake_is_a_lost_connection() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closing:
        # It reads, because closing with unread data would be a reset.
        peer = threading.Thread(target=lambda: _read_and_close(closing))
        peer.start()
        destination = target(f"https://127.0.0.1:{closing.getsockname()[1]}")
        outcome = webhook.send(destination, [MESSAGE], PRIVATE)
        peer.join()

    assert outcome == Outcome(error="connection")


def _read_and_close(listening: socket.socket) -> None:
    connection, _ = listening.accept()
    with connection:
        connection.recv(65536)


@pytest.fixture
def tls_receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    with running(Receiver(tls=True)) as started:
        yield started
    egress.tls.cache_clear()


def test_a_certificate_that_is_not_trusted_is_an_error_of_tls(tls_receiver: Receiver) -> None:
    egress.tls.cache_clear()
    destination = target(f"https://{tls_receiver.netloc}/")

    assert webhook.send(destination, [MESSAGE], PRIVATE) == Outcome(error="tls")
    assert tls_receiver.requests == []


def test_a_trusted_certificate_is_accepted(tls_receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
    egress.tls.cache_clear()
    port = tls_receiver.server_address[1]
    destination = target(f"https://localhost:{port}/x")

    assert webhook.send(destination, [MESSAGE], PRIVATE) == Outcome(status=200, excerpt="ok")
    assert tls_receiver.requests[0].headers["host"] == f"localhost:{port}"


def test_proxies_of_the_environment_are_not_used(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("all_proxy", "http://127.0.0.1:9")

    assert send(receiver).status == 200
