"""A gunicorn worker that serves with waitress.

waitress reads whole requests and buffers responses in one event loop, so a slow client occupies no thread; gunicorn
supervises the processes. The subclasses here override undocumented methods of waitress, which is why its version is
pinned: see .github/decisions/0001-waitress-inside-gunicorn.md.
"""

import logging
import os
import re
import resource
import socket
import threading
import time
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any

from gunicorn.workers.base import Worker
from waitress import wasyncore
from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser, ParsingError
from waitress.server import BaseWSGIServer, create_server
from waitress.task import WSGITask
from waitress.utilities import BadRequest, RequestEntityTooLarge

# The deadline for receiving a request or sending a response; it starts again with every so many bytes that move.
SLOW_SECONDS = 10.0
SLOW_BYTES = 100_000
# A stopping worker waits so long for requests on idle connections.
STOPPING_SECONDS = 2.0
# Another request may run at the same time when none has finished for so long.
PATIENCE_SECONDS = 0.01
# The limit of a request's head. Parsing the most expensive one takes about 15 ms of the event loop.
HEAD_BYTES = 2**15
# The limit of the chunk sizes in a chunked body. Decoding one-byte chunks of this limit takes about 0.1 s.
OVERHEAD_BYTES = 2**18
# Larger bodies go to a temporary file.
BODY_BYTES = 2**16
# A streaming application is paused while more than this waits for the client.
STREAM_BYTES = 2**18
# File descriptors for databases, the log and the listening sockets.
OWN_FILES = 100
# The Host header (RFC 9112, 3.2): an address in brackets or a name (RFC 3986, 3.2.2), and a port.
HOST = re.compile(r"(\[[0-9a-f:.]+\]|([\w.~!$&'()*+;=-]|%[0-9a-f]{2})+)(:[0-9]{0,5})?", re.ASCII | re.IGNORECASE)

logger = logging.getLogger(__name__)


class Parser(HTTPRequestParser):
    """Refuses requests whose framing another HTTP implementation may understand differently."""

    is_refused = False

    def received(self, data: bytes) -> int:
        consumed: int = super().received(data)
        if self.chunked and self.body_bytes_received - len(self.body_rcv) > OVERHEAD_BYTES:
            self.error, self.completed = BadRequest("The chunks are too small."), True
        self.is_refused = self.error is not None
        if self.is_refused or self.body_rcv is None:
            # After 100 Continue, waitress would wait for a body.
            self.expect_continue = False
        if isinstance(self.error, RequestEntityTooLarge):
            # The application sees from the length that the body is missing, and answers 413 as a problem document.
            self.error = None
            length = max(self.content_length, self.adj.max_request_body_size)
            self.headers |= {"CONTENT_LENGTH": str(length), "CONNECTION": "close"}
        return consumed

    def parse_header(self, header_plus: bytes) -> None:
        try:
            super().parse_header(header_plus)
        except ValueError as exc:
            raise ParsingError("A number or the address is malformed.") from exc
        if not HOST.fullmatch(self.headers.get("HOST", "" if self.version == "1.1" else "localhost")):
            raise ParsingError("A request names one host.")
        if "TRANSFER_ENCODING" in self.headers or (self.chunked and "CONTENT_LENGTH" in self.headers):
            raise ParsingError("A request has one length.")
        if self.version not in ("1.0", "1.1") or not (self.path.startswith("/") or self.proxy_netloc):
            raise ParsingError("The request line is malformed.")


class Task(WSGITask):
    """One request, answered by the application."""

    wrote_header: bool
    chunked_response: bool

    def get_environment(self) -> dict[str, Any]:
        """Build the WSGI environment. waitress and Werkzeug would both read //leads as /leads; it must not match."""
        environ: dict[str, Any] = super().get_environment()
        if self.request.path.startswith("//"):
            environ["PATH_INFO"] = f"/.{self.request.path}"
        return environ

    def build_response_header(self) -> bytes:
        """Build the head. A response to HEAD has no last chunk."""
        head: bytes = super().build_response_header()
        self.chunked_response = self.chunked_response and self.request.command != "HEAD"
        return head

    def write(self, data: bytes) -> None:
        """Send a response of one piece in one packet."""
        if self.wrote_header or not self.has_body or self.content_length != len(data):
            super().write(data)
        else:
            self.channel.write_soon(self.build_response_header() + data)
            self.wrote_header = True
            self.content_bytes_written = len(data)


