"""Which pages of other origins a browser lets read the answers (the CORS protocol of the Fetch standard)."""

import re
from typing import Any

from flask import Flask, Response, request
from flask_cors import CORS

from leadapi.config import Settings

METHODS = ("GET", "POST", "PATCH", "DELETE")
SENT = (
    "Authorization",
    "Content-Type",
    "Idempotency-Key",
    "If-Match",
    "If-None-Match",
    "Prefer",
    "X-API-Key",
    "X-Request-Id",
)
SHOWN = (
    "ETag",
    "Idempotent-Replayed",
    "Link",
    "Location",
    "Preference-Applied",
    "RateLimit",
    "RateLimit-Policy",
    "Retry-After",
    "WWW-Authenticate",
    "X-Request-Id",
)
# How long a browser may go without asking again. None keeps it longer than two hours.
MAX_AGE_SECONDS = 7200


def init_app(app: Flask, settings: Settings) -> None:
    """Tell browsers what the operator allows; without an allowed origin, nothing is added to any answer."""
    if not settings.cors_origins:
        return
    anyone = settings.cors_origins == ("*",)
    options: dict[str, Any] = {
        # As patterns of our own: the brackets of an IPv6 address would be taken for a pattern.
        "origins": "*" if anyone else [re.compile(re.escape(origin) + r"\Z") for origin in settings.cors_origins],
        "methods": METHODS,
        "allow_headers": SENT,
        "expose_headers": SHOWN,
        "max_age": MAX_AGE_SECONDS,
        "send_wildcard": anyone,
        "always_send": False,
        "vary_header": False,
        # Errors go through the hook for all answers already.
        "intercept_exceptions": False,
    }
    # The last one registered is called first, and what follows is for the answers that CORS has seen.
    if not anyone:
        app.after_request(_vary)
    CORS(app, **options)
    app.before_request(_answer_preflight)


def _answer_preflight() -> Response | None:
    """A browser asks without a key, and before the request itself, so nobody else has a say in it."""
    if request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers:
        return Response(status=204)
    return None


def _vary(response: Response) -> Response:
    """A cache must not give one origin what another was answered, nor what was answered to none."""
    response.vary.add("Origin")
    return response
