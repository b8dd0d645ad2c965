"""The outcome of a check."""

from collections.abc import Callable
from typing import NamedTuple

from leadapi.config import Settings

OK, WARNING, FAILED = "ok", "warning", "failed"

# A status, and a sentence that says what is the matter and what to do.
Verdict = tuple[str, str]
# It returns None if it does not apply.
CheckFunction = Callable[[Settings], Verdict | None]


class Check(NamedTuple):
    """A check that was made.

    :param status: `OK`, `WARNING` or `FAILED`.
    """

    name: str
    status: str
    detail: str
