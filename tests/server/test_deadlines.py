"""The deadlines of connections when the clock is set back."""

import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest
from waitress.server import create_server

from leadapi.server.connections import SLOW_SECONDS, Channel

HOUR = 3600
IDLE_SECONDS = 5


@pytest.fixture
def connection() -> Iterator[tuple[Channel, socket.socket]]:
    """A connection, and the socket of its client. No loop serves it."""
    channels: dict[int, Any] = {}
    server: Any = create_server(lambda _environ, _start: [], map=channels, host="127.0.0.1", port=0, threads=1)
    server.channel_class = Channel
    client = socket.create_connection(("127.0.0.1", server.effective_port))
    while not (found := [each for each in channels.values() if isinstance(each, Channel)]):
        server.handle_accept()
    yield found[0], client
    client.close()
    found[0].handle_close()
    server.task_dispatcher.shutdown()
    server.close()


def test_an_idle_connection_gets_its_time_from_the_new_time_on(connection: tuple[Channel, socket.socket]) -> None:
    channel, _ = connection

    before = time.time() - HOUR
    late = [channel.is_late(before + seconds, IDLE_SECONDS) for seconds in (0, IDLE_SECONDS - 1, IDLE_SECONDS + 1)]

    assert late == [False, False, True]


def test_a_slow_request_gets_its_time_from_the_new_time_on(connection: tuple[Channel, socket.socket]) -> None:
    channel, client = connection
    client.sendall(b"GET /health HTTP/1.1\r\nHost:")
    while channel.request is None:
        channel.handle_read()

    before = time.time() - HOUR
    late = [channel.is_late(before + seconds, IDLE_SECONDS) for seconds in (0, SLOW_SECONDS - 1, SLOW_SECONDS + 1)]

    assert late == [False, False, True]
