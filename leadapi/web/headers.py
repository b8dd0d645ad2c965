"""The end of every response: a page instead of JSON for a visitor with a form, and the security headers."""

from http import HTTPStatus

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
CAREFUL = (
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "no-referrer"),
)
# Responses contain personal data, or errors about it: no cache may store them.
PRIVATE = (*CAREFUL, ("Cache-Control", "no-store"))


def init_app(app: Flask) -> None:
    """Register the function that finishes responses."""
    app.after_request(_finish)


def _finish(response: Response) -> Response:
    # Not `request.mimetype`: parsing a long Content-Type takes quadratic time.
    if (request.content_type or "")[:100].lower().startswith(MEDIA_TYPES):
        response = pages.answer(response)
    headers = response.headers
    headers.extend(CAREFUL if request.blueprint in OPEN_BLUEPRINTS else PRIVATE)
    # Pages set their own policy.
    headers.setdefault("Content-Security-Policy", POLICY)
    if response.status_code == HTTPStatus.NO_CONTENT:
        # Without content there is no type (RFC 9110, 8.3).
        headers.remove("Content-Type")
    return response
