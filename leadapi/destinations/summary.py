"""Messages in words, for the people who read mail and chat."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate

from leadapi.config import Settings
from leadapi.destinations.kinds import Message
from leadapi.events import service as events

HEADLINES = {
    events.CREATED: "New lead",
    events.REPEATED: "New message",
    events.UPDATED: "Lead updated",
    events.ERASED: "Lead erased",
    events.NOTED: "New note",
    events.TEST: "Test lead",
}
# These have a place of their own, or say nothing to people.
_ELSEWHERE = {"id", "full_name", "email", "message", "attributes", "created_at", "updated_at"}

# Control characters except line breaks, and those that change the direction of the text that follows.
_CONTROL = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]+")


@dataclass(frozen=True, kw_only=True)
class Summary:
    """A message in words. Its texts contain no control characters but line breaks in `text`.

    :param kind: what happened, such as `New lead`.
    :param name: the name of the person; empty if the lead was erased.
    :param text: what the person wrote, or the text of a note.
    :param fields: the other fields and the attributes, each with its label.
    :param link: the URL of the lead, in the inbox if there is one; None if it has none.
    """

    kind: str
    name: str
    email: str | None
    text: str
    fields: tuple[tuple[str, str], ...]
    source: str | None
    link: str | None

    @property
    def headline(self) -> str:
        """One line that says what happened, to whom, and where it came from."""
        source = f" ({self.source})" if self.source else ""
        return f"{self.kind}: {self.name}{source}"


def summarize(message: Message, settings: Settings, most: int | None = None) -> Summary:
    """The message in words. A repeat shows what came in with it, on top of what is known about the lead.

    :param most: how many characters of attributes are shown; None for all.
    """
    sent = {name: value for name, value in (message.sent or {}).items() if value}
    lead = {**message.lead, **sent}
    attributes = {**(message.lead.get("attributes") or {}), **(sent.get("attributes") or {})}
    text = message.note or (lead.get("message") if message.sent is None else sent.get("message"))
    fields = [
        (name.replace("_", " ").capitalize(), value)
        for name, value in lead.items()
        if value and name not in _ELSEWHERE and (name, value) != ("status", "new")
    ]
    fields += [*_fitting(attributes, most), ("Time", f"{message.time:%Y-%m-%d %H:%M} UTC")]
    is_stored = message.type not in (events.ERASED, events.TEST)
    page = "inbox/leads" if settings.inbox else "leads"
    return Summary(
        kind=HEADLINES.get(message.type, message.type),
        name=_line(lead.get("full_name") or f"lead {lead['id']}"),
        email=lead.get("email"),
        text=_CONTROL.sub(" ", (text or "").replace("\r\n", "\n").replace("\r", "\n")).strip(),
        fields=tuple((_line(label), _line(str(value))) for label, value in fields),
        source=_line(lead["source"]) if lead.get("source") else None,
        link=f"{settings.public_url}/{page}/{lead['id']}" if settings.public_url and is_stored else None,
    )


def _fitting(attributes: Mapping[str, str], most: int | None) -> list[tuple[str, str]]:
    """The first attributes, and how many are left out because there would be more characters than allowed."""
    sizes = accumulate(len(name) + len(value) for name, value in attributes.items())
    number = sum(most is None or size <= most for size in sizes)
    left_out = [("Left out here", f"{len(attributes) - number} more")] if number < len(attributes) else []
    return [*list(attributes.items())[:number], *left_out]


def shorten(text: str, most: int) -> str:
    """The text, or its beginning with an ellipsis."""
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"


def _line(text: str) -> str:
    """The text in one line."""
    return " ".join(_CONTROL.sub(" ", text).split())
