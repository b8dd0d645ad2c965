"""The destination of NOTIFY_EMAIL follows the setting."""

from contextlib import suppress
from urllib.parse import quote

import orjson
from flask import Flask
from sqlalchemy import delete, insert, select, update
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from leadapi import storage
from leadapi.config import Settings
from leadapi.destinations.models import Destination
from leadapi.destinations.service import DEFAULT_EVENTS, EMAIL, KINDS
from leadapi.storage import schema

NOTIFY_EMAIL = "NOTIFY_EMAIL"

_destinations = Destination.metadata.tables["destinations"]
_of_setting = _destinations.c.setting == NOTIFY_EMAIL


def init_app(app: Flask, settings: Settings) -> None:
    """Create or change it before the first lead. If the database cannot do it now, the first dispatcher does."""
    if not settings.notify_email or not schema.is_going_to_serve():
        return
    with app.app_context(), suppress(SQLAlchemyError, *storage.UNAVAILABLE):
        try:
            sync_settings(settings, enables=False)
        finally:
            schema.close_before_fork()


def sync_settings(settings: Settings, *, enables: bool = True) -> None:
    """Create, change or delete the destination, as the setting says.

    Several processes may do this at the same time.

    :param enables: whether to enable it again if the service has disabled it. A dispatcher does so when it starts,
        because a start often follows a correction of the settings.
    """
    url = ""
    if settings.notify_email:
        url = KINDS[EMAIL].check(f"mailto:{','.join(map(quote, settings.notify_email))}", settings)
    with storage.read() as connection:
        row = connection.execute(select(_destinations).where(_of_setting)).one_or_none()
    if row is None and url:
        _create(url)
    elif row is not None and not url:
        with storage.write() as tx:
            tx.execute(delete(_destinations).where(_of_setting))
    elif row is not None and (row.url != url or (enables and row.disabled_reason)):
        values = {"url": url, "enabled": True, "disabled_reason": None, "failing_since": None}
        with storage.write() as tx:
            tx.execute(update(_destinations).where(_of_setting).values(values))


def _create(url: str) -> None:
    values = {"kind": EMAIL, "url": url, "events": orjson.dumps(DEFAULT_EVENTS).decode(), "setting": NOTIFY_EMAIL}
    try:
        with storage.write() as tx:
            tx.execute(insert(_destinations).values(values | {"created_at": storage.now()}))
    except IntegrityError as exc:
        # Another process has just created it.
        if storage.violated(exc) != "uq_destinations_setting":
            raise
