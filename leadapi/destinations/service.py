"""Destinations: create, list, show, change, delete and test them, and rotate their secrets."""

import base64
import secrets
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import orjson
from sqlalchemy import Connection, Row, Select, bindparam, delete, func, insert, select, update

from leadapi import storage
from leadapi.config import Settings
from leadapi.destinations import chat, email, queue, retention, webhook
from leadapi.destinations.errors import (
    DestinationDisabled,
    DestinationFixed,
    DestinationMissing,
    HeadersRefused,
    SecretMissing,
)
from leadapi.destinations.inspection import backlog as backlog  # noqa: PLC0414  # metrics and the doctor ask for it
from leadapi.destinations.inspection import kinds_in_use as kinds_in_use  # noqa: PLC0414  # the doctor asks for it
from leadapi.destinations.inspection import neglected as neglected  # noqa: PLC0414  # the doctor asks for it
from leadapi.destinations.kinds import Kind
from leadapi.destinations.models import Destination
from leadapi.destinations.outcomes import OUTCOMES as OUTCOMES  # noqa: PLC0414  # metrics count them
from leadapi.destinations.queue import DeliveryPage
from leadapi.destinations.queue import find_due_leads as find_due_leads  # noqa: PLC0414  # the retention asks for it
from leadapi.destinations.queue import list_deliveries_of_lead as list_deliveries_of_lead  # noqa: PLC0414  # the inbox shows them
from leadapi.destinations.representations import DestinationPage, ShownDestination, shown
from leadapi.events import service as events
from leadapi.leads import service as leads

WEBHOOK, EMAIL, CHAT = "webhook", "email", "chat"
KINDS: Mapping[str, Kind] = {WEBHOOK: webhook, EMAIL: email, CHAT: chat}

# The types of events that a destination can ask for; the last one means all of them.
EVENTS = (events.CREATED, events.REPEATED, events.UPDATED, events.ERASED, events.NOTED, "lead.*")
DEFAULT_EVENTS = (events.CREATED, events.REPEATED)
MAX_HEADERS = 10
# How long the secret before a rotation signs along.
ROTATION_TIME = timedelta(hours=24)
SECRET_BYTES = 32

_destinations = Destination.metadata.tables["destinations"]
_this = _destinations.c.id == bindparam("destination_id")
_one = select(_destinations).where(_this)
_locked = _one.with_for_update()
_count = select(func.count()).select_from(_destinations)
_insert = insert(_destinations).returning(_destinations.c.id)
_delete = delete(_destinations).where(_this)


def create_destination(
    *, kind: str, url: str, settings: Settings, enabled: bool = True, **others: Any
) -> ShownDestination:
    """Store a new destination. Events from now on are sent to it.

    :param kind: one of `KINDS`.
    :param others: any of `events`, `sources`, `description` and `headers`; see `change_destination`.
    :return: of a webhook, with its secret.
    :raises UrlRefused: nothing can be sent to the URL.
    :raises HeadersRefused: the destination cannot have these headers.
    """
    values = _values({"events": DEFAULT_EVENTS, **others, "url": url}, kind, settings)
    values["headers"] = _merged("{}", others.get("headers"), kind)
    secret = _new_secret() if kind == WEBHOOK else None
    values |= {"kind": kind, "enabled": enabled, "secret": secret, "created_at": storage.now()}
    with storage.write() as tx:
        created: int = tx.execute(_insert, values).scalar_one()
        return _shown(tx, created, secret)


def list_destinations(*, limit: int, after: int | None = None, descending: bool = False) -> DestinationPage:
    """A page of the destinations, by id.

    :param limit: how many, at most.
    :param after: the id after which, in the given order, the page begins.
    :param descending: newest first.
    """
    column = _destinations.c.id
    # One row more than asked for tells whether there is a next page.
    page = select(_destinations).order_by(column.desc() if descending else column).limit(limit + 1)
    if after is not None:
        page = page.where(column < after if descending else column > after)
    with storage.read() as connection:
        rows = connection.execute(page).all()
        last = queue.last_deliveries(connection, [row.id for row in rows[:limit]])
        total = connection.execute(_count).scalar_one()
    items = [shown(row, KINDS[row.kind].shown(row.url), last.get(row.id)) for row in rows[:limit]]
    return DestinationPage(total, items, items[-1].id if len(rows) > limit else None)


def show_destination(destination_id: int) -> ShownDestination:
    """The destination with this id.

    :raises DestinationMissing: there is no destination with this id.
    """
    with storage.read() as connection:
        return _shown(connection, destination_id)


def find_setting(destination_id: int) -> str | None:
    """The setting that a destination comes from; None if people manage it.

    :raises DestinationMissing: there is no destination with this id.
    """
    with storage.read() as connection:
        setting: str | None = _found(connection, _one, destination_id).setting
    return setting


def change_destination(destination_id: int, changes: Mapping[str, Any], *, settings: Settings) -> ShownDestination:
    """Change some fields of a destination.

    :param changes: any of `url`, `events`, `sources` (None for all), `description`, `headers` and `enabled`. Headers
        are merged by name: a value of None removes one, None for `headers` removes all. Enabling a destination that
        the service has disabled gives it a new start: what is due is sent.
    :raises DestinationMissing: there is no destination with this id.
    :raises DestinationFixed: the destination comes from a setting.
    :raises UrlRefused: nothing can be sent to the new URL.
    :raises HeadersRefused: the destination cannot have these headers.
    """
    with storage.read() as connection:
        kind = _changeable(connection, _one, destination_id).kind
    # Checking a URL may look up its name, so it is done before the transaction. The kind never changes.
    values = _values(changes, kind, settings)
    with storage.write() as tx:
        row = _changeable(tx, _locked, destination_id)
        if "headers" in changes:
            values["headers"] = _merged(row.headers, changes["headers"], kind)
        if "enabled" in changes:
            values["enabled"] = changes["enabled"]
            if changes["enabled"] and not row.enabled:
                values |= {"disabled_reason": None, "failing_since": None}
        _update(tx, destination_id, values)
        return _shown(tx, destination_id)


