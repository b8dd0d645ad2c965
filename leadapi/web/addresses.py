"""The URLs of the service: which request paths mean the same, and how a response refers to a path."""

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlencode
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from flask import Flask, current_app, request

from leadapi.config import Settings

# These keep their slash: the relative links of /docs/ would lead elsewhere, so it redirects to /docs.
WITH_SLASH = ("/", "/docs/")
# The key of the WSGI environment that says whether the path had a slash at its end.
SLASH_REMOVED = "leadapi.slash_removed"


def init_app(app: Flask, settings: Settings) -> None:
    """Normalise the path of every request before it is routed."""
    app.config["PUBLIC_URL"] = settings.public_url
    app.wsgi_app = _normalizing(app.wsgi_app, settings.script_name)  # type: ignore[method-assign]  # documented


def public_url(path: str, query: Mapping[str, str] | None = None) -> str:
    """A reference to a path of this service, for a header of a response.

    It is absolute where PUBLIC_URL is set. Otherwise it is a path, or for another query of the requested path that
    query alone, which fits behind a proxy that removes a prefix.
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


def _normalizing(wsgi_app: WSGIApplication, prefix: str) -> Any:
    """Middleware that removes the prefix and one slash at the end of the path.

    :param prefix: SCRIPT_NAME. Paths without it are served too: a proxy may have removed it, and health checks do not
        know it.
    """

    def call(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
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
        return wsgi_app(environ, start_response)

    return call


def _begins_with_slashes(path: str, environ: WSGIEnvironment) -> bool:
    """Whether the path begins with several slashes. Some servers remove them from PATH_INFO."""
    targets = (path, environ.get("REQUEST_URI", ""), environ.get("RAW_URI", ""))
    return any(target.startswith("//") for target in targets)
