"""Which page made a browser send a request: one of this service, or one of another site (CSRF)."""

import re

from flask import current_app, request

from leadapi.config import Settings

SAFE_METHODS = {"GET", "HEAD", "OPTIONS"}


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


def _settings() -> Settings:
    settings: Settings = current_app.extensions["settings"]
    return settings
