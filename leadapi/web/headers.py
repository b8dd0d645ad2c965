"""The outermost layer: it normalises the path of each request, and completes the headers of each response."""

import re
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from flask import Flask, Response, current_app, request

from leadapi.config import Settings
from leadapi.web import pages
from leadapi.web.forms import MEDIA_TYPES
from leadapi.web.pages import POLICY
from leadapi.web.security import OPEN_BLUEPRINTS

# Swagger UI uses data: images, and sends requests from its script, not by a form.
DOCS_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)
# These keep their slash: the relative links of /docs/ would lead elsewhere, so it redirects to /docs.
WITH_SLASH = ("/", "/docs/")
# The key of the WSGI environment that says whether the path had a slash at its end.
SLASH_REMOVED = "leadapi.slash_removed"
# The headers of each response that does not set them itself.
DEFAULTS = (
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "no-referrer"),
    # Responses contain personal data, or errors about it: no cache may store them.
    ("Cache-Control", "no-store"),
    ("Content-Security-Policy", POLICY),
)

_no_ascii = re.compile(r"[^\x00-\x7f]")


def init_app(app: Flask, settings: Settings) -> None:
    """Normalise the path of every request before it is routed, and complete every response."""
    app.config["PUBLIC_URL"] = settings.public_url
    app.after_request(_finish)
    app.wsgi_app = _around(app.wsgi_app, settings.script_name)  # type: ignore[method-assign]  # documented


def public_url(path: str, query: Mapping[str, str] | None = None) -> str:
    """A reference to a path of this service, for a header of a response.

    It is absolute where PUBLIC_URL is set. Otherwise it is a path. If only the query differs from the request, it is
    the query alone, which also fits behind a proxy that removes a prefix.
    """
    base = current_app.config["PUBLIC_URL"]
    suffix = f"?{urlencode(query)}" if query else ""
    if suffix and not base and path == request.path:
        return suffix
    return f"{base or request.script_root}{path}{suffix}"


def relative_url(path: str) -> str:
    """A reference to a path of this service, relative to the URL of the request, for a page or a redirect.

    It fits behind every proxy, also one that removes a prefix which the service does not know.
    """
    depth = request.path.count("/") - 1 + (SLASH_REMOVED in request.environ)
    return "../" * depth + path.removeprefix("/")


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


def _around(wsgi_app: WSGIApplication, prefix: str) -> Any:
    """Middleware that normalizes the URL and adds the default headers: the path has no prefix and no slash at its end.

    Werkzeug would validate and copy the headers for every response.

    :param prefix: SCRIPT_NAME. Paths without it are served too: a proxy may have removed it, and health checks do not
        know it.
    """

    def call(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        def start(status: str, headers: list[tuple[str, str]], *exc_info: Any) -> Any:
            own = {name for name, _ in headers}
            return start_response(status, headers + [item for item in DEFAULTS if item[0] not in own], *exc_info)

        _normalize_path(environ, prefix)
        # Some servers pass bytes on that no URL has, and Werkzeug decodes them as UTF-8 strictly.
        environ["QUERY_STRING"] = _no_ascii.sub(lambda found: f"%{ord(found[0]):02X}", environ.get("QUERY_STRING", ""))
        return wsgi_app(environ, start)

    return call


def _normalize_path(environ: WSGIEnvironment, prefix: str) -> None:
    path = environ.get("PATH_INFO", "")
    if prefix and not environ.get("SCRIPT_NAME"):
        environ["SCRIPT_NAME"] = prefix
        if path == prefix or path.startswith(f"{prefix}/"):
            path = path.removeprefix(prefix) or "/"
    if _begins_with_slashes(path, environ):
        # No route begins with this. Without it, Werkzeug would remove the first slashes.
        path = f"/.{path}"
    elif path.endswith("/") and not path.endswith("//") and path not in WITH_SLASH:
        path = path[:-1]
        environ[SLASH_REMOVED] = True
    environ["PATH_INFO"] = path


def _begins_with_slashes(path: str, environ: WSGIEnvironment) -> bool:
    """Whether the path begins with several slashes. Some servers remove them from PATH_INFO."""
    targets = (path, environ.get("REQUEST_URI", ""), environ.get("RAW_URI", ""))
    return any(target.startswith("//") for target in targets)
