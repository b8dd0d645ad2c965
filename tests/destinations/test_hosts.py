"""Addresses that nothing may be sent to, in every spelling: at registration, and at each attempt."""

import ipaddress
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Any

import pytest

from leadapi import config
from leadapi.destinations import chat, egress, hosts, kinds, webhook
from leadapi.destinations.errors import UrlRefused
from leadapi.destinations.kinds import Message, Outcome, Target
from receivers import Receiver, response, running

DEFAULTS = config.load({"DATABASE_URL": "sqlite://"})
LEAD = {"id": 1, "full_name": "Ann Lee", "email": "ann@example.com"}
MESSAGE = Message(delivery_id=1, event_id=1, type="lead.created", time=datetime(2026, 2, 28, tzinfo=UTC), lead=LEAD)
PRIVATE = [
    "0.0.0.0",
    "10.1.2.3",
    "100.64.0.1",
    "100.127.255.255",
    "127.0.0.1",
    "127.255.255.254",
    "168.63.129.16",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.8",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.0.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:8.8.8.8",
    "::ffff:0:8.8.8.8",
    "64:ff9b::7f00:1",
    "64:ff9b::808:808",
    "64:ff9b:1::1",
    "100::1",
    "2001::1",
    "2001:2::1",
    "2001:10::1",
    "2001:db8::1",
    "2002:7f00:1::1",
    "3fff::1",
    "4000::1",
    "5f00::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fe80::1%lo",
    "fec0::1",
    "ff02::1",
]
PUBLIC = ["1.1.1.1", "8.8.8.8", "100.63.255.255", "172.32.0.1", "192.0.1.1", "223.255.255.255"]
PUBLIC += ["2001:200::1", "2001:4860:4860::8888", "2606:4700:4700::1111", "2a00::1"]
# Spellings of this machine, with the port of a listener.
SPELLINGS = [
    "127.0.0.1:{port}",
    "127.1:{port}",
    "127.0.1:{port}",
    "2130706433:{port}",
    "0x7f000001:{port}",
    "0x7f.1:{port}",
    "0177.0.0.1:{port}",
    "017700000001:{port}",
    "127.000.000.001:{port}",
    "127.0.0.1.:{port}",
    "0:{port}",
    "0.0.0.0:{port}",
    "127.255.255.254:{port}",
    "localhost:{port}",
    "LOCALHOST:{port}",
    "localhost.:{port}",
    "[::1]:{port}",
    "[0:0:0:0:0:0:0:1]:{port}",
    "[::]:{port}",
    "[::127.0.0.1]:{port}",
    "[::ffff:127.0.0.1]:{port}",
    "[::ffff:7f00:1]:{port}",
    "[64:ff9b::7f00:1]:{port}",
    "[2002:7f00:1::]:{port}",
]
# These are refused at registration for their spelling, too.
MORE = [
    "１２７.０.０.１:{port}",
    "127。0。0。1:{port}",
    "ｌｏｃａｌｈｏｓｔ:{port}",
    "a.localhost:{port}",
    "[::1%25lo]:{port}",
    "[fe80::1%lo]:{port}",
]
MORE += ["example.com@127.0.0.1:{port}", "127.0.0.1:{port}#@example.com", "127.0.0.1:{port}\\@example.com"]
CHATS = ["json://{host}/", "ntfy://{host}/topic", "mmost://{host}/3ccdd113474722377935511fc85d3dd4"]


class Listener:
    """Listens on every address of this machine, and counts the connections to it."""

    def __init__(self) -> None:
        self.connections = 0
        self._sockets = [socket.create_server(("0.0.0.0", 0))]
        self.port = self._sockets[0].getsockname()[1]
        if socket.has_ipv6:
            self._sockets.append(socket.create_server(("::", self.port), family=socket.AF_INET6))
        self._threads = [threading.Thread(target=self._accept, args=(listening,)) for listening in self._sockets]
        for thread in self._threads:
            thread.start()

    def _accept(self, listening: socket.socket) -> None:
        while True:
            connection, _ = listening.accept()
            with connection:
                if connection.recv(1, socket.MSG_PEEK) == b"\n":
                    return
                self.connections += 1

    def stop(self) -> None:
        """Stop, once everything that was sent before has been counted."""
        for listening, thread in zip(self._sockets, self._threads, strict=True):
            with socket.create_connection(
                ("::1" if listening.family == socket.AF_INET6 else "127.0.0.1", self.port)
            ) as end:
                end.sendall(b"\n")
                thread.join()
            listening.close()


