"""Messages, outcomes and errors, which all kinds of destinations share."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from leadapi.config import Settings

# How an attempt can fail; shown as the `error` of a delivery.
DNS = "dns"
CONNECTION = "connection"
TLS = "tls"
TIMEOUT = "timeout"
STATUS = "status"
REFUSED_TARGET = "refused_target"
RECIPIENT = "recipient"
AUTH = "auth"
ERRORS = (DNS, CONNECTION, TLS, TIMEOUT, STATUS, REFUSED_TARGET, RECIPIENT, AUTH)
# Why the service disables a destination; AUTH is a reason, too.
GONE = "gone"
FAILING = "failing"
REASONS = (GONE, AUTH, FAILING)

# An attempt ends after this time, whatever the receiver does.
DEADLINE_SECONDS = 30.0
# How much of an answer is kept.
EXCERPT_BYTES = 1024


@dataclass(frozen=True, kw_only=True)
class Target:
    """A destination as its kind needs it to send something.

    :param headers: own headers of a webhook.
    :param secrets: the signing secrets of a webhook that are valid now, the newest first.
    """

    url: str
    headers: Mapping[str, str]
    secrets: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Message:
    """An event to send.

    :param delivery_id: names the delivery; the same at every attempt.
    :param event_id: names the event; the same for every destination and every attempt.
    :param lead: the visible fields of the lead right after the event; of an erased lead, only its id.
    :param sent: what came in with a repeat, by field; None for other types.
    :param note: the text of a note; None for other types.
    """

    delivery_id: int
    event_id: int
    type: str
    time: datetime
    lead: Mapping[str, Any]
    sent: Mapping[str, Any] | None = None
    note: str | None = None


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The outcome of an attempt.

    :param error: one of `ERRORS`; None after a success.
    :param status: the HTTP or SMTP status, if there was one.
    :param retry_after: for how many seconds the receiver asks to be left alone.
    :param is_final: whether another attempt would fail as well.
    :param disables: the reason for which the destination must be disabled: `GONE` or `AUTH`; None to keep it.
    :param excerpt: the beginning of the answer, as text.
    """

    error: str | None = None
    status: int | None = None
    retry_after: float | None = None
    is_final: bool = False
    disables: str | None = None
    excerpt: str | None = None


class Kind(Protocol):
    """The module of a kind."""

    def check(self, url: str, settings: Settings) -> str:
        """Normalise the URL of a new destination. It may look up a name, so it is called outside of transactions.

        :raises leadapi.destinations.errors.UrlRefused: nothing can be sent to the URL.
        """

    def shown(self, url: str) -> str:
        """The URL without its secrets."""

    def send(self, target: Target, messages: Sequence[Message], settings: Settings) -> Outcome:
        """Make one attempt, within `DEADLINE_SECONDS`. Nothing is raised for a receiver or network that fails."""


def excerpt(answer: bytes) -> str | None:
    """The beginning of an answer as text; None if there is none. PostgreSQL cannot store NUL."""
    text = answer[:EXCERPT_BYTES].decode(errors="replace").replace("\0", "")
    return text.encode()[:EXCERPT_BYTES].decode(errors="ignore") or None
