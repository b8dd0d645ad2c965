"""The blueprint of the inbox: its areas, its files, its headers, and errors as pages."""

from http import HTTPStatus
from pathlib import Path

import orjson
from flask import Blueprint, Flask, Response, request, send_from_directory
from werkzeug.exceptions import NotFound

from leadapi.config import Settings
from leadapi.inbox import access, destinations, lead, leads, notices, numbers, quarantine, rendering
from leadapi.web import problems

PATH = "/inbox"
# Strangers wrote much of what is shown: nothing runs and nothing loads but the files of the inbox.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
# With no-referrer, browsers would send `Origin: null` with our own forms.
REFERRER_POLICY = "same-origin"
ASSETS = Path(__file__).parent.with_name("static")
ASSET_SECONDS = 365 * 86400


def init_app(app: Flask, settings: Settings) -> None:
    """Register the pages, unless INBOX=off."""
    if not settings.inbox:
        return
    rendering.init_app(app)
    inbox = Blueprint("inbox", __name__, url_prefix=PATH)
    inbox.before_request(access.admit)
    inbox.after_request(_finish)
    inbox.add_url_rule(f"/assets/<any({', '.join(rendering.ASSETS)}):name>", view_func=show_asset)
    for area in (access.blp, leads.blp, lead.blp, quarantine.blp, numbers.blp, destinations.blp):
        inbox.register_blueprint(area)
    # So that the error is shown as a page: only requests that match a route of the blueprint pass through `_finish`.
    inbox.add_url_rule("/<path:name>", view_func=show_nothing)
    app.register_blueprint(inbox)


def show_asset(name: str) -> Response:
    """A file that browsers keep if its URL has the version of its content."""
    is_version = request.args.get("v") == rendering.asset_version(name)
    # Not conditional: Werkzeug raises OverflowError on dates out of range.
    return send_from_directory(ASSETS, name, max_age=ASSET_SECONDS if is_version else 0, conditional=False)


def show_nothing(**_path: str) -> Response:
    """The answer to an address that is not a page."""
    raise NotFound


def _finish(response: Response) -> Response:
    """Turn an error into a page, and set the headers of pages."""
    if response.mimetype == problems.MEDIA_TYPE:
        problem = orjson.loads(response.get_data())
        status = HTTPStatus(response.status_code)
        # A dict, because strangers choose names of fields: `t.fields[name]` would also find Python's attributes.
        labels = vars(rendering.texts().fields)
        response.set_data(rendering.render("error.html", status=status, problem=problem, labels=labels))
        response.mimetype = "text/html"
    notices.finish(response)
    if response.mimetype == "text/html":
        response.headers["Content-Security-Policy"] = POLICY
        response.headers["Referrer-Policy"] = REFERRER_POLICY
    return response
