"""The history of a lead in sentences: who did what, when, and what it changed."""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import orjson

from leadapi.events import service as events
from leadapi.inbox.rendering import texts
from leadapi.keys import service as keys
from leadapi.leads import service

SHOWN = 30
# More than all of a lead's repeats with many notes.
MOST = 2000


class Change(NamedTuple):
    """A field or an attribute before and after an event; None where it had no value."""

    label: str
    before: str | None
    after: str | None


class Entry(NamedTuple):
    """Something that happened.

    :param quote: what somebody wrote.
    :param left_out: text of a form that the lead has no room for, by its name.
    """

    id: int
    type: str
    actor: str | None
    time: str
    sentence: str
    quote: str | None
    changes: list[Change]
    left_out: dict[str, str]
    # The status before and after, if it changed.
    status: tuple[str, str] | None


class History(NamedTuple):
    """The newest entries, the newest first, and how many there are in all."""

    total: int
    entries: list[Entry]

    @property
    def last_id(self) -> int:
        """The id of the newest entry, by which a form tells what its reader has seen."""
        return self.entries[0].id if self.entries else 0

    def since(self, seen: int) -> list[Entry]:
        """The entries after the one with this id, the oldest first."""
        return [entry for entry in reversed(self.entries) if entry.id > seen]


def read_history(lead_id: int, *, most: int = SHOWN) -> History:
    """The newest entries of a lead's history.

    :raises LeadMissing: there never was a lead with this id.
    """
    page = service.list_events(lead_id, limit=most)
    if page.total > most:
        page = service.list_events(lead_id, limit=most, offset=page.total - most)
    # The data of an event is JSON text that the API passes on.
    items: list[dict[str, Any]] = orjson.loads(orjson.dumps(page.items))
    names = keys.name_keys({item["actor"] for item in items if item["actor"]})
    return History(page.total, [_entry(item, names.get(item["actor"])) for item in reversed(items)])


def _entry(item: dict[str, Any], name: str | None) -> Entry:
    kind, data = item["type"], item["data"]
    sent = data.get("sent", {}) if kind == events.REPEATED else data
    changed = data.get("changes", {})
    status = changed.get("status")
    return Entry(
        id=item["id"],
        type=kind,
        actor=item["actor"],
        time=item["time"].replace("+00:00", "Z"),
        sentence=_sentence(kind, sent, changed, name),
        quote=data.get("text") if kind == events.NOTED else sent.get("message"),
        # The quote shows a message, and a sentence of its own a status.
        changes=list(_changes(changed, leave_out={"message"} if kind == events.REPEATED else set())),
        left_out=data.get("left_out", {}),
        status=(status["from"], status["to"]) if status else None,
    )


def _sentence(kind: str, sent: dict[str, Any], changed: dict[str, Any], name: str | None) -> str:
    words = texts().timeline
    source = sent.get("source") if kind in (events.CREATED, events.REPEATED) else None
    place = words.place.format(source=source) if source else ""
    who = name or words.somebody
    if kind == events.CREATED:
        sentence = words.captured if name else words.arrived
    elif kind == events.REPEATED:
        sentence = words.sent_again if name else words.wrote_again
    elif kind == events.NOTED:
        sentence = words.noted
    elif kind == events.ERASED:
        sentence = words.erased
    elif changed.keys() == {"status"}:
        labels = vars(texts().status)
        before, after = (labels.get(changed["status"][end], changed["status"][end]) for end in ("from", "to"))
        return str(words.moved.format(who=who, before=before, after=after))
    else:
        sentence = words.changed
    return str(sentence.format(who=who, place=place))


def _changes(changed: dict[str, Any], leave_out: Iterable[str]) -> Iterator[Change]:
    if changed.keys() == {"status"}:
        return
    labels = vars(texts().fields)
    for name, ends in changed.items():
        before, after = ends["from"], ends["to"]
        if name == "attributes":
            before, after = before or {}, after or {}
            for each in sorted(before.keys() | after.keys()):
                if before.get(each) != after.get(each):
                    yield Change(each, before.get(each), after.get(each))
        elif name not in leave_out:
            yield Change(labels.get(name, name), _shown(name, before), _shown(name, after))


def _shown(name: str, value: str | None) -> str | None:
    return vars(texts().status).get(value or "", value) if name == "status" else value
