"""Access to the inbox: who is calling, whether a page of ours sent a form, login and logout."""

import re
from contextlib import suppress

from flask import Blueprint, current_app, g, make_response, redirect, request
from werkzeug.exceptions import Forbidden
from werkzeug.wrappers import Response

from leadapi import logs, storage
from leadapi.config import Settings
from leadapi.inbox import cookies, sessions
from leadapi.inbox.rendering import go_to, link, render, texts
from leadapi.keys import service as keys
from leadapi.keys.errors import KeyRefused, ScopeMissing
from leadapi.keys.guard import caller
from leadapi.keys.service import Caller
from leadapi.limits.policies import charging_failure
from leadapi.web.headers import relative_url
from leadapi.web.origins import SAFE_METHODS, is_from_own_page

COOKIE = "leadapi"
# These are for browsers without a session.
OPEN_ENDPOINTS = {"inbox.show_asset", "inbox.access.show_login", "inbox.access.log_in", "inbox.access.log_out"}
# The pages that a login may lead to.
OWN_PAGE = re.compile(r"/inbox(?:/[A-Za-z0-9]+)*(?:\?[!-~]*)?")
MAX_PAGE_LENGTH = 2000
# The fields of the login itself. The others are those of a form that was sent without a valid session.
LOGIN_FIELDS = {"key", "next", "unsent"}
# The parts of a key that people copy along.
AROUND_KEY = " \t\r\n\"'"

blp = Blueprint("access", __name__)


def admit() -> Response | tuple[str, int] | None:
    """Let the request pass and set its caller in `g`, or lead to the login, which keeps a form that was sent.

    :raises Forbidden: a page of somebody else sent the request.
    """
    if request.method not in SAFE_METHODS and not _may_change():
        raise Forbidden(texts().errors.foreign)
    if request.endpoint in OPEN_ENDPOINTS or request.method == "OPTIONS" or not _settings().auth:
        return None
    token = cookies.read(COOKIE)
    key = sessions.find_key(token) if token else None
    if key is None:
        page = _page_to_return_to()
        if request.method == "POST":
            return _login_page(page, texts().login.ended, is_unsent=True), 403
        return go_to("inbox.access.show_login", **({"next": page} if page else {}))
    g.key_name = key.name
    g.caller = Caller(key.key_id, key.scopes)
    logs.note(key_id=key.key_id)
    return None


def require(scope: str) -> None:
    """Do nothing if the caller has a scope.

    :raises ScopeMissing: the caller does not.
    """
    if not caller().may(scope):
        raise ScopeMissing(scope)


@blp.get("/login")
def show_login() -> str | Response:
    """The form for the key."""
    if not _settings().auth:
        return go_to("inbox.leads.show_list")
    return _login_page(_own_page(request.args.get("next", "")))


@blp.post("/login")
def log_in() -> Response | tuple[str, int]:
    """Exchange a key for a session."""
    page = _own_page(request.form.get("next", ""))
    try:
        with charging_failure("login"):
            key = keys.identify_key(request.form.get("key", "").strip(AROUND_KEY))
    except KeyRefused as exc:
        logs.note(key_refused=exc.reason, **({"key_id": exc.key_id} if exc.key_id else {}))
        return _login_page(page, texts().login.refused), 403
    logs.note(key_id=key.key_id)
    if "read" not in key.scopes:
        return _login_page(page, texts().login.no_read), 403
    token = sessions.start_session(key, replaced=cookies.read(COOKIE))
    with suppress(*storage.UNAVAILABLE):
        keys.note_use(key.key_id)
    target = relative_url(page) if page else link("inbox.leads.show_list")
    response = redirect(target, 303)
    if "unsent" in request.form:
        # Shown first, because another person may have logged in.
        response = make_response(render("unsent.html", fields=_unsent_fields(), target=target))
    cookies.write(response, COOKIE, token, sessions.LIFETIME)
    return response


@blp.post("/logout")
def log_out() -> Response:
    """End the session."""
    token = cookies.read(COOKIE)
    if token:
        # While the database is down, the browser at least forgets the session.
        with suppress(*storage.UNAVAILABLE):
            sessions.end_session(token)
    response = go_to("inbox.access.show_login")
    cookies.remove(response, COOKIE)
    return response


def _login_page(page: str, error: str | None = None, *, is_unsent: bool = False) -> str:
    """The form for the key.

    :param page: the page to show after the login, or an empty text.
    :param is_unsent: whether the request is a form for that page, which the login keeps.
    """
    is_unsent = is_unsent or "unsent" in request.form
    return render("login.html", error=error, next=page, is_unsent=is_unsent, fields=_unsent_fields())


def _unsent_fields() -> list[tuple[str, str]]:
    """The fields of the form that was sent without a valid session."""
    return [(name, value) for name, value in request.form.items(multi=True) if name not in LOGIN_FIELDS]


def _page_to_return_to() -> str:
    """The page that was asked for, or an empty text for the list."""
    page = _own_page(request.full_path.rstrip("?"))
    return "" if page == "/inbox" else page


def _own_page(page: str) -> str:
    """The page, if a login may lead to it, or an empty text."""
    return page if len(page) <= MAX_PAGE_LENGTH and OWN_PAGE.fullmatch(page) else ""


def _may_change() -> bool:
    """Whether no page of another site sent the request."""
    is_own = is_from_own_page()
    # A browser tells the page. A request that does not is that of a program, which has no session cookie.
    return not cookies.read(COOKIE) if is_own is None else is_own


def _settings() -> Settings:
    settings: Settings = current_app.extensions["settings"]
    return settings
