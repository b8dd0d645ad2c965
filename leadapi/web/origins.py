"""Which page made a browser send a request: one of this service, or one of another site (CSRF)."""

import re

from flask import Flask, current_app, request
from werkzeug.exceptions import Forbidden

from leadapi.config import Settings
from leadapi.web.pages import PATH
from leadapi.web.security import SESSION_BLUEPRINTS

SAFE_METHODS = {"GET", "HEAD", "OPTIONS"}
# Pages of all sites may send forms here.
OPEN_TO_ALL_SITES = ("POST", PATH)
REFUSAL = (
    "A page of another site sent this request, so nothing was changed. CORS_ORIGINS can allow its origin; "
    "if it is a page of this service, set PUBLIC_URL to the address in the browser."
)


def init_app(app: Flask, settings: Settings) -> None:
    """Refuse changes by pages of other sites where no key is asked for.

    A key in a header needs no such check: browsers send no header of another site without a preflight.
    """
    if not settings.auth and settings.cors_origins != ("*",):
        app.before_request(_refuse_other_sites)


def is_from_own_page() -> bool | None:
    """Whether a page of this service, or the person at the browser, sent the request; None if a program did.

    Browsers send Sec-Fetch-Site to https:// and to localhost, and Origin with everything but GET and HEAD.
    """
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site in ("same-origin", "none")
    origin = request.headers.get("Origin")
    return None if origin is None else origin.lower() in _own_origins()


def _own_origins() -> set[str]:
    public = re.match(r"https?://[^/]+", _settings().public_url)
    origins = {f"{request.scheme}://{request.host}"} | ({public[0]} if public else set())
    return {origin.lower() for origin in origins}


def _refuse_other_sites() -> None:
    rule = request.url_rule
    if rule is None or request.method in SAFE_METHODS or (request.method, rule.rule) == OPEN_TO_ALL_SITES:
        return
    # The inbox checks its forms by itself: CORS_ORIGINS is not for them.
    if not set(SESSION_BLUEPRINTS).isdisjoint(request.blueprints):
        return
    if is_from_own_page() is False and request.headers.get("Origin") not in _settings().cors_origins:
        raise Forbidden(REFUSAL)


def _settings() -> Settings:
    settings: Settings = current_app.extensions["settings"]
    return settings
