"""Counts requests in windows of time: in this process, or in a Redis that workers and hosts share."""

import logging
import math
import os
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Protocol

from limits import RateLimitItem
from limits.storage import RedisStorage

logger = logging.getLogger(__name__)

# How many windows a process remembers; an attacker may come from any number of addresses.
MOST = 100_000
# What a request may wait for Redis.
WAIT_SECONDS = 0.5
# For so long, a Redis that is gone is not asked again.
PAUSE_SECONDS = 1.0

# One round trip for all windows of a request. A request that one of them refuses counts in none.
TAKE = """
local counts, refused = {}, 0
for i, key in ipairs(KEYS) do
    counts[i] = tonumber(redis.call('GET', key) or '0')
    if counts[i] >= tonumber(ARGV[2 * i - 1]) then refused = 1 end
end
local answer = {refused}
for i, key in ipairs(KEYS) do
    if refused == 0 then
        counts[i] = redis.call('INCR', key)
        if counts[i] == 1 then redis.call('PEXPIRE', key, ARGV[2 * i]) end
    end
    answer[2 * i] = counts[i]
    answer[2 * i + 1] = counts[i] == 0 and ARGV[2 * i] or redis.call('PTTL', key)
end
return answer
"""


@dataclass(frozen=True)
class Window:
    """What is left of one limit."""

    # How many more requests it lets through, until how many seconds from now.
    remaining: int
    seconds: int


@dataclass(frozen=True)
class Verdict:
    """Whether a request may pass, and what is left of each of its limits."""

    passes: bool
    windows: list[Window]


class Counter(Protocol):
    """What counts requests. A window begins with the first request that it lets through."""

    def take(self, whose: str, limits: Sequence[RateLimitItem]) -> Verdict:
        """Count a request, unless one of the limits refuses it."""


class LocalCounter:
    """Counts in this process alone."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # From the key of a window to its count, and the time it ends.
        self._windows: dict[tuple[str, int], tuple[int, float]] = {}

    def take(self, whose: str, limits: Sequence[RateLimitItem]) -> Verdict:
        """Count a request, unless one of the limits refuses it."""
        keys = [(whose, limit.get_expiry()) for limit in limits]
        with self._lock:
            now = time.monotonic()
            windows = [self._windows.get(key, (0, 0.0)) for key in keys]
            windows = [
                (count, end) if end > now else (0, now + seconds)
                for (count, end), (_, seconds) in zip(windows, keys, strict=True)
            ]
            passes = all(count < limit.amount for (count, _), limit in zip(windows, limits, strict=True))
            if passes:
                windows = [(count + 1, end) for count, end in windows]
                self._windows.update(zip(keys, windows, strict=True))
                if len(self._windows) > MOST:
                    self._forget(now)
        return _verdict(passes, limits, windows, now)

    def _forget(self, now: float) -> None:
        """Drop the windows that ended and, where these are too few, the oldest."""
        current = {key: window for key, window in self._windows.items() if window[1] > now}
        self._windows = dict(islice(current.items(), max(0, len(current) - MOST // 2), None))


class RedisCounter:
    """Counts in Redis, and in this process while Redis does not answer.

    :param url: where Redis is. It may hold a password, so it is never logged.
    """

    def __init__(self, url: str) -> None:
        # Without the two timeouts a Redis that is silent, and not down, would stop all requests.
        storage = RedisStorage(url, socket_timeout=WAIT_SECONDS, socket_connect_timeout=WAIT_SECONDS, **_no_retries())
        self._errors = storage.base_exceptions
        client: Any = storage.get_connection()
        self._pool = client.connection_pool
        self._own = threading.local()
        self._local = LocalCounter()
        self._told = SharedToken()
        self._gone = False
        self._ask_again = 0.0
        self._asking = threading.Lock()

    def take(self, whose: str, limits: Sequence[RateLimitItem]) -> Verdict:
        """Count a request, unless one of the limits refuses it."""
        if not self._gone:
            return self._ask(whose, limits)
        # One request finds out whether it is back. Others need not wait with it.
        if time.monotonic() > self._ask_again and self._asking.acquire(blocking=False):
            try:
                return self._ask(whose, limits)
            finally:
                self._asking.release()
        return self._local.take(whose, limits)

    def _ask(self, whose: str, limits: Sequence[RateLimitItem]) -> Verdict:
        # The braces keep the keys of one request on one node of a cluster.
        keys = [f"leadapi:{{{whose}}}:{limit.get_expiry()}" for limit in limits]
        arguments = [number for limit in limits for number in (limit.amount, limit.get_expiry() * 1000)]
        try:
            refused, *numbers = map(int, self._run(TAKE, len(keys), *keys, *arguments))
        except self._errors as exc:
            self._gone, self._ask_again = True, time.monotonic() + PAUSE_SECONDS
            if self._told.take():
                logger.warning("limits.redis_is_gone", extra={"error": type(exc).__name__})
            return self._local.take(whose, limits)
        if self._gone:
            self._gone = False
            if self._told.give_back():
                logger.warning("limits.redis_is_back")
        counts, milliseconds = numbers[::2], numbers[1::2]
        windows = [(count, left / 1000) for count, left in zip(counts, milliseconds, strict=True)]
        return _verdict(not refused, limits, windows, 0.0)

    def _run(self, *arguments: str | int) -> Any:
        """Run a script in Redis, on a connection that each thread has for itself.

        The client's pool and its way to run a command would take longer than Redis does.
        """
        connection = getattr(self._own, "connection", None)
        if connection is None:
            connection = self._own.connection = self._pool.make_connection()
        try:
            # Unasked, Redis says nothing but that it ends the connection.
            is_over = connection.is_connected and connection.can_read()
        except self._errors:
            is_over = True
        if is_over:
            connection.disconnect()
        connection.send_command("EVAL", *arguments)
        return connection.read_response()


class SharedToken:
    """A token that only one can have, of all the processes that were forked from this one and all their threads.

    It lies in one of two pipes: reading from a pipe is atomic, and needs no lock that a killed worker would keep.
    """

    def __init__(self) -> None:
        self._here, self._taken = os.pipe(), os.pipe()
        for end in (self._here[0], self._taken[0]):
            os.set_blocking(end, False)
        os.write(self._here[1], b".")

    def take(self) -> bool:
        """Take it; False if somebody has."""
        return self._move(self._here, self._taken)

    def give_back(self) -> bool:
        """Give it back, whoever took it; False if it is there already."""
        return self._move(self._taken, self._here)

    @staticmethod
    def _move(source: tuple[int, int], target: tuple[int, int]) -> bool:
        try:
            os.write(target[1], os.read(source[0], 1))
        except BlockingIOError:
            return False
        return True


def _no_retries() -> dict[str, Any]:
    """What keeps the client from waiting and trying again by itself: that is for the next request."""
    from redis.backoff import NoBackoff  # noqa: PLC0415  # it takes 0.2 s to import, and most do without
    from redis.retry import Retry  # noqa: PLC0415  # the same

    return {"retry": Retry(NoBackoff(), 0)}


def _verdict(
    passes: bool, limits: Sequence[RateLimitItem], windows: Sequence[tuple[int, float]], now: float
) -> Verdict:
    return Verdict(
        passes,
        [
            Window(max(0, limit.amount - count), max(1, math.ceil(end - now)))
            for limit, (count, end) in zip(limits, windows, strict=True)
        ],
    )
