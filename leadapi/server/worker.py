"""A gunicorn worker that serves with waitress.

waitress reads whole requests and buffers responses in one event loop, so a slow client occupies no thread; gunicorn
supervises the processes. See .github/decisions/0001-waitress-inside-gunicorn.md.
"""

import os
import time
from collections.abc import Iterable
from typing import Any

from gunicorn.workers.base import Worker
from waitress import wasyncore
from waitress.server import BaseWSGIServer, create_server

from leadapi.server.connections import Channel
from leadapi.server.dispatcher import PATIENCE_SECONDS, Dispatcher
from leadapi.server.framing import OVERHEAD_BYTES

# How long a stopping worker keeps idle connections open.
STOPPING_SECONDS = 2.0
# The limit of a request's head. Parsing the most expensive one takes about 15 ms of the event loop.
HEAD_BYTES = 2**15
# Larger bodies go to a temporary file.
BODY_BYTES = 2**16


class WaitressWorker(Worker):
    """Serves gunicorn's sockets with waitress."""

    def run(self) -> None:
        """Serve until told to stop, then finish the requests in progress."""
        self.next_check = 0.0
        self.channels: dict[int, Any] = {}
        create_server(
            self.application,
            map=self.channels,
            sockets=[listener.sock for listener in self.sockets],
            backlog=self.cfg.backlog,
            threads=1,
            connection_limit=self.cfg.worker_connections,
            max_request_header_size=HEAD_BYTES,
            max_request_body_size=self.wsgi.config["MAX_CONTENT_LENGTH"] + OVERHEAD_BYTES,
            inbuf_overflow=BODY_BYTES,
            clear_untrusted_proxy_headers=False,
            log_socket_errors=False,
            ident=None,
        )
        servers = [server for server in self.channels.values() if isinstance(server, BaseWSGIServer)]
        self.dispatcher = Dispatcher(
            servers[0].task_dispatcher, threads=self.cfg.threads, at_once=self.wsgi.config["THREADS_AT_ONCE"]
        )
        for server in servers:
            server.channel_class = Channel
            server.task_dispatcher = self.dispatcher
        while self.alive and self.ppid == os.getppid():
            self.handle_events(1.0, self.cfg.keepalive)
        self.finish(servers)

    def application(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Call the WSGI application. Stop after as many requests as gunicorn's `max_requests`."""
        self.nr += 1
        if self.nr >= self.max_requests:
            self.alive = False
        response: Iterable[bytes] = self.wsgi(environ, start_response)
        return response

    def handle_events(self, seconds: float, idle_seconds: float) -> None:
        """Wait for events and handle them. Once in so many seconds, send the heartbeat and check the deadlines."""
        pause = PATIENCE_SECONDS if self.dispatcher.let_work() else seconds
        wasyncore.loop(pause, use_poll=True, map=self.channels, count=1)
        if time.monotonic() < self.next_check:
            return
        self.next_check = time.monotonic() + seconds
        self.notify()
        now = time.time()
        for connection in self.connections():
            if connection.is_late(now, idle_seconds):
                connection.handle_close()

    def connections(self) -> list[Channel]:
        """The open connections."""
        return [channel for channel in self.channels.values() if isinstance(channel, Channel)]

    def finish(self, servers: list[BaseWSGIServer]) -> None:
        """Stop accepting connections, and serve the open ones until all have ended."""
        deadline = time.monotonic() + self.cfg.graceful_timeout
        for server, listener in zip(servers, self.sockets, strict=True):
            # Clients in the backlog may have sent their requests already: accept them all.
            known = 0
            while known != len(self.channels):
                known = len(self.channels)
                server.handle_accept()
            server.accepting = False
            listener.close()
        while self.connections() and time.monotonic() < deadline:
            self.handle_events(0.1, min(self.cfg.keepalive, STOPPING_SECONDS))
