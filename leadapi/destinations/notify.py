"""The destination of NOTIFY_EMAIL exists before the service takes its first lead."""

from contextlib import suppress

from flask import Flask
from sqlalchemy.exc import SQLAlchemyError

from leadapi import storage
from leadapi.config import Settings
from leadapi.destinations import service
from leadapi.storage import schema


def init_app(app: Flask, settings: Settings) -> None:
    """Create or change it. If the database cannot do it now, the first dispatcher does."""
    if not settings.notify_email or not schema.is_going_to_serve():
        return
    with app.app_context(), suppress(SQLAlchemyError, *storage.UNAVAILABLE):
        try:
            service.sync_settings(settings, enables=False)
        finally:
            schema.close_before_fork()
