"""A connection: its client has deadlines, and can read a refusal to its end."""

import socket
import time
from contextlib import suppress

from waitress.channel import HTTPChannel

from leadapi.server.framing import Parser
from leadapi.server.responses import Task

# The time to send a request, plus one second for each SLOW_BYTES of its body. It is also the longest pause of a client
# that reads a response.
SLOW_SECONDS = 10.0
SLOW_BYTES = 10_000


class Channel(HTTPChannel):
    """A connection of waitress, which would close it only if nothing moved on it."""

    parser_class = Parser
    task_class = Task
    request: Parser | None
    last_activity: float
    is_refusing = False
    lingering_since: float | None = None

    def is_late(self, now: float, idle_seconds: float) -> bool:
        """Whether the client has exceeded its deadline."""
        # A time after `now` was noted before the clock was set back. The client gets its time from now on.
        self.last_activity = min(self.last_activity, now)
        if self.lingering_since is not None:
            self.lingering_since = min(self.lingering_since, now)
            return now > self.lingering_since + idle_seconds
        if self.total_outbufs_len:
            return now > self.last_activity + SLOW_SECONDS
        if self.requests:
            return False
        if request := self.request:
            request.began = min(request.began, now)
            return now > request.began + SLOW_SECONDS + request.body_bytes_received / SLOW_BYTES
        return now > self.last_activity + idle_seconds

    def service(self) -> None:
        """Answer the oldest request. While the worker stops, announce that the connection ends."""
        request = self.requests[0]
        self.is_refusing = request.is_refused
        if not self.server.accepting and len(self.requests) == 1:
            request.headers["CONNECTION"] = "close"
        super().service()

    def handle_close(self) -> None:
        """Close the connection, after a refusal not before the client does (lingering close).

        Closing a socket with unread input resets the connection, and the client may lose the response.
        """
        if not (self.is_refusing and self.connected) or self.lingering_since is not None:
            super().handle_close()
            return
        self.lingering_since = time.time()
        with suppress(OSError):
            self.socket.shutdown(socket.SHUT_WR)

    def readable(self) -> bool:
        # Once `will_close` is set, waitress discards what it reads.
        return self.lingering_since is not None or super().readable()

    def writable(self) -> bool:
        return self.lingering_since is None and super().writable()
