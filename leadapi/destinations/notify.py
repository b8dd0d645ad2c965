"""The destination of NOTIFY_EMAIL exists before the service takes its first lead."""

from contextlib import suppress

from flask import Flask
from sqlalchemy.exc import SQLAlchemyError

from leadapi import storage
from leadapi.config import Settings
from leadapi.destinations import service


def init_app(app: Flask, settings: Settings) -> None:
    """Create or change it. If the database cannot do it now, the first dispatcher does."""
    if settings.notify_email:
        with app.app_context(), suppress(SQLAlchemyError, *storage.UNAVAILABLE):
            service.sync_settings(settings, enables=False)