class Channel(HTTPChannel):
    """A connection. Its client has deadlines."""

    parser_class = Parser
    task_class = Task
    request: Parser | None
    close_when_flushed: bool
    turns: "Turns | None" = None
    idle_seconds = 0.0
    is_stopping = False
    is_refusing = False
    is_lingering = False
    # At the last check: what the client had yet to send or take, since when, and the bytes moved since then.
    awaited: object = False
    since = 0.0
    moved = 0

    def is_late(self, now: float) -> bool:
        """Whether a deadline has passed. The worker checks once a second."""
        awaited = self.outbufs if self.total_outbufs_len else self.request
        in_application = self.requests and not self.total_outbufs_len
        if in_application or awaited is not self.awaited or self.moved >= (SLOW_BYTES if awaited else 1):
            self.awaited, self.since, self.moved = awaited, now, 0
        return now - self.since > (SLOW_SECONDS if awaited else self.idle_seconds)

    def received(self, data: bytes) -> bool:
        """Parse input, or discard it after a refusal."""
        if self.is_lingering:
            return False
        self.moved += len(data)
        return bool(super().received(data))

    def send(self, data: bytes, do_close: bool = True) -> int:
        sent: int = super().send(data, do_close)
        self.moved += sent
        return sent

    def service(self) -> None:
        if self.turns:
            self.turns.take(self)
        else:
            self.answer()

    def answer(self) -> None:
        """Answer the oldest request of this connection. A stopping worker announces that the connection ends."""
        request = self.requests[0]
        self.is_refusing = request.is_refused
        if self.is_stopping and len(self.requests) == 1:
            request.headers["CONNECTION"] = "close"
        super().service()

    def handle_write(self) -> None:
        """Send output. After a refusal, read on until the client closes (lingering close).

        Closing a socket with unread input resets the connection, and the client may lose the response.
        """
        if not (self.is_refusing and self.close_when_flushed):
            super().handle_write()
            return
        self.close_when_flushed = False
        super().handle_write()
        if self.total_outbufs_len:
            self.close_when_flushed = True
        elif self.connected:
            self.is_lingering = True
            self.request = None
            self.socket.shutdown(socket.SHUT_WR)

    def handle_error(self) -> None:
        """Log an unexpected exception without its text, which may quote the request."""
        logger.error("server.connection_failed", exc_info=True)  # noqa: LOG014  # called in an `except` block
        self.handle_close()


class Turns:
    """Runs requests one at a time, in the order of arrival, and one more whenever none has finished in time.

    SQLite runs inside this process, and threads that compete for the interpreter lock are slower than one thread.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.waiting: deque[Channel] = deque()
        self.finished = 0

    def take(self, channel: Channel) -> None:
        """Queue a request, then run the oldest one: a lock does not wake threads in order, but requests have one."""
        self.waiting.append(channel)
        lock, finished = self.lock, self.finished
        while not lock.acquire(timeout=PATIENCE_SECONDS):
            if (lock, finished) == (self.lock, self.finished):
                # The holder is blocked. It keeps the old lock, and the waiting threads share a new one.
                self.lock = threading.Lock()
            lock, finished = self.lock, self.finished
        try:
            self.waiting.popleft().answer()
        finally:
            self.finished += 1
            lock.release()


class WaitressWorker(Worker):
    """Serves gunicorn's sockets with waitress."""

    servers: Sequence[BaseWSGIServer] = ()

    def run(self) -> None:
        """Serve until told to stop, then finish the requests in progress."""
        Channel.idle_seconds = self.cfg.keepalive
        Channel.turns = Turns() if self.wsgi.config["THREADS_AT_ONCE"] == 1 else None
        self.channels: dict[int, Any] = {}
        self.last_check = 0.0
        create_server(
            self.application,
            map=self.channels,
            sockets=[listener.sock for listener in self.sockets],
            backlog=self.cfg.backlog,
            threads=self.cfg.threads,
            # The limit counts the listening sockets, and a pipe for each of them.
            connection_limit=affordable_connections(self.cfg.worker_connections) + 2 * len(self.sockets),
            max_request_header_size=HEAD_BYTES,
            max_request_body_size=self.wsgi.config["MAX_CONTENT_LENGTH"] + OVERHEAD_BYTES,
            inbuf_overflow=BODY_BYTES,
            outbuf_high_watermark=STREAM_BYTES,
            clear_untrusted_proxy_headers=False,
            log_socket_errors=False,
            ident=None,
        )
        self.servers = [server for server in self.channels.values() if isinstance(server, BaseWSGIServer)]
        for server in self.servers:
            server.channel_class = Channel
        while self.alive and self.ppid == os.getppid():
            self.turn(1.0)
        self.finish()

    def application(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        self.nr += 1
        if self.nr >= self.max_requests:
            self.alive = False
        response: Iterable[bytes] = self.wsgi(environ, start_response)
        return response

    def turn(self, seconds: float) -> None:
        """Wait for events and handle them; check deadlines when so many seconds have passed since the last check."""
        wasyncore.loop(seconds, use_poll=True, map=self.channels, count=1)
        now = time.monotonic()
        if now >= self.last_check + seconds:
            self.last_check = now
            self.notify()
            for connection in self.connections():
                if connection.is_late(now):
                    connection.handle_close()

    def connections(self) -> list[Channel]:
        return [channel for channel in self.channels.values() if isinstance(channel, Channel)]

    def finish(self) -> None:
        """Stop accepting connections, and serve the open ones until all have ended."""
        deadline = time.monotonic() + self.cfg.graceful_timeout
        Channel.is_stopping = True
        Channel.idle_seconds = min(self.cfg.keepalive, STOPPING_SECONDS)
        for server, listener in zip(self.servers, self.sockets, strict=True):
            # Clients in the backlog may have sent their requests already: accept them all.
            known = 0
            while known != len(self.channels):
                known = len(self.channels)
                server.handle_accept()
            server.accepting = False
            listener.close()
        for connection in self.connections():
            # Idle time starts again: a request may be on its way.
            connection.awaited = False
        while self.connections() and time.monotonic() < deadline:
            self.turn(0.1)

    def handle_exit(self, sig: int, frame: Any) -> None:
        """Stop on SIGTERM: wake the event loop."""
        super().handle_exit(sig, frame)
        for server in self.servers[:1]:
            server.pull_trigger()


def affordable_connections(wanted: int) -> int:
    """How many connections a worker accepts: fewer than wanted where the process may open too few files.

    A connection needs a socket, and possibly temporary files for the body of a request and for a response.
    """
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return wanted if files == resource.RLIM_INFINITY else max(min(wanted, (files - OWN_FILES) // 3), 1)
