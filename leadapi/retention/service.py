"""Erase leads that nobody has changed for too long, in small transactions, so that captures go on meanwhile."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from leadapi import storage
from leadapi.destinations import service as destinations
from leadapi.keys.service import OPERATOR
from leadapi.leads import service as leads

# How many leads a transaction erases. On SQLite, captures wait for it.
ERASED_AT_ONCE = 20
# The part of the time in which a transaction may be open. Captures need the rest.
SHARE = 0.1
# The longest pause. A machine that was suspended during a transaction would cause a very long one.
MAX_PAUSE_SECONDS = 1.0
# How long a transaction waits for the write lock of SQLite. With a patience of its own, it does not open the breaker.
PATIENCE_SECONDS = 5.0


@dataclass(frozen=True)
class Step:
    """The outcome of a transaction: how many leads it erased, and how many it kept because of their deliveries.

    :param pause: how many seconds to wait before the next step.
    """

    erased: int = 0
    kept: int = 0
    pause: float = 0.0


def count(*, status: str | None, before: datetime) -> int:
    """How many leads `purge` would look at."""
    return sum(len(found) for found in _search(status, before))


def purge(*, status: str | None, before: datetime) -> Iterator[Step]:
    """Erase leads as DELETE does, except those with a due delivery. It can be stopped after each step.

    `storage.checkpoint` has to be called at the end.

    :param status: only leads with this status; None for all.
    :param before: only leads that were last changed before this time.
    """
    started = time.monotonic()
    for found in _search(status, before):
        yield Step(pause=_pause(started))
        for start in range(0, len(found), ERASED_AT_ONCE):
            yield _erase(found[start : start + ERASED_AT_ONCE], status, before)
        started = time.monotonic()


def _search(status: str | None, before: datetime) -> Iterator[list[int]]:
    after: int | None = 0
    while after is not None:
        with storage.read() as connection:
            found, after = leads.find_unchanged(connection, status=status, before=before, after=after)
        yield found


def _pause(started: float) -> float:
    """How long to pause after something that took since `started`."""
    return min((time.monotonic() - started) * (1 / SHARE - 1), MAX_PAUSE_SECONDS)


@storage.retries_deadlocks
def _erase(lead_ids: list[int], status: str | None, before: datetime) -> Step:
    with storage.write(patience=PATIENCE_SECONDS) as tx:
        # The wait for the lock does not count: others are writing meanwhile.
        started = time.monotonic()
        # Somebody may have changed them since they were found.
        doomed = leads.lock_unchanged(tx, lead_ids, status=status, before=before)
        kept = destinations.find_due_leads(tx, doomed)
        erased = leads.erase_leads(tx, [lead_id for lead_id in doomed if lead_id not in kept], by=OPERATOR)
    return Step(len(erased), len(kept), _pause(started))
