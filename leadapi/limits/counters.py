"""Counts requests in fixed windows of time: in this process, or in a Redis that workers and hosts share."""

import logging
import math
import threading
import time
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from limits import RateLimitItem

logger = logging.getLogger(__name__)

# How many windows a process remembers: clients can come from any number of addresses.
MAX_WINDOWS = 100_000
# How long a request waits for Redis, and how long a Redis that did not answer is left alone.
TIMEOUT_SECONDS = 0.5
PROBE_SECONDS = 1.0

# Checks and counts all windows of a request in one round trip. ARGV has the cost, then for each key its limit and the
# milliseconds of its window. The answer has 1 if refused, then for each key its count and the milliseconds left.
TAKE = """
local cost, refused, counts = tonumber(ARGV[1]), 0, {}
for i, key in ipairs(KEYS) do
    counts[i] = tonumber(redis.call('GET', key) or '0')
    if cost > 0 and counts[i] >= tonumber(ARGV[2 * i]) then refused = 1 end
end
local answer = {refused}
for i, key in ipairs(KEYS) do
    if refused == 0 and counts[i] + cost >= 0 then
        counts[i] = redis.call('INCRBY', key, cost)
        if counts[i] == cost then redis.call('PEXPIRE', key, ARGV[2 * i + 1]) end
    end
    answer[2 * i] = counts[i]
    answer[2 * i + 1] = counts[i] == 0 and ARGV[2 * i + 1] or redis.call('PTTL', key)
end
return answer
"""


class Verdict(NamedTuple):
    """Whether a request passes, and the state of each limit after it."""

    passes: bool
    # For each limit: how many more requests pass, and in how many seconds its window ends.
    windows: list[tuple[int, int]]


class LocalCounter:
    """Counts in this process only. A window begins with the first request that it counts."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # (client, seconds of the window) -> (count, when the window ends).
        self._windows: dict[tuple[str, int], tuple[int, float]] = {}

    def take(self, client: str, limits: Sequence[RateLimitItem], cost: int = 1) -> Verdict:
        """Count a request in all limits, or in none if one of them refuses it.

        :param cost: -1 takes back a request that was counted before.
        """
        keys = [(client, limit.get_expiry()) for limit in limits]
        with self._lock:
            now = time.monotonic()
            found = [(*self._windows.get(key, (0, 0.0)), key[1]) for key in keys]
            windows = [(count, end) if end > now else (0, now + seconds) for count, end, seconds in found]
            passes = cost < 0 or all(count < limit.amount for (count, _), limit in zip(windows, limits, strict=True))
            if passes:
                windows = [(max(0, count + cost), end) for count, end in windows]
                self._windows.update(zip(keys, windows, strict=True))
                if len(self._windows) > MAX_WINDOWS:
                    # Keep those that have not ended, and of these the newest.
                    current = [item for item in self._windows.items() if item[1][1] > now]
                    self._windows = dict(current[-MAX_WINDOWS // 2 :])
        return _verdict(passes, limits, ((count, end - now) for count, end in windows))


class RedisCounter:
    """Counts in Redis, and in this process while Redis does not answer.

    :param url: may hold a password, so it is never logged.
    """

    def __init__(self, url: str) -> None:
        # Here, because redis takes 0.2 s to import and most services run without it.
        from redis import Redis, RedisError  # noqa: PLC0415  # see above
        from redis.backoff import NoBackoff  # noqa: PLC0415  # see above
        from redis.retry import Retry  # noqa: PLC0415  # see above

        timeouts = {"socket_timeout": TIMEOUT_SECONDS, "socket_connect_timeout": TIMEOUT_SECONDS}
        self._client = Redis.from_url(url.removeprefix("redis+"), retry=Retry(NoBackoff(), 0), **timeouts)
        self._script = self._client.register_script(TAKE)
        self._errors = RedisError
        self._local = LocalCounter()
        # While Redis does not answer: when to try it again.
        self._probe_at: float | None = None

    def fault(self) -> str | None:
        """Why Redis does not answer; None if it does."""
        try:
            self._client.ping()
        except self._errors as exc:
            return str(exc)
        return None

    def take(self, client: str, limits: Sequence[RateLimitItem], cost: int = 1) -> Verdict:
        """Count a request as `LocalCounter.take` does."""
        probe_at = self._probe_at
        if probe_at is not None:
            if time.monotonic() < probe_at:
                return self._local.take(client, limits, cost)
            # Only this request waits for the probe.
            self._probe_at = time.monotonic() + PROBE_SECONDS
        # The braces keep the keys of one request on one node of a cluster.
        keys = [f"leadapi:{{{client}}}:{limit.get_expiry()}" for limit in limits]
        bounds = [number for limit in limits for number in (limit.amount, limit.get_expiry() * 1000)]
        try:
            refused, *numbers = map(int, self._script(keys, [cost, *bounds]))
        except self._errors as exc:
            if probe_at is None:
                logger.warning("limits.redis_unavailable", extra={"error": type(exc).__name__})
            self._probe_at = time.monotonic() + PROBE_SECONDS
            return self._local.take(client, limits, cost)
        if probe_at is not None:
            self._probe_at = None
            logger.warning("limits.redis_available")
        seconds = (milliseconds / 1000 for milliseconds in numbers[1::2])
        return _verdict(not refused, limits, zip(numbers[::2], seconds, strict=True))


def _verdict(passes: bool, limits: Sequence[RateLimitItem], windows: Iterable[tuple[int, float]]) -> Verdict:
    """The verdict from each window's count and the seconds until its end."""
    states = zip(limits, windows, strict=True)
    return Verdict(passes, [(max(0, limit.amount - count), max(1, math.ceil(left))) for limit, (count, left) in states])
