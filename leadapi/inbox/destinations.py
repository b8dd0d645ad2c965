"""Destinations: how they are, what was sent to them, and the forms that add, change, test and delete them."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from http import HTTPStatus
from typing import Any

from flask import Blueprint, current_app, request
from werkzeug.wrappers import Response

from leadapi import logs, storage
from leadapi.destinations import service
from leadapi.destinations.errors import FieldRefused
from leadapi.destinations.representations import DestinationWithSecret
from leadapi.destinations.schemas import STATES, DeliveryListArgsSchema
from leadapi.inbox import destination_forms, notices
from leadapi.inbox.access import require
from leadapi.inbox.reading import read_form, read_query
from leadapi.inbox.rendering import go_to, render
from leadapi.inbox.schemas import REPLAYED_HOURS, ReplayFormSchema
from leadapi.web.fields import Cursor, PageArgsSchema
from leadapi.web.parsing import InvalidFields

PAGE = 50
DELIVERIES = 25

blp = Blueprint("destinations", __name__, url_prefix="/destinations")

Page = tuple[str, int]


@blp.before_request
def require_admin() -> None:
    """All of it is for callers who may change where leads are sent."""
    if request.method != "OPTIONS":
        require("admin")


@blp.get("")
def show_list() -> str:
    """All destinations, and how they are."""
    page = service.list_destinations(**read_query(PageArgsSchema, sort="id", limit=str(PAGE)))
    return _page(
        "destinations.html",
        page=page,
        is_first="after" not in request.args,
        next_page=_cursor(page.next_after),
        was_deleted="deleted" in notices.take(),
    )


@blp.get("/new")
def show_new() -> str:
    """The form for a new destination."""
    return _form_page(_kind(), destination_forms.blank())


@blp.post("/new")
def create() -> Response | str | Page:
    """Add a destination."""
    kind = _kind()
    try:
        created = service.create_destination(**destination_forms.read_new(kind), settings=_settings())
    except (InvalidFields, FieldRefused) as exc:
        return _form_page(kind, destination_forms.typed(), exc.errors), HTTPStatus.UNPROCESSABLE_ENTITY
    logs.note(destination_id=created.id)
    if isinstance(created, DestinationWithSecret):
        return _page("secret.html", destination=created, is_new=True)
    return _to(created.id, done="created")


@blp.get("/<id:destination_id>")
def show_destination(destination_id: int) -> str:
    """A destination and what was sent to it."""
    args = read_query(DeliveryListArgsSchema, sort="-id", limit=str(DELIVERIES))
    destination = service.show_destination(destination_id)
    notice = notices.take()
    deliveries = service.list_deliveries(destination_id, **args)
    return _page(
        "destination.html",
        destination=destination,
        setting=service.find_setting(destination_id),
        deliveries=deliveries,
        states=STATES,
        state=args.get("state"),
        is_first="after" not in args,
        next_page=_cursor(deliveries.next_after),
        replayed_hours=REPLAYED_HOURS,
        done=notice.get("done"),
        number=notice.get("number", 0, type=int),
    )


@blp.get("/<id:destination_id>/change")
def show_change(destination_id: int) -> str:
    """The form that changes a destination."""
    destination = service.show_destination(destination_id)
    return _form_page(destination.kind, destination_forms.filled(destination), destination=destination)


@blp.post("/<id:destination_id>/change")
def change(destination_id: int) -> Response | Page:
    """Change a destination."""
    destination = service.show_destination(destination_id)
    try:
        changes = destination_forms.read_changes(destination.kind)
        service.change_destination(destination_id, changes, settings=_settings())
    except (InvalidFields, FieldRefused) as exc:
        page = _form_page(destination.kind, destination_forms.typed(), exc.errors, destination)
        return page, HTTPStatus.UNPROCESSABLE_ENTITY
    return _to(destination_id, done="changed")


@blp.post("/<id:destination_id>/enable")
def enable(destination_id: int) -> Response:
    """Send events to it again, and what is due."""
    service.change_destination(destination_id, {"enabled": True}, settings=_settings())
    return _to(destination_id, done="enabled")


@blp.post("/<id:destination_id>/test")
def send_test(destination_id: int) -> Response:
    """Send an example of a lead."""
    logs.note(delivery_id=service.send_test(destination_id)["id"])
    return _to(destination_id, done="tested")


@blp.post("/<id:destination_id>/rotate")
def rotate(destination_id: int) -> str:
    """Give a webhook a new secret, and show it once."""
    return _page("secret.html", destination=service.rotate_secret(destination_id), is_new=False)


@blp.post("/<id:destination_id>/deliveries/<id:delivery_id>/replay")
def replay_one(destination_id: int, delivery_id: int) -> Response:
    """Send a delivery again."""
    service.replay_delivery(destination_id, delivery_id)
    return _to(destination_id, done="replayed", number=1)


@blp.post("/<id:destination_id>/replay")
def replay_failed(destination_id: int) -> Response:
    """Send all deliveries again that failed lately."""
    hours = read_form(ReplayFormSchema)["hours"]
    number = service.replay_failed(destination_id, storage.now() - timedelta(hours=hours))
    return _to(destination_id, done="replayed", number=number)


@blp.get("/<id:destination_id>/delete")
def ask_to_delete(destination_id: int) -> str:
    """The question before the deletion."""
    destination = service.show_destination(destination_id)
    due = service.list_deliveries(destination_id, limit=1, state="due").total
    return _page("delete.html", destination=destination, due=due)


@blp.post("/<id:destination_id>/delete")
def delete(destination_id: int) -> Response:
    """Delete a destination and its deliveries."""
    service.delete_destination(destination_id)
    return notices.leave(go_to("inbox.destinations.show_list"), deleted=1)


def _form_page(
    kind: str, values: Mapping[str, Any], errors: Mapping[str, Sequence[str]] | None = None, destination: Any = None
) -> str:
    """The form.

    :param errors: messages by the path of a field, of which the first part is a field of the form.
    :param destination: the destination to change; None for a new one.
    """
    messages: dict[str, list[str]] = {}
    for path, found in (errors or {}).items():
        field, _, part = path.partition(".")
        # Headers are told apart by their names.
        messages.setdefault(field, []).append(f"{part}: {' '.join(found)}" if field == "headers" and part else found[0])
    return _page(
        "destination_form.html",
        kind=kind,
        kinds=list(service.KINDS),
        event_names=service.EVENTS,
        values=values,
        errors=messages,
        destination=destination,
    )


def _page(template: str, **values: Any) -> str:
    return render(template, section="destinations", readable=destination_forms.readable, **values)


def _to(destination_id: int, **notice: Any) -> Response:
    return notices.leave(go_to("inbox.destinations.show_destination", destination_id=destination_id), **notice)


def _kind() -> str:
    """The kind in the URL; a webhook if it is not one."""
    kind = request.args.get("kind", "")
    return kind if kind in service.KINDS else service.WEBHOOK


def _cursor(next_after: int | None) -> str | None:
    return Cursor.encode(next_after) if next_after else None


def _settings() -> Any:
    return current_app.extensions["settings"]
