"""Cross-origin access from browsers (the CORS protocol of the Fetch standard)."""

import re
from typing import Any

from flask import Flask, Response, request
from flask_cors import CORS

from leadapi.config import Settings

METHODS = ("GET", "POST", "PATCH", "DELETE")
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
# How long a browser may cache a preflight. Chromium's own limit is two hours.
MAX_AGE_SECONDS = 7200
# flask-cors spends 2 µs on each header that a preflight names. Pages name a few dozen.
MAX_NAMES_LENGTH = 4096


def init_app(app: Flask, settings: Settings) -> None:
    """Allow the origins of the settings. Without any, no response gets a header."""
    if not settings.cors_origins:
        return
    anyone = settings.cors_origins == ("*",)
    options: dict[str, Any] = {
        # Compiled patterns, because flask-cors would read the brackets of an IPv6 address as a pattern.
        "origins": "*" if anyone else [re.compile(re.escape(origin) + r"\Z") for origin in settings.cors_origins],
        "methods": METHODS,
        # Scripts add headers for tracing and of their frameworks. A list would only keep their requests away.
        "allow_headers": "*",
        "expose_headers": SHOWN,
        "max_age": MAX_AGE_SECONDS,
        "send_wildcard": anyone,
        "always_send": False,
        "vary_header": False,
        # Error responses pass through after_request already.
        "intercept_exceptions": False,
    }
    # after_request functions run in reverse order of registration: _vary after flask-cors.
    if not anyone:
        app.after_request(_vary)
    CORS(app, **options)
    app.before_request(_answer_preflight)


def _answer_preflight() -> Response | None:
    """Answer before the guard and the limits: a browser sends preflights without a key."""
    if request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers:
        if len(request.headers.get("Access-Control-Request-Headers", "")) > MAX_NAMES_LENGTH:
            del request.environ["HTTP_ACCESS_CONTROL_REQUEST_HEADERS"]
        return Response(status=204)
    return None


def _vary(response: Response) -> Response:
    """Keep caches from serving one origin the response to another."""
    response.vary.add("Origin")
    return response
