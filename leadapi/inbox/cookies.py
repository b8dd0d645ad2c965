"""The cookies of the inbox."""

from datetime import timedelta

from flask import current_app, request
from werkzeug.wrappers import Response

from leadapi.config import Settings


def read(name: str) -> str:
    """The value of a cookie; an empty text without one."""
    return request.cookies.get(_full(name), "")


def write(response: Response, name: str, value: str, lifetime: timedelta, *, samesite: str = "Lax") -> None:
    """Set a cookie."""
    secure = _is_secure()
    response.set_cookie(_full(name), value, max_age=lifetime, path="/", httponly=True, secure=secure, samesite=samesite)


def remove(response: Response, name: str) -> None:
    """Let the browser forget a cookie."""
    response.delete_cookie(_full(name), path="/", httponly=True, secure=_is_secure())


def _full(name: str) -> str:
    # Browsers accept this prefix only with Secure and for the whole host, so no other page can set the cookie.
    return f"__Host-{name}" if _is_secure() else name


def _is_secure() -> bool:
    settings: Settings = current_app.extensions["settings"]
    return request.is_secure or settings.public_url.startswith("https://")
