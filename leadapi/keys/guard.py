"""Checks before every operation that the caller's API key has the scope that the operation requires."""

import base64
import binascii
import logging
from contextlib import suppress
from typing import Any

from flask import Flask, Response, after_this_request, g, request
from sqlalchemy.exc import SQLAlchemyError

from leadapi import logs
from leadapi.config import Settings
from leadapi.keys import service
from leadapi.keys.errors import KeyMissing, KeyRefused, ScopeMissing
from leadapi.keys.ring import KeyRing
from leadapi.keys.service import StoredKey
from leadapi.limits.policies import charging_failure
from leadapi.storage.write_queue import WriteLockUnavailable
from leadapi.web.security import OPEN, OPEN_BLUEPRINTS, Requirement

# Routes without a declared scope need `admin` (fail closed).
UNMARKED = Requirement("admin")

logger = logging.getLogger(__name__)


def init_app(app: Flask, settings: Settings) -> None:
    """Guard the operations, unless AUTH=off, which ignores keys.

    Hooks that run before a request and need its caller have to be registered after this one.
    """
    if settings.auth:
        app.before_request(Guard(app, public_capture=settings.public_capture).admit)
    elif settings.env != "local":
        logger.warning("auth.off", extra={"reason": f"AUTH=off in ENV={settings.env}: everybody may do everything"})


class Guard:
    """Identifies the caller of each request by its key."""

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
        g.key_id, g.scopes = None, frozenset()
        if request.url_rule is None:
            # 404 and 405 are the same for every caller.
            return
        needed = self._needed(request.url_rule.endpoint, request.method)
        if needed.scope is None:
            return
        key = self._identify(request.environ)
        if key is None:
            if needed.public and self._public_capture:
                g.scopes = frozenset({needed.scope})
                return
            raise KeyMissing
        logs.note(key_id=key.key_id)
        if needed.scope not in key.scopes:
            raise ScopeMissing(needed.scope)
        g.key_id, g.scopes = key.key_id, key.scopes
        if self._keys.take_due_use(key.key_id):
            after_this_request(self._note_use_later)

    def _identify(self, environ: dict[str, Any]) -> StoredKey | None:
        """The request's key; None if it has none."""
        with suppress(KeyRefused):
            text = credential(environ)
            if text is None:
                return None
            return self._keys.recall(text)
        # Guessed keys cost the address before they cost a database read.
        try:
            with charging_failure():
                return self._keys.identify(credential(environ) or "")
        except KeyRefused as exc:
            logs.note(key_refused=exc.reason, **({"key_id": exc.key_id} if exc.key_id else {}))
            raise

    def _needed(self, endpoint: str, method: str) -> Requirement:
        """What the operation requires; read once and remembered."""
        known = self._requirements.get((endpoint, method))
        if known is None:
            known = self._requirements[endpoint, method] = self._read_requirement(endpoint, method)
        return known

    def _read_requirement(self, endpoint: str, method: str) -> Requirement:
        # Browsers send preflight requests without a key (Fetch, 4.9).
        if method == "OPTIONS" or endpoint.partition(".")[0] in OPEN_BLUEPRINTS:
            return OPEN
        view: Any = getattr(self._app.view_functions[endpoint], "view_class", None)
        function = getattr(view, "get" if method == "HEAD" else method.lower(), None)
        requirement: Requirement = getattr(function, "_apidoc", {}).get("requires", UNMARKED)
        return requirement

    def _note_use_later(self, response: Response) -> Response:
        """Note the use after the response is sent, in a transaction of its own, so that no client waits for it."""
        key_id = g.key_id
        response.call_on_close(lambda: self._note_use(key_id))
        return response

    def _note_use(self, key_id: str) -> None:
        try:
            with self._app.app_context():
                service.note_use(key_id)
        except (SQLAlchemyError, WriteLockUnavailable) as exc:
            # The next read of the key tries again.
            logger.info("keys.use_not_noted", extra={"key_id": key_id, "error": type(exc).__name__})


def credential(environ: dict[str, Any]) -> str | None:
    """The text that a request has as its key; None if it has none.

    :raises KeyRefused: it has two that differ, or a scheme or encoding that is not supported.
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
