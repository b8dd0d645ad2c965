"""The CORS protocol of the Fetch standard: pages of which other origins may read the answers."""

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
# Browsers cache a preflight answer for two hours at most.
MAX_AGE_SECONDS = 7200
# flask-cors spends 2 µs on each header that a preflight names. Pages name a few dozen.
MAX_NAMES_LENGTH = 4096


def init_app(app: Flask, settings: Settings) -> None:
    """Send the CORS headers to the allowed origins; without one in the settings, no answer has any."""
    if not settings.cors_origins:
        return
    anyone = settings.cors_origins == ("*",)
    options: dict[str, Any] = {
        # Compiled, because flask-cors takes an address in brackets for a pattern.
        "origins": "*" if anyone else [re.compile(re.escape(origin) + r"\Z") for origin in settings.cors_origins],
        "methods": METHODS,
        # Scripts add headers for tracing and of their frameworks. A list would only keep their requests away.
        "allow_headers": "*",
        "expose_headers": SHOWN,
        "max_age": MAX_AGE_SECONDS,
        "send_wildcard": anyone,
        "always_send": False,
        "vary_header": False,
        # Error responses pass the after_request hook, too.
        "intercept_exceptions": False,
    }
    # Flask calls the hook that is registered last first, so `_vary` runs after CORS.
    if not anyone:
        app.after_request(_vary)
    CORS(app, **options)
    app.before_request(_answer_preflight)


def _answer_preflight() -> Response | None:
    """Answer a preflight request before the guard sees it, because browsers send it without a key."""
    if request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers:
        if len(request.headers.get("Access-Control-Request-Headers", "")) > MAX_NAMES_LENGTH:
            del request.environ["HTTP_ACCESS_CONTROL_REQUEST_HEADERS"]
        return Response(status=204)
    return None


def _vary(response: Response) -> Response:
    """Keep caches from giving one origin the answer to another."""
    response.vary.add("Origin")
    return response
