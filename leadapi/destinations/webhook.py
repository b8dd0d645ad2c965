"""Webhooks: events as HTTP requests, signed as Standard Webhooks prescribes."""

import base64
import hashlib
import hmac
import re
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from io import BufferedReader, RawIOBase
from socket import socket
from typing import Any, cast

import orjson

from leadapi.config import Settings
from leadapi.destinations import egress, hosts, kinds
from leadapi.destinations.errors import UrlRefused
from leadapi.destinations.kinds import Message, Outcome, Target
from leadapi.web.api import VERSION

# One address of a host may take this long to connect to, so that there is time left for the others.
CONNECT_SECONDS = 10.0
# The limit of an answer: its heads, interim ones included, and as much of the body as is kept.
ANSWER_BYTES = 2**16

_URL = re.compile(
    r"(?P<scheme>https?)://(?P<user>[^/?#]*@)?(?P<host>\[[0-9a-f:.]+\]|[^/?#:@\[\]]+)(?::(?P<port>[0-9]{1,5}))?"
    r"(?P<path>(?:[/?][!-~]*)?)",
    re.IGNORECASE,
)
AGENT = f"leadapi/{VERSION}"


def check(url: str, settings: Settings) -> str:
    """The URL with its scheme and host in lower case and ASCII.

    :raises UrlRefused: it is no URL, or not one that requests may be sent to.
    """
    match = _URL.fullmatch(url)
    if match is None or int(match["port"] or 443) not in range(1, 65536):
        raise UrlRefused("Must be a URL such as https://example.com/webhooks.")
    if match["scheme"].lower() == "http" and not settings.webhook_allow_private:
        raise UrlRefused("Must begin with https://. WEBHOOK_ALLOW_PRIVATE=on also allows http://.")
    if match["user"]:
        raise UrlRefused("Must not contain a user or password; put them into a header of the destination.")
    if "#" in match["path"]:
        raise UrlRefused("Must not contain a fragment, which is never sent.")
    host = hosts.check_host(match["host"], allow_private=settings.webhook_allow_private)
    port = f":{match['port']}" if match["port"] else ""
    return f"{match['scheme'].lower()}://{host}{port}{match['path']}"


def shown(url: str) -> str:
    """The URL. Its secrets belong into headers."""
    return url


def send(target: Target, messages: Sequence[Message], settings: Settings) -> Outcome:
    """Send the only message, once."""
    [message] = messages
    time_text = f"{message.time:%Y-%m-%dT%H:%M:%SZ}"
    body = orjson.dumps({"type": message.type, "timestamp": time_text, "data": dict(message.lead)})
    headers = signature(target.secrets, f"evt_{message.event_id}", int(time.time()), body)
    with egress.Guard(allow_private=settings.webhook_allow_private) as guard:
        try:
            outcome = _post(target, headers, body)
            guard.check_time()
        # http.client raises a ValueError for some malformed numbers in an answer.
        except (OSError, HTTPException, ValueError) as exc:
            return Outcome(error=guard.error(exc))
    return outcome


def signature(secrets: Sequence[str], message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The headers by which a receiver verifies a body: https://www.standardwebhooks.com."""
    signed = b"%s.%d.%s" % (message_id.encode(), timestamp, body)
    keys = [base64.b64decode(secret.removeprefix("whsec_")) for secret in secrets]
    digests = [base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode() for key in keys]
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(f"v1,{digest}" for digest in digests),
    }


class _Beginning(RawIOBase):
    """The beginning of an answer, as the socket and as the file that http.client reads it from.

    http.client itself reads interim responses and trailers without an end, and for a chunk of the size -1 everything.
    """

    def __init__(self, connection: socket) -> None:
        self._connection, self._left = connection, ANSWER_BYTES

    def makefile(self, _mode: str) -> BufferedReader:
        return BufferedReader(self)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        count = self._connection.recv_into(buffer, min(len(buffer), self._left)) if self._left else 0
        self._left -= count
        return count


def _post(target: Target, headers: Mapping[str, str], body: bytes) -> Outcome:
    """Send one request on a connection of its own, and read the beginning of the answer.

    http.client follows no redirect, decompresses nothing and uses no proxy.
    """
    match = _URL.fullmatch(target.url)
    assert match is not None  # noqa: S101  # check() has accepted it
    host, port, path = match["host"].strip("[]"), int(match["port"] or 0) or None, match["path"]
    connection = (
        HTTPSConnection(host, port, timeout=CONNECT_SECONDS, context=egress.tls())
        if match["scheme"] == "https"
        else HTTPConnection(host, port, timeout=CONNECT_SECONDS)
    )
    # Ours come last, so that own headers cannot replace them.
    sent: dict[str, str | bytes] = {"user-agent": AGENT}
    sent |= {name.lower(): value.encode() for name, value in target.headers.items()}
    sent |= {"content-type": "application/json", **headers}
    with closing(connection):
        connection.connect()
        # From here on, only the deadline of the attempt counts.
        connection.sock.settimeout(kinds.DEADLINE_SECONDS)
        connection.request("POST", path if path.startswith("/") else f"/{path}", body, sent)
        with HTTPResponse(cast("socket", _Beginning(connection.sock)), method="POST") as response:
            response.begin()
            answer = response.read(kinds.EXCERPT_BYTES)
    status, excerpt = response.status, kinds.excerpt(answer)
    if 200 <= status <= 299:
        return Outcome(status=status, excerpt=excerpt)
    return Outcome(
        error=kinds.STATUS,
        status=status,
        retry_after=_seconds(response.headers.get("Retry-After", "")),
        is_final=status == HTTPStatus.GONE,
        disables=kinds.GONE if status == HTTPStatus.GONE else None,
        excerpt=excerpt,
    )


def _seconds(retry_after: str) -> float | None:
    """How long a receiver asks to be left alone, by a number of seconds or by a date; None if it is neither."""
    if re.fullmatch("[0-9]{1,9}", retry_after):
        return float(retry_after)
    try:
        date = parsedate_to_datetime(retry_after)
        return max(0.0, (date.replace(tzinfo=date.tzinfo or UTC) - datetime.now(UTC)).total_seconds())
    except (ValueError, OverflowError):
        return None
