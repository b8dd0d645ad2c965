"""Which leads arrived since the last look at the list: a cookie remembers the newest lead of the last visit."""

import re
from dataclasses import dataclass, replace
from datetime import timedelta

from werkzeug.wrappers import Response

from leadapi import storage
from leadapi.inbox import cookies

COOKIE = "leadapi-seen"
# A look after so long begins a new visit.
PAUSE = timedelta(minutes=15)
KEPT = timedelta(days=365)

_shape = re.compile(r"([0-9]{1,19})\.([0-9]{1,19})\.([0-9]{1,12})", re.ASCII)


@dataclass(frozen=True)
class Visit:
    """A visit of the list.

    :param base: the id of the newest lead of the visit before.
    :param latest: the id of the newest lead that was shown.
    :param at: Unix seconds of the last look.
    """

    base: int
    latest: int
    at: int

    def remember(self, response: Response) -> None:
        """Send the cookie. It contains nothing about people."""
        value = f"{self.base}.{self.latest}.{self.at}"
        cookies.write(response, COOKIE, value, KEPT)


def look(newest: int, *, is_first_page: bool) -> Visit | None:
    """The visit that this request belongs to; None before the first look at all leads.

    :param newest: the largest id on the page.
    :param is_first_page: whether the page is the first one of all leads. On other pages nothing new is seen.
    """
    now = int(storage.now().timestamp())
    found = _shape.fullmatch(cookies.read(COOKIE))
    if not found and not is_first_page:
        return None
    # The first visit marks nothing, because everything would be new.
    visit = Visit(*map(int, found.groups())) if found else Visit(newest, newest, now)
    if now - visit.at > PAUSE.total_seconds():
        visit = replace(visit, base=visit.latest)
    return replace(visit, latest=max(visit.latest, newest) if is_first_page else visit.latest, at=now)
