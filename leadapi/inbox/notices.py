"""Notices: the result of a form, shown once by the next page. They are in a cookie: anybody could write a link."""

from datetime import timedelta
from urllib.parse import parse_qsl, urlencode

from flask import g
from werkzeug.datastructures import MultiDict
from werkzeug.wrappers import Response

from leadapi.inbox import cookies

COOKIE = "leadapi-notice"
LIFETIME = timedelta(minutes=1)


def leave(response: Response, **notice: str | int) -> Response:
    """Let the page that this redirect leads to show a notice."""
    cookies.write(response, COOKIE, urlencode(notice), LIFETIME, samesite="Strict")
    return response


def take() -> MultiDict[str, str]:
    """The notice to show. The response to this request removes it from the browser."""
    g.is_notice_taken = True
    return MultiDict(parse_qsl(cookies.read(COOKIE)))


def finish(response: Response) -> None:
    """Remove the notice that was taken."""
    if g.get("is_notice_taken") and cookies.read(COOKIE):
        cookies.remove(response, COOKIE)
