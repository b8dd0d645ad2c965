"""A receiver of webhooks that behaves as told: it accepts, fails, hangs, resets, or drips."""

import socket
import struct
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

import orjson

# Behaviours. An integer is a status.
HANG = "hang"
RESET = "reset"
DRIP = "drip"
Behaviour = int | str
# How long a receiver that hangs keeps a connection, unless it ends before.
HANG_SECONDS = 60
DRIP_SECONDS = 0.1


class Received(NamedTuple):
    """A request, and the time when it had been read."""

    time: float
    id: str
    body: Any
    behaviour: Behaviour


class Receiver:
    """An HTTP server on loopback.

    :param behave: how to answer each request, given its `webhook-id`.
    """

    def __init__(self, behave: Callable[[str], Behaviour] = lambda _: 204) -> None:
        self.behave = behave
        self.received: list[Received] = []
        self.is_closing = threading.Event()
        self._news = threading.Condition()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.receiver = self
        self.url = f"http://127.0.0.1:{self._server.server_port}/hook"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def accepted(self) -> list[Received]:
        """The requests that were answered with a success."""
        return [each for each in list(self.received) if isinstance(each.behaviour, int) and each.behaviour < 300]

    def until(self, number: int, seconds: float = 30, *, of: Callable[[], int] | None = None) -> None:
        """Wait until there were so many requests, or until a count of another kind is as large."""
        count = of or (lambda: len(self.received))
        with self._news:
            if not self._news.wait_for(lambda: count() >= number, timeout=seconds):
                raise AssertionError(f"{count()} of {number} requests came")

    def take(self, received: Received) -> None:
        """Note a request."""
        with self._news:
            self.received.append(received)
            self._news.notify_all()

    def close(self) -> None:
        """Stop, and end the connections that hang."""
        self.is_closing.set()
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    receiver: Receiver
    request_queue_size = 128
    daemon_threads = True


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_POST(self) -> None:
        receiver = self.server.receiver
        body = self.rfile.read(int(self.headers["Content-Length"]))
        event = self.headers["webhook-id"]
        behaviour = receiver.behave(event)
        receiver.take(Received(time.time(), event, orjson.loads(body), behaviour))
        with suppress(ConnectionError):
            self._answer(behaviour)

    def _answer(self, behaviour: Behaviour) -> None:
        if behaviour == HANG:
            self.server.receiver.is_closing.wait(HANG_SECONDS)
        elif behaviour == RESET:
            # With this option, the kernel sends a reset.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.shutdown(socket.SHUT_RD)
        elif behaviour == DRIP:
            self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
            while not self.server.receiver.is_closing.wait(DRIP_SECONDS):
                self.wfile.write(b"x")
        else:
            assert isinstance(behaviour, int)
            self.send_response(behaviour)
            if behaviour == 429:
                self.send_header("Retry-After", "1")
            self.end_headers()

    def log_message(self, *arguments: Any) -> None:
        pass
