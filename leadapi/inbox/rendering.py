"""Renders the pages of the inbox: a template with the texts, the caller and the links that every page needs."""

import hashlib
import tomllib
from datetime import date, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from flask import Flask, current_app, g, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from leadapi import storage
from leadapi.config import Settings
from leadapi.keys.guard import caller
from leadapi.web.headers import relative_url

ASSETS = ("inbox.css", "inbox.js", "inbox.svg")
# The entries of the navigation: the endpoint, the name in the texts, and the scope that a caller needs.
NAVIGATION = (
    ("inbox.leads.show_list", "leads", "read"),
    ("inbox.quarantine.show_list", "quarantine", "read"),
    ("inbox.numbers.show_numbers", "numbers", "read"),
    ("inbox.destinations.show_list", "destinations", "admin"),
)

MINUTE, HOUR, DAY = 60, 3600, 86400


def init_app(app: Flask) -> None:
    """Read the texts, and the versions of the files that browsers keep."""
    folder = Path(app.root_path)
    app.extensions["inbox_texts"] = _namespace(
        tomllib.loads((folder / "templates/inbox/texts.toml").read_text("utf-8"))
    )
    app.extensions["inbox_versions"] = {
        name: hashlib.sha256((folder / "static" / name).read_bytes()).hexdigest()[:12] for name in ASSETS
    }


def texts() -> Any:
    """The texts of all pages: the tables of texts.toml as attributes."""
    return current_app.extensions["inbox_texts"]


def link(endpoint: str, **values: Any) -> str:
    """The URL of a page, relative to the one that is shown."""
    return relative_url(url_for(endpoint, **values).removeprefix(request.script_root))


def go_to(endpoint: str, **values: Any) -> Response:
    """The redirect after a form."""
    return redirect(link(endpoint, **values), 303)


def render(template: str, **values: Any) -> str:
    """The page.

    :param template: a file in templates/inbox.
    :param values: what only this page needs.
    """
    settings: Settings = current_app.extensions["settings"]
    by = caller()
    return render_template(
        f"inbox/{template}",
        t=texts(),
        link=link,
        asset=_asset,
        age=age,
        exact=exact,
        may=by.may,
        navigation=[(endpoint, name) for endpoint, name, scope in NAVIGATION if by.may(scope)],
        key_name=g.get("key_name"),
        asks_for_keys=settings.auth,
        **values,
    )


def moment(value: str | datetime) -> datetime:
    """A time, which the JSON of a lead has as text."""
    return datetime.fromisoformat(value) if isinstance(value, str) else value


def age(value: str | datetime) -> str:
    """How long ago it was, in a few letters; the date if it is more than four weeks."""
    words = texts().age
    seconds = max(0, int((storage.now() - moment(value)).total_seconds()))
    if seconds < MINUTE:
        return str(words.now)
    if seconds < HOUR:
        return str(words.minutes.format(number=seconds // MINUTE))
    if seconds < DAY:
        return str(words.hours.format(number=seconds // HOUR))
    if seconds < 28 * DAY:
        return str(words.days.format(number=seconds // DAY))
    return day(moment(value))


def exact(value: str | datetime) -> str:
    """The date and time, to the minute."""
    return f"{day(moment(value))}, {moment(value):%H:%M} UTC"


def day(value: date) -> str:
    """The date."""
    return f"{value.day} {texts().months[value.month - 1]} {value.year}"


def asset_version(name: str) -> str:
    """The version of the content of a file that browsers keep."""
    version: str = current_app.extensions["inbox_versions"][name]
    return version


def _asset(name: str) -> str:
    return link("inbox.show_asset", name=name, v=asset_version(name))


def _namespace(value: Any) -> Any:
    """Tables as namespaces: a template would read `items` and `copy` of a dict as its methods."""
    if isinstance(value, dict):
        return SimpleNamespace(**{name: _namespace(each) for name, each in value.items()})
    return value
