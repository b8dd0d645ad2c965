"""The spam traps: a form field that people cannot see (honeypot), and a minimum time to fill a form."""

from collections.abc import Mapping
from typing import Any

from flask import Flask, current_app

from leadapi.config import Settings
from leadapi.keys.service import Caller
from leadapi.quarantine import service
from leadapi.quarantine.errors import StampsOff
from leadapi.quarantine.stamps import Stamps
from leadapi.web.fields import STAMP_FIELD, TRAP_FIELD, TRAP_FIELDS


def init_app(app: Flask, settings: Settings) -> None:
    """Enable the fill-time trap if MIN_FILL_SECONDS is not 0."""
    secret, seconds = settings.form_secret, settings.min_fill_seconds
    app.extensions["stamps"] = Stamps(secret, seconds) if secret and seconds else None


def check(sent: Mapping[str, Any], by: Caller) -> tuple[dict[str, Any], str | None]:
    """Separate the fields of a lead from those of the traps.

    :return: the fields of the lead, and `service.HONEYPOT` or `service.FILL_TIME` if a trap caught it, otherwise None.
    """
    fields = {name: value for name, value in sent.items() if name not in TRAP_FIELDS}
    honeypot, stamp = sent.get(TRAP_FIELD), sent.get(STAMP_FIELD)
    if honeypot and not honeypot.isspace():
        return fields, service.HONEYPOT
    stamps: Stamps | None = current_app.extensions["stamps"]
    # Callers with an API key are programs, which may fill a form faster than a person.
    if stamps is None or by.key_id is not None or stamps.accepts(stamp):
        return fields, None
    return fields, service.FILL_TIME


def make_stamp() -> str:
    """A stamp for a page that is shown now.

    :raises StampsOff: MIN_FILL_SECONDS is 0.
    """
    stamps: Stamps | None = current_app.extensions["stamps"]
    if stamps is None:
        raise StampsOff
    return stamps.make()
