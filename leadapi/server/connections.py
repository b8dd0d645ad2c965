"""A client of the worker: what it waits for, how long it may, and how it is refused before its request is whole."""

import resource
import secrets
import socket
from enum import Enum, auto
from typing import Any

from gunicorn.http.errors import ExpectationFailed, LimitRequestHeaders, LimitRequestLine
from werkzeug.exceptions import HTTPException, RequestTimeout, ServiceUnavailable

from leadapi.server.framing import Incoming
from leadapi.web.problems import problem

REFUSALS = {
    LimitRequestLine: (414, "The address is too long."),
    LimitRequestHeaders: (431, "The header of the request is too large."),
    ExpectationFailed: (417, "The only expectation that can be met is 100-continue."),
}
NOT_HTTP = (400, "The request is not what HTTP asks for.")


class Phase(Enum):
    """What a connection waits for."""

    IDLE = auto()
    HEAD = auto()
    BODY = auto()
    THREAD = auto()
    TAKING = auto()
    GOODBYE = auto()


# The seconds that each may take; IDLE has gunicorn's `keepalive`. A head is one packet, as a rule.
SECONDS = {
    Phase.HEAD: 10.0,
    # More for each byte that moves, so that a slow line is no obstacle.
    Phase.BODY: 10.0,
    Phase.TAKING: 10.0,
    # Who was answered before all was sent would lose the answer with the connection.
    Phase.GOODBYE: 2.0,
}
BYTES_PER_SECOND = 10_000
# What the slowest of those who are not cut off takes meanwhile.
BYTES_IN_TIME = int(SECONDS[Phase.TAKING] * BYTES_PER_SECOND)
# What requests and answers of slow clients may take of the memory of a worker. Four of the largest bodies
# fit in any case.
HELD_BYTES = 2**26
# Closing the oldest means looking at all, so one in so many is closed at a time.
SHARE = 20
NOTHING = memoryview(b"")
# File descriptors that are not for clients: databases, the log, listening.
OWN_FILES = 100


class TooSlow(RequestTimeout):
    """The request did not come in time."""

    description = "The request took too long to come."


class TooBusy(ServiceUnavailable):
    """All the memory that requests may take is held by those that wait for a thread."""

    description = "The service has too much to do now; try again in a moment."


class Connection:
    """A client. It belongs to whoever has taken it: the loop, out of `waiting`, or a thread of the crew."""

    def __init__(self, sock: socket.socket, client: Any, server: Any, incoming: Incoming) -> None:
        self.sock = sock
        self.fd = sock.fileno()
        self.client = client
        self.server = server
        self.incoming = incoming
        # What is still to be sent, and whether more requests are welcome after that.
        self.outgoing = NOTHING
        self.stays = True
        self.phase = Phase.THREAD
        self.since = 0.0
        # How many bytes have moved in this phase.
        self.moved = 0
        # How many bytes of memory it is known to hold.
        self.held = 0

    def earned(self) -> float:
        """The seconds that its bytes have bought it."""
        return self.moved / BYTES_PER_SECOND if self.phase in (Phase.BODY, Phase.TAKING) else 0.0


class Answer:
    """What gunicorn's Response takes for a socket: it gathers what is to be sent."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.sendall = self.pieces.append

    def take(self) -> bytes:
        """What has been gathered since."""
        data = b"".join(self.pieces)
        self.pieces.clear()
        return data


def refusal(reason: Exception) -> bytes:
    """The answer to what is no request, in the one shape of errors."""
    status, detail = REFUSALS.get(type(reason), NOT_HTTP)
    if isinstance(reason, HTTPException):
        status, detail = int(reason.code or 400), str(reason.description)
    headers = {"Connection": "close", "X-Request-Id": secrets.token_hex(16)}
    response = problem(status, detail, headers=headers)
    head = f"HTTP/1.1 {response.status}\r\n{response.headers}"
    return head.encode() + bytes(response.data)


def affordable(wanted: int) -> int:
    """So many connections, or fewer where the system allows a process fewer files."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return wanted if files == resource.RLIM_INFINITY else max(min(wanted, files - OWN_FILES), 1)