def delete_destination(destination_id: int) -> None:
    """Delete a destination and its deliveries. What is due is not sent any more.

    :raises DestinationMissing: there is no destination with this id.
    :raises DestinationFixed: the destination comes from a setting.
    """
    with storage.write() as tx:
        _changeable(tx, _locked, destination_id)
        tx.execute(_delete, {"destination_id": destination_id})
        retention.forget(tx, destination_id)


def rotate_secret(destination_id: int) -> ShownDestination:
    """Give a webhook a new secret. The one before signs along for `ROTATION_TIME`; an older one does not any more.

    :return: with its secret.
    :raises DestinationMissing: there is no destination with this id.
    :raises SecretMissing: the destination is not a webhook.
    """
    secret = _new_secret()
    with storage.write() as tx:
        row = _found(tx, _locked, destination_id)
        if row.secret is None:
            raise SecretMissing
        until = storage.now() + ROTATION_TIME
        values = {"secret": secret, "previous_secret": row.secret, "previous_secret_until": until}
        _update(tx, destination_id, values)
        return _shown(tx, destination_id, secret)


def send_test(destination_id: int) -> dict[str, Any]:
    """Record a `lead.test` event for one destination, and return its delivery: see `queue.show_delivery`.

    :raises DestinationMissing: there is no destination with this id.
    :raises DestinationDisabled: nothing is sent to it now.
    """
    with storage.write() as tx:
        if not _found(tx, _locked, destination_id).enabled:
            raise DestinationDisabled
        time = storage.now()
        event_id = events.record_test(tx, _json(leads.EXAMPLE), time)
        delivery_id = queue.enqueue_test(tx, destination_id, event_id, time)
    return queue.show_delivery(destination_id, delivery_id)


def list_deliveries(destination_id: int, **part: Any) -> DeliveryPage:
    """A page of a destination's deliveries.

    :param part: see `queue.list_deliveries`.
    :raises DestinationMissing: there is no destination with this id.
    """
    _require(destination_id)
    return queue.list_deliveries(destination_id, **part)


def replay_delivery(destination_id: int, delivery_id: int) -> dict[str, Any]:
    """Make a delivery due now, and return it: see `queue.replay`.

    :raises DestinationMissing: there is no destination with this id.
    :raises DeliveryMissing: the destination has no such delivery.
    :raises NotReplayable: it is due already, or was cancelled.
    """
    _require(destination_id)
    return queue.replay(destination_id, delivery_id)


def replay_failed(destination_id: int, since: datetime) -> int:
    """Make the deliveries due now whose last attempt failed since then, and return how many they are.

    :raises DestinationMissing: there is no destination with this id.
    """
    _require(destination_id)
    return queue.replay_failed(destination_id, since)


def _values(changes: Mapping[str, Any], kind: str, settings: Settings) -> dict[str, Any]:
    """The columns for some of the fields: those that do not depend on the stored row."""
    values: dict[str, Any] = {}
    if "url" in changes:
        values["url"] = KINDS[kind].check(changes["url"], settings)
    for name in changes.keys() & {"events", "sources"}:
        given = changes[name]
        values[name] = None if given is None else _json(list(dict.fromkeys(given)))
    if "description" in changes:
        values["description"] = changes["description"]
    return values


def _merged(stored: str, changes: Mapping[str, str | None] | None, kind: str) -> str:
    """The headers after a change, as JSON. Names are the same in every letter case (RFC 9110, 5.1)."""
    headers = {} if changes is None else orjson.loads(stored)
    changed = {name.lower() for name in changes or {}}
    headers = {name: value for name, value in headers.items() if name.lower() not in changed}
    headers |= {name: value for name, value in (changes or {}).items() if value is not None}
    if headers and kind != WEBHOOK:
        raise HeadersRefused("Only a webhook has headers.")
    if len(headers) > MAX_HEADERS:
        raise HeadersRefused(f"A webhook has at most {MAX_HEADERS} headers of its own.")
    return _json(headers)


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()


def _new_secret() -> str:
    return f"whsec_{base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()}"


def _update(tx: Connection, destination_id: int, values: Mapping[str, Any]) -> None:
    if values:
        tx.execute(update(_destinations).where(_this).values(values), {"destination_id": destination_id})


def _require(destination_id: int) -> None:
    with storage.read() as connection:
        _found(connection, _one, destination_id)


def _found(connection: Connection, statement: Select[Any], destination_id: int) -> Row[Any]:
    row = connection.execute(statement, {"destination_id": destination_id}).one_or_none()
    if row is None:
        raise DestinationMissing
    return row


def _changeable(connection: Connection, statement: Select[Any], destination_id: int) -> Row[Any]:
    row = _found(connection, statement, destination_id)
    if row.setting is not None:
        raise DestinationFixed(row.setting)
    return row


def _shown(connection: Connection, destination_id: int, secret: str | None = None) -> ShownDestination:
    row = _found(connection, _one, destination_id)
    last = queue.last_deliveries(connection, [destination_id]).get(destination_id)
    return shown(row, KINDS[row.kind].shown(row.url), last, secret)
