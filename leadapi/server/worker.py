"""The worker of gunicorn that slow clients cannot stop: a thread gets a request only once all of it is here.

gunicorn's own worker with threads reads from the thread that answers, without a deadline: as many clients that
send a byte now and then as there are threads make it unreachable. Deadlines alone would not help, because whoever
is cut off comes again. So one loop, which never waits for anybody, reads for all connections and puts their requests
together. The threads answer whole requests, and leave it to the loop to send what a client does not take at once.
What is kept for slow clients is bounded in time, number and bytes; when it is full, who has been slow for longest
goes first.

It stands on gunicorn's parsers, its Response and its base worker, which are no public interface: gunicorn is pinned.
"""

import errno
import os
import select
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from io import BytesIO
from typing import Any

from gunicorn.http import wsgi
from gunicorn.http.errors import NoMoreData, ParseException
from gunicorn.workers.base import Worker
from werkzeug.exceptions import HTTPException

from leadapi.server import connections
from leadapi.server.connections import BYTES_IN_TIME, NOTHING, SECONDS, Answer, Connection, Phase
from leadapi.server.crew import PATIENCE_SECONDS, Crew
from leadapi.server.framing import Incoming, parser_settings

RECEIVE_BYTES = 2**16
LIVENESS = "/health"


class SteadyWorker(Worker):
    """One loop that reads and sends for all, and `threads` threads that answer."""

    def run(self) -> None:
        """Serve until told to stop, then finish what has begun."""
        self.seconds = {Phase.IDLE: float(self.cfg.keepalive), **SECONDS}
        self.max_body = self.wsgi.config["MAX_CONTENT_LENGTH"]
        self.max_held = max(connections.HELD_BYTES, 4 * self.max_body)
        self.settings = parser_settings(self.cfg)
        self.capacity = connections.affordable(self.cfg.worker_connections)
        self.held = 0
        # Closing a connection while others are made room for tells what it held, too.
        self.holding = threading.RLock()
        self.connections: dict[int, Connection] = {}
        self.waiting: dict[Connection, bool] = {}
        answer = partial(self._guarded, self._answer)
        self.crew = Crew(self.cfg.threads, self.wsgi.config["THREADS_AT_ONCE"], answer)
        self.poll = select.epoll()
        self.poll.register(self.PIPE[0], select.EPOLLIN)
        self.listeners = {listener.fileno(): (listener, listener.getsockname()) for listener in self.sockets}
        self.accepting = False
        self.swept = 0.0
        self._sweep(time.monotonic())

        while self.alive and self.ppid == os.getppid():
            self._turn(1.0)
        self._stop()

    def _stop(self) -> None:
        self.alive = False
        now = time.monotonic()
        self.seconds[Phase.IDLE] = min(self.seconds[Phase.IDLE], SECONDS[Phase.GOODBYE])
        for connection in list(self.waiting):
            # A request may be on its way to a connection that was told to stay.
            if connection.phase is Phase.IDLE:
                connection.since = now
        while self.connections and time.monotonic() < now + self.cfg.graceful_timeout:
            self._turn(0.1)

    def _turn(self, timeout: float) -> None:
        """Do what has become possible."""
        for fd, _ in self.poll.poll(PATIENCE_SECONDS if self.crew.is_behind() else timeout):
            connection = self.connections.get(fd)
            if connection is not None:
                if self.waiting.pop(connection, False):
                    self._guarded(self._move, connection)
            elif fd in self.listeners:
                self._accept(*self.listeners[fd])
            elif fd == self.PIPE[0]:
                # A signal.
                os.read(fd, 4096)
        if self.crew.is_behind():
            self.crew.relieve()
            # It touches nothing, and the process must not look dead over what others wait for.
            for connection in self.crew.take_back(lambda waits: waits.incoming.asks_alone_for(LIVENESS)):
                self._guarded(self._answer, connection)
        if (now := time.monotonic()) >= self.swept + min(timeout, 1.0):
            self.swept = now
            self.notify()
            self._sweep(now)

    def _guarded(self, step: Any, connection: Connection) -> None:
        """Take a step of a connection, which fails for itself alone."""
        try:
            step(connection)
        except OSError as exc:
            # The client is gone, as a rule.
            self.log.debug("Closing connection: %s", type(exc).__name__)
            self._close(connection)
        except Exception:
            self.log.exception("Error handling request")
            self._close(connection)

    def _accept(self, listener: Any, server: Any) -> None:
        if len(self.connections) >= self.capacity and not self._make_room(self.capacity):
            return
        try:
            sock, client = listener.accept()
        except OSError as exc:
            if exc.errno in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                self.log.warning("Too many connections: %s", exc.strerror)
                self._make_room(len(self.waiting))
            return
        sock.setblocking(False)
        connection = Connection(sock, client, server, Incoming(self.settings, client, self.max_body))
        self.connections[connection.fd] = connection
        self.poll.register(connection.fd, 0)
        self._wait(connection, Phase.IDLE)

    def _make_room(self, number: int) -> bool:
        """Close some of so many connections. If nobody can be closed, accept no more until the next sweep."""
        if not self.waiting:
            self._set_accepting(False)
            return False
        self._close_oldest(1 + number // connections.SHARE)
        return True

    def _move(self, connection: Connection) -> None:
        """Read or send without waiting."""
        if connection.phase is Phase.TAKING:
            self._send(connection)
            return
        try:
            data = connection.sock.recv(RECEIVE_BYTES)
        except BlockingIOError:
            self._wait(connection, connection.phase)
            return
        if connection.phase is Phase.GOODBYE:
            if data:
                self._wait(connection, Phase.GOODBYE)
            else:
                self._close(connection)
        elif data:
            connection.incoming.data += data
            connection.moved += len(data)
            self._go_on(connection)
        elif connection.phase is Phase.BODY:
            # The client sends no more, and may still listen.
            connection.incoming.request.force_close()
            self._hand_over(connection)
        else:
            self._close(connection)

    def _sweep(self, now: float) -> None:
        """Close what has waited for too long, and accept connections as long as there is room."""
        for connection in list(self.waiting):
            late = now > connection.since + self.seconds[connection.phase] + connection.earned()
            if late and self.waiting.pop(connection, False):
                self._guarded(self._give_up, connection)
        self._set_accepting(self.alive and (len(self.connections) < self.capacity or bool(self.waiting)))

    def _set_accepting(self, accepting: bool) -> None:
        if accepting != self.accepting:
            self.accepting = accepting
            for fd in self.listeners:
                if accepting:
                    self.poll.register(fd, select.EPOLLIN)
                else:
                    self.poll.unregister(fd)

    def _give_up(self, connection: Connection) -> None:
        if connection.phase in (Phase.HEAD, Phase.BODY):
            self._refuse(connection, connections.TooSlow())
        else:
            self._close(connection)

    def _wait(self, connection: Connection, phase: Phase) -> None:
        """Leave a connection to the loop."""
        if connection.phase is not phase:
            connection.phase = phase
            connection.since = time.monotonic()
            connection.moved = 0
        held = len(connection.incoming.data)
        if connection.outgoing:
            # A part of it keeps all of it.
            held += memoryview(connection.outgoing.obj).nbytes
        self._hold(connection, held)
        # In this order, or the event could come first and find nobody who waits for it.
        self.waiting[connection] = True
        with suppress(OSError, ValueError):
            event = select.EPOLLOUT if phase is Phase.TAKING else select.EPOLLIN
            self.poll.modify(connection.fd, event | select.EPOLLONESHOT)

    def _hold(self, connection: Connection, held: int) -> None:
        """Take down how much memory a connection holds, and make room where that is too much."""
        if held == connection.held:
            return
        with self.holding:
            self.held += held - connection.held
            connection.held = held
            if self.held > self.max_held:
                needed = self.held - self.max_held + self.max_held // connections.SHARE
                self._close_oldest(needed, lambda other: other.held)

    def _close_oldest(self, needed: int, gain: Callable[[Connection], int] = lambda _: 1) -> None:
        """Close those that have waited for longest, until what is gained is as much as needed."""
        for connection in sorted(self.waiting, key=lambda connection: connection.since):
            gained = gain(connection)
            if gained and self.waiting.pop(connection, False):
                self._close(connection)
                needed -= gained
            if needed <= 0:
                return

    def _go_on(self, connection: Connection) -> None:
        """Hand over the next request, or wait for the rest of it."""
        try:
            if connection.incoming.is_whole():
                self._hand_over(connection)
                return
        except (ParseException, HTTPException) as exc:
            self._refuse(connection, exc)
            return
        if connection.incoming.awaits_continue():
            connection.sock.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        if connection.incoming.request is not None:
            self._wait(connection, Phase.BODY)
        else:
            self._wait(connection, Phase.HEAD if connection.incoming.data else Phase.IDLE)

    def _hand_over(self, connection: Connection) -> None:
        self._hold(connection, len(connection.incoming.data))
        if self.held > self.max_held:
            # Others that wait for a thread hold it all, and they are not closed.
            self._refuse(connection, connections.TooBusy())
            return
        connection.phase = Phase.THREAD
        self.crew.put(connection)

    def _refuse(self, connection: Connection, reason: Exception) -> None:
        """Answer in place of the application."""
        self.log.warning("Invalid request from ip=%s: %s", connection.client[0], type(reason).__name__)
        connection.outgoing = memoryview(connections.refusal(reason))
        connection.stays = False
        connection.incoming.forget()
        self._send(connection)

    def _send(self, connection: Connection) -> None:
        """Send what the client takes now; when that is all, go on to its next request or close."""
        if connection.outgoing:
            try:
                sent = connection.sock.send(connection.outgoing)
            except BlockingIOError:
                sent = 0
            connection.outgoing = connection.outgoing[sent:]
            connection.moved += sent
        if connection.outgoing:
            self._wait(connection, Phase.TAKING)
            return
        # An empty view would keep what it is a view of.
        connection.outgoing = NOTHING
        if connection.stays:
            self._go_on(connection)
        elif connection.incoming.forgotten:
            # Closed at once, the client would lose the answer over what it is still sending.
            connection.sock.shutdown(socket.SHUT_WR)
            self._wait(connection, Phase.GOODBYE)
        else:
            self._close(connection)

    def _close(self, connection: Connection) -> None:
        if self.connections.pop(connection.fd, None) is not None:
            self._hold(connection, 0)
            connection.sock.close()

    def _answer(self, connection: Connection) -> None:
        """Answer a request; whatever the client does not take at once is left to the loop."""
        try:
            request, body = connection.incoming.take()
        except (ParseException, NoMoreData, HTTPException) as exc:
            self._refuse(connection, exc)
            return
        self.nr += 1
        if self.nr >= self.max_requests:
            self.alive = False
        answer = Answer()
        response, environ = wsgi.create(request, answer, connection.client, connection.server, self.settings)
        environ["wsgi.multithread"] = True
        environ["wsgi.input"] = BytesIO(body)
        if not self.alive:
            response.force_close()
        pieces = self.wsgi(environ, response.start_response)
        try:
            for piece in pieces:
                response.write(piece)
                if response.response_length is None:
                    self._send_now(connection, answer.take())
            response.close()
        finally:
            if hasattr(pieces, "close"):
                pieces.close()
        connection.stays = not response.should_close()
        connection.outgoing = memoryview(answer.take())
        self._send(connection)

    def _send_now(self, connection: Connection, data: bytes) -> None:
        """Send a piece of a stream; only as much of it is made as the client takes."""
        connection.sock.settimeout(SECONDS[Phase.TAKING])
        # The time is for so much, because a large piece takes a slow line longer.
        for start in range(0, len(data), BYTES_IN_TIME):
            connection.sock.sendall(memoryview(data)[start : start + BYTES_IN_TIME])
        connection.sock.setblocking(False)
