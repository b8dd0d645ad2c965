"""The end of every response: a page instead of JSON for a visitor with a form, and the security headers."""

from collections.abc import Iterable
from http import HTTPStatus
from typing import Any
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from flask import Flask, Response, request

from leadapi.web import pages
from leadapi.web.forms import MEDIA_TYPES
from leadapi.web.pages import POLICY
from leadapi.web.security import OPEN_BLUEPRINTS

# Swagger UI uses data: images, and sends requests from its script, not by a form.
DOCS_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)
# The headers of each response that does not set them itself.
DEFAULTS = (
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "no-referrer"),
    # Responses contain personal data, or errors about it: no cache may store them.
    ("Cache-Control", "no-store"),
    ("Content-Security-Policy", POLICY),
)


def init_app(app: Flask) -> None:
    """Register the functions that finish responses."""
    app.after_request(_finish)
    app.wsgi_app = _completing(app.wsgi_app)  # type: ignore[method-assign]  # documented


def _finish(response: Response) -> Response:
    # Not `request.mimetype`: parsing a long Content-Type takes quadratic time.
    if request.environ.get("CONTENT_TYPE", "")[:100].lower().startswith(MEDIA_TYPES):
        response = pages.answer(response)
    if request.blueprint in OPEN_BLUEPRINTS:
        # Caches may store the documentation.
        response.headers.setdefault("Cache-Control", "no-cache")
    if response.status_code == HTTPStatus.NO_CONTENT:
        # Without content there is no type (RFC 9110, 8.3).
        response.headers.remove("Content-Type")
    return response


def _completing(wsgi_app: WSGIApplication) -> Any:
    """Middleware that adds the headers. Werkzeug would validate and copy them for every response."""

    def call(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        def start(status: str, headers: list[tuple[str, str]], *exc_info: Any) -> Any:
            own = {name for name, _ in headers}
            return start_response(status, headers + [item for item in DEFAULTS if item[0] not in own], *exc_info)

        return wsgi_app(environ, start)

    return call
