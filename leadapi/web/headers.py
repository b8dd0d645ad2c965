"""What every answer tells browsers: how little they may do with it."""

from http import HTTPStatus

from flask import Flask, Response, request

from leadapi.web.security import OPEN_BLUEPRINTS

# Answers are data. Should a browser take one for a page, it may do nothing there.
POLICY = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
# Swagger UI draws with data: images, and sends from its script, not by a form.
DOCS_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)
CAREFUL = (
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "no-referrer"),
)
# Neither browsers nor proxies may keep what is said about people, nor what is wrong with it.
PRIVATE = (*CAREFUL, ("Cache-Control", "no-store"))


def init_app(app: Flask) -> None:
    """Add the headers to every answer."""
    app.after_request(_add)


def _add(response: Response) -> Response:
    headers = response.headers
    headers.extend(CAREFUL if request.blueprint in OPEN_BLUEPRINTS else PRIVATE)
    # A page that needs more than data does brings its own.
    headers.setdefault("Content-Security-Policy", POLICY)
    if response.status_code == HTTPStatus.NO_CONTENT:
        # Nothing has no type (RFC 9110, 8.3).
        headers.remove("Content-Type")
    return response
