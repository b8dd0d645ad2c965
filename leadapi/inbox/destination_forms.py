"""The form of a destination: what its fields show, and how they are read."""

from typing import Any
from urllib.parse import quote, unquote

from flask import request
from marshmallow import Schema, ValidationError

from leadapi.destinations import service
from leadapi.destinations.representations import ShownDestination
from leadapi.destinations.schemas import DestinationChangesSchema, NewDestinationSchema
from leadapi.web.parsing import InvalidFields, flat

MAILTO = "mailto:"


def readable(url: str) -> str:
    """The URL as people write it: the addresses of a mail without its scheme."""
    return ", ".join(unquote(url.removeprefix(MAILTO)).split(",")) if url.startswith(MAILTO) else url


def blank() -> dict[str, Any]:
    """The fields of a form for a new destination."""
    return {"events": service.DEFAULT_EVENTS, "enabled": True}


def filled(destination: ShownDestination) -> dict[str, Any]:
    """The fields of a form that changes a destination. The URL of a chat is shown without its secrets, so it is empty.

    The values of headers may be secrets, so only their names are shown.
    """
    return {
        "url": "" if destination.kind == service.CHAT else readable(destination.url),
        "description": destination.description or "",
        "events": destination.events,
        "sources": "\n".join(destination.sources or ()),
        "enabled": destination.enabled,
    }


def typed() -> dict[str, Any]:
    """The fields as they were sent, to show the form again."""
    form = request.form
    return {**form, "events": form.getlist("events"), "removed": form.getlist("removed"), "enabled": "enabled" in form}


def read_new(kind: str) -> dict[str, Any]:
    """A new destination.

    :raises InvalidFields: some fields are not valid.
    """
    return _load(NewDestinationSchema(), {"kind": kind, "url": "", **_values(kind)})


def read_changes(kind: str) -> dict[str, Any]:
    """The changes of a destination. An empty URL means no change.

    :raises InvalidFields: some fields are not valid.
    """
    return _load(DestinationChangesSchema(), _values(kind))


def _values(kind: str) -> dict[str, Any]:
    """The fields of the API that the form stands for."""
    form = request.form
    values: dict[str, Any] = {
        "description": form.get("description", "").strip() or None,
        "events": form.getlist("events"),
        "sources": _lines("sources") or None,
        "enabled": "enabled" in form,
    }
    if url := form.get("url", "").strip():
        values["url"] = _mailto(url) if kind == service.EMAIL else url
    if kind == service.WEBHOOK:
        values["headers"] = {**dict.fromkeys(form.getlist("removed")), **dict(map(_header, _lines("headers")))}
    return values


def _mailto(text: str) -> str:
    """The URL of a mail to addresses."""
    if text.lower().startswith(MAILTO):
        return text
    return MAILTO + ",".join(quote(address.strip(), safe="@") for address in text.split(","))


def _header(line: str) -> tuple[str, str]:
    """The name and the value in a line.

    :raises InvalidFields: the line has no colon.
    """
    name, colon, value = line.partition(":")
    if not colon:
        raise InvalidFields({"headers": ["Write each header as Name: value."]})
    return name.strip(), value.strip()


def _lines(name: str) -> list[str]:
    return [line.strip() for line in request.form.get(name, "").splitlines() if line.strip()]


def _load(schema: Schema, values: dict[str, Any]) -> dict[str, Any]:
    try:
        loaded: dict[str, Any] = schema.load(values)
    except ValidationError as exc:
        raise InvalidFields(flat(exc.messages_dict)) from exc
    return loaded
