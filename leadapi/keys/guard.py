"""Authorisation: each operation needs a key with its scope. With AUTH=off, pages of other sites may change nothing."""

import base64
import binascii
import logging
from contextlib import suppress
from dataclasses import replace
from typing import Any

from flask import Flask, Response, after_this_request, current_app, g, request
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.exceptions import Forbidden

from leadapi import logs
from leadapi.config import Settings
from leadapi.keys import openapi, service
from leadapi.keys.errors import KeyMissing, KeyRefused, ScopeMissing
from leadapi.keys.ring import KeyRing
from leadapi.keys.service import OPERATOR, Caller, StoredKey
from leadapi.limits.policies import charging_failure
from leadapi.storage import DatabaseUnavailable, WriteLockUnavailable
from leadapi.web.openapi import Document, marks_of
from leadapi.web.origins import SAFE_METHODS, is_from_own_page
from leadapi.web.pages import PATH
from leadapi.web.security import OPEN, OPEN_BLUEPRINTS, SESSION_BLUEPRINTS, Requirement, requirement_of

NOBODY = Caller(None, frozenset())
# Pages of all sites may send forms here.
OPEN_TO_ALL_SITES = ("POST", PATH)
REFUSAL = (
    "A page of another site sent this request, so nothing was changed. CORS_ORIGINS can allow its origin; "
    "if it is a page of this service, set PUBLIC_URL to the address in the browser."
)
UNGUARDED = (*OPEN_BLUEPRINTS, *SESSION_BLUEPRINTS)

logger = logging.getLogger(__name__)


def init_app(app: Flask, settings: Settings, document: Document) -> None:
    """Guard the operations. With AUTH=off, keys are not looked at, and only pages of other sites are refused.

    Hooks that need the caller are registered after this one: Flask runs them in the order of registration.
    """
    openapi.describe(document, settings)
    if settings.auth:
        app.before_request(Guard(app, public_capture=settings.public_capture).admit)
    elif settings.env != "local":
        logger.warning("auth.off", extra={"reason": f"AUTH=off in ENV={settings.env}: everybody may do everything"})
    if not settings.auth and settings.cors_origins != ("*",):
        app.before_request(refuse_other_sites)


def refuse_other_sites() -> None:
    """Refuse a change by a page of another site where no key is asked for.

    A key in a header needs no such check: browsers send no header of another site without a preflight.

    :raises Forbidden: a page of another site sent the request.
    """
    rule = request.url_rule
    if rule is None or request.method in SAFE_METHODS or (request.method, rule.rule) == OPEN_TO_ALL_SITES:
        return
    # The inbox checks its forms by itself: CORS_ORIGINS is not for them.
    if not set(SESSION_BLUEPRINTS).isdisjoint(request.blueprints):
        return
    settings: Settings = current_app.extensions["settings"]
    if is_from_own_page() is False and request.headers.get("Origin") not in settings.cors_origins:
        raise Forbidden(REFUSAL)


class Guard:
    """Checks the key of each request."""

    def __init__(self, app: Flask, *, public_capture: bool) -> None:
        self._app = app
        self._public_capture = public_capture
        self._keys = KeyRing()
        self._requirements: dict[tuple[str, str], Requirement] = {}

    def admit(self) -> None:
        """Let the request pass, and set its caller in `g`.

        :raises KeyMissing: the operation needs a key, and the request has none.
        :raises KeyRefused: the key is not valid.
        :raises ScopeMissing: the key does not have the scope.
        :raises TooManyRequests: too many requests from this address had keys that are not valid.
        """
        g.caller = NOBODY
        if request.url_rule is None:
            # 404 and 405 do not depend on the caller.
            return
        needed = self._needed(request.url_rule.endpoint, request.method)
        if needed.scope is None:
            return
        key = self._identify(request.environ)
        if key is None:
            if needed.public and self._public_capture:
                g.caller = Caller(None, frozenset({needed.scope}))
                return
            raise KeyMissing
        logs.note(key_id=key.key_id)
        if needed.scope not in key.scopes:
            raise ScopeMissing(needed.scope)
        g.caller = Caller(key.key_id, key.scopes)
        if self._keys.take_due_use(key.key_id):
            after_this_request(self._note_use_later)

    def _identify(self, environ: dict[str, Any]) -> StoredKey | None:
        """The request's key; None if it has none."""
        with suppress(KeyRefused):
            text = credential(environ)
            if text is None:
                return None
            return self._keys.recall(text)
        # A key that is not in the cache counts against the rate limit of the address before it costs a query.
        try:
            with charging_failure("api"):
                return self._keys.identify(credential(environ) or "")
        except KeyRefused as exc:
            logs.note(key_refused=exc.reason, **({"key_id": exc.key_id} if exc.key_id else {}))
            raise

    def _needed(self, endpoint: str, method: str) -> Requirement:
        """The requirement of the operation, cached."""
        known = self._requirements.get((endpoint, method))
        if known is None:
            known = self._requirements[endpoint, method] = self._read_requirement(endpoint, method)
        return known

    def _read_requirement(self, endpoint: str, method: str) -> Requirement:
        # Browsers send OPTIONS without a key (Fetch, 4.9), and no view runs.
        if method == "OPTIONS" or endpoint.partition(".")[0] in UNGUARDED:
            return OPEN
        view: Any = getattr(self._app.view_functions[endpoint], "view_class", None)
        function = getattr(view, "get" if method == "HEAD" else method.lower(), None)
        return requirement_of(marks_of(function))

    def _note_use_later(self, response: Response) -> Response:
        """Record the use after the response is sent, so that it delays no caller and joins no transaction."""
        key_id = g.caller.key_id
        response.call_on_close(lambda: self._note_use(key_id))
        return response

    def _note_use(self, key_id: str) -> None:
        try:
            with self._app.app_context():
                service.note_use(key_id)
        except (SQLAlchemyError, DatabaseUnavailable, WriteLockUnavailable) as exc:
            # The use is recorded when the key is next read from the database.
            logger.info("keys.use_not_noted", extra={"key_id": key_id, "error": type(exc).__name__})


def caller() -> Caller:
    """The sender of this request."""
    known: Caller = g.get("caller", OPERATOR)
    # web.forms stores the form that it read in `g`.
    return replace(known, is_visitor=True) if "form" in g else known


def credential(environ: dict[str, Any]) -> str | None:
    """The text of the key in the request; None without one.

    :raises KeyRefused: there are two different ones, or the header is malformed.
    """
    header: str | None = environ.get("HTTP_AUTHORIZATION")
    plain: str | None = environ.get("HTTP_X_API_KEY")
    if header is None:
        return plain
    scheme, _, rest = header.partition(" ")
    text = rest.strip(" ")
    if scheme.lower() == "basic":
        text = _basic_user(text)
    elif scheme.lower() != "bearer":
        raise KeyRefused("malformed")
    if plain is not None and plain != text:
        raise KeyRefused("several")
    return text


def _basic_user(text: str) -> str:
    """The user name (RFC 7617). The password is ignored."""
    try:
        return base64.b64decode(text, validate=True).decode("ascii").partition(":")[0]
    except (binascii.Error, ValueError) as exc:
        raise KeyRefused("malformed") from exc