@pytest.fixture
def listener() -> Iterator[Listener]:
    started = Listener()
    with ExitStack() as stack:
        stack.callback(started.stop)
        yield started
    assert started.connections == 0


@pytest.mark.parametrize("address", PRIVATE)
def test_an_address_that_is_not_public_is_told(address: str) -> None:
    assert not hosts.is_public(address)


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_is_told(address: str) -> None:
    assert hosts.is_public(address)


def test_what_python_calls_global_and_is_not_refused_is_known() -> None:
    """Of the first addresses of all networks of eight bits, those that are judged otherwise than by Python."""
    firsts = [ipaddress.IPv4Address(number << 24 | 1) for number in range(256)]

    assert [str(ip) for ip in firsts if ip.is_global and not ip.is_multicast and not hosts.is_public(str(ip))] == []
    assert [str(ip) for ip in firsts if not ip.is_global and hosts.is_public(str(ip))] == []


@pytest.mark.parametrize("text", ["", "/tmp/socket", "localhost", "1.1.1", "0x01010101"])
def test_what_is_no_address_is_not_public(text: str) -> None:
    assert not hosts.is_public(text)


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_no_spelling_of_this_machine_gets_a_connection(listener: Listener, spelling: str) -> None:
    # At registration, private addresses were allowed.
    url = f"http://{spelling.format(port=listener.port)}/"

    outcome = webhook.send(Target(url=url, headers={}, secrets=()), [MESSAGE], DEFAULTS)

    # Not every C library takes every spelling for an address; the others are names that do not exist.
    expected = ("dns", "refused_target") if spelling[0] != "[" else ("refused_target",)
    assert outcome.error in expected


@pytest.mark.parametrize("spelling", [*SPELLINGS, *MORE])
def test_no_spelling_of_this_machine_can_be_registered(listener: Listener, spelling: str) -> None:
    url = f"https://{spelling.format(port=listener.port)}/"

    if not _resolves(spelling):
        assert webhook.check(url, DEFAULTS) == url
        return
    with pytest.raises(UrlRefused):
        webhook.check(url, DEFAULTS)


def _resolves(spelling: str) -> bool:
    """Whether the C library or this service takes the spelling for an address."""
    if spelling in MORE or spelling[0] == "[" or "localhost" in spelling.lower():
        return True
    try:
        return bool(socket.getaddrinfo(spelling.partition(":")[0], 80))
    except OSError:
        return False


@pytest.mark.parametrize("chat_url", CHATS)
@pytest.mark.parametrize("spelling", ["127.0.0.1:{port}", "localhost:{port}", "LOCALHOST:{port}", "[::1]:{port}"])
def test_no_chat_service_on_this_machine_gets_a_connection(listener: Listener, spelling: str, chat_url: str) -> None:
    url = chat_url.format(host=spelling.format(port=listener.port))

    with pytest.raises(UrlRefused):
        chat.check(url, DEFAULTS)
    assert chat.send(Target(url=url, headers={}, secrets=()), [MESSAGE], DEFAULTS).error == "refused_target"


