"""Bounds concurrent downloads. Each holds a thread and a database connection until the client has taken it."""

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from functools import wraps
from typing import Any

from flask import Flask, Response, current_app

from leadapi.config import Settings

SLOTS = "leadapi.downloads"


class TooManyDownloads(Exception):
    """All slots are taken."""

    def __init__(self) -> None:
        super().__init__("Too many downloads are running; try again in a moment.")


def init_app(app: Flask, settings: Settings) -> None:
    """Leave one thread of the process, and its database connection, to other requests."""
    app.extensions[SLOTS] = threading.BoundedSemaphore(max(settings.threads - 1, 1))


def bounded(view: Callable[..., Response]) -> Callable[..., Response]:
    """Give a view that streams its response a slot until the response ends.

    :raises TooManyDownloads: there is none.
    """

    @wraps(view)
    def stream(*args: Any, **kwargs: Any) -> Response:
        slots: threading.BoundedSemaphore = current_app.extensions[SLOTS]
        if not slots.acquire(blocking=False):
            raise TooManyDownloads
        with ExitStack() as stack:
            stack.callback(slots.release)
            response = view(*args, **kwargs)
            slot = stack.pop_all()
        response.response = _ending(response.response, slot)
        # A response that was never begun does not come to its end.
        response.call_on_close(slot.close)
        return response

    return stream


def _ending(pieces: Iterable[Any], slot: ExitStack) -> Iterator[Any]:
    with slot:
        yield from pieces
