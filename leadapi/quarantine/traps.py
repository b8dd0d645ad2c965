"""The traps for programs that fill forms: a field that people do not see, and a time that people need."""

from typing import Any

from flask import Flask, current_app

from leadapi.config import Settings
from leadapi.keys.callers import actor
from leadapi.quarantine import service
from leadapi.quarantine.errors import StampsOff
from leadapi.quarantine.stamps import Stamps
from leadapi.web.fields import STAMP_FIELD, TRAP_FIELD


def init_app(app: Flask, settings: Settings) -> None:
    """Set the second trap, where it is wished for."""
    secret, seconds = settings.form_secret, settings.min_fill_seconds
    app.extensions["stamps"] = Stamps(secret, seconds) if secret and seconds else None


def spring(sent: dict[str, Any]) -> str | None:
    """Take what is for the traps out of what was sent.

    :return: why it is caught, one of the reasons of `service`; None for what is let in.
    """
    filled, stamp = sent.pop(TRAP_FIELD, None), sent.pop(STAMP_FIELD, None)
    if filled and not filled.isspace():
        return service.HONEYPOT
    stamps = current_app.extensions["stamps"]
    # Who has a key is a program, and may be as quick as one.
    if stamps is None or actor() is not None or stamps.accepts(stamp):
        return None
    return service.FILL_TIME


def make_stamp() -> str:
    """The time for a page that is shown now.

    :raises StampsOff: no page needs one.
    """
    stamps: Stamps | None = current_app.extensions["stamps"]
    if stamps is None:
        raise StampsOff
    return stamps.make()