def test_a_name_that_changes_its_address_gets_no_connection(
    listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DNS rebinding: the first lookup gives a public address, and each later one a private address."""
    lookups: list[str] = []
    resolve = socket.getaddrinfo

    def rebind(host: str, port: Any, *args: Any, **kwargs: Any) -> Any:
        lookups.append(host)
        return resolve("8.8.8.8" if len(lookups) == 1 else "127.0.0.1", port, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", rebind)
    url = webhook.check(f"https://rebind.example.com:{listener.port}/", DEFAULTS)

    outcome = webhook.send(Target(url=url, headers={}, secrets=()), [MESSAGE], DEFAULTS)

    assert outcome == Outcome(error="refused_target")
    assert lookups == ["rebind.example.com"] * 2


def test_a_redirect_to_this_machine_is_not_followed(listener: Listener) -> None:
    private = config.load({"DATABASE_URL": "sqlite://", "WEBHOOK_ALLOW_PRIVATE": "on"})
    elsewhere = f"http://127.0.0.1:{listener.port}/"
    answers = [response(status, Location=elsewhere) for status in (301, 302, 303, 307, 308)]
    with running(Receiver(*answers, *answers)) as receiver:
        for _ in answers:
            hook = Target(url=f"http://{receiver.netloc}/", headers={}, secrets=())
            assert webhook.send(hook, [MESSAGE], private).error == "status"
            # A parameter of the URL would let Apprise follow it.
            room = Target(url=f"json://{receiver.netloc}/?redirect=yes", headers={}, secrets=())
            assert chat.send(room, [MESSAGE], private).error == "status"


def test_a_name_that_does_not_resolve_is_accepted_at_registration() -> None:
    assert webhook.check("https://nothing.invalid/", DEFAULTS) == "https://nothing.invalid/"


def test_a_lookup_at_registration_takes_no_longer_than_its_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    answered = threading.Event()
    monkeypatch.setattr(hosts, "RESOLVE_SECONDS", 0.1)

    def resolve(*args: Any, **kwargs: Any) -> list[Any]:
        answered.wait()
        return []

    monkeypatch.setattr(socket, "getaddrinfo", resolve)

    assert webhook.check("https://slow.example.com/", DEFAULTS) == "https://slow.example.com/"
    answered.set()


def test_one_lookup_at_registration_keeps_no_other_thread_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, answered = threading.Event(), threading.Event()
    resolve = socket.getaddrinfo

    def wait(host: str, port: Any, *, flags: int = 0, **options: Any) -> Any:
        if not flags & socket.AI_NUMERICHOST and host.endswith(".example.com"):
            asked.set()
            answered.wait()
        return resolve(host, port, flags=flags | socket.AI_NUMERICHOST, **options)

    monkeypatch.setattr(socket, "getaddrinfo", wait)
    first = threading.Thread(target=webhook.check, args=("https://slow.example.com/", DEFAULTS))
    first.start()
    assert asked.wait(10)
    began = time.monotonic()

    assert webhook.check("https://other.example.com/", DEFAULTS) == "https://other.example.com/"
    with pytest.raises(UrlRefused):
        webhook.check("https://127.1/", DEFAULTS)

    assert time.monotonic() - began < hosts.RESOLVE_SECONDS / 2
    answered.set()
    first.join()


def test_the_guard_is_for_the_thread_that_sends_and_ends_with_the_attempt(listener: Listener) -> None:
    with running(Receiver()) as receiver:
        address = ("127.0.0.1", receiver.server_address[1])
        with egress.Guard(allow_private=False):
            other = threading.Thread(target=lambda: socket.create_connection(address).close())
            other.start()
            other.join()
            with pytest.raises(egress.TargetRefused):
                socket.create_connection(address)
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams, pytest.raises(egress.TargetRefused):
                datagrams.sendto(b"x", address)
            with socket.socket(socket.AF_UNIX) as unix, pytest.raises(egress.TargetRefused):
                unix.connect("/nowhere")
        socket.create_connection(address).close()


def test_a_guard_whose_time_is_over_lets_nothing_connect(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kinds, "DEADLINE_SECONDS", 0.0)
    with running(Receiver()) as receiver, egress.Guard(allow_private=True) as guard, pytest.raises(TimeoutError):
        socket.create_connection(("127.0.0.1", receiver.server_address[1]))

    assert guard.fault == "timeout"
    assert receiver.connections == 0
