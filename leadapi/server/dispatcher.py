"""Decides when a thread answers a request.

Threads that compete for the interpreter lock are slower than one thread.
"""

import logging
import threading
import time
from collections import deque

from waitress.channel import HTTPChannel
from waitress.task import ThreadedTaskDispatcher

# A request that has run for longer does not count as running. The event loop leaves the interpreter to the threads for
# as long at most.
PATIENCE_SECONDS = 0.005
# The liveness probe. It touches nothing, so it must not wait for requests that do.
PROBE = "/health"

logger = logging.getLogger(__name__)


class Dispatcher:
    """Hands requests to threads. A thread that has answered one takes the next itself.

    :param probes: answers liveness probes: while a database hangs, all other threads may wait for it for seconds.
    :param threads: the number of threads.
    :param at_once: how many requests run at the same time. One that has run for long does not count.
    """

    def __init__(self, probes: ThreadedTaskDispatcher, *, threads: int, at_once: int) -> None:
        self._probes = probes
        self._at_once = at_once
        self._waiting: deque[HTTPChannel] = deque()
        # When the request of each busy thread began.
        self._began: dict[int, float] = {}
        self._lock = threading.Lock()
        # Notified when a request may run.
        self._idle = threading.Condition(self._lock)
        # Notified when no request is waiting.
        self._drained = threading.Condition(self._lock)
        for number in range(threads):
            threading.Thread(target=self._answer, args=(number,), daemon=True).start()

    def add_task(self, channel: HTTPChannel) -> None:
        """Let a thread answer the oldest request of the connection."""
        if channel.requests[0].path == PROBE:
            self._probes.add_task(channel)
            return
        with self._lock:
            self._waiting.append(channel)
            self._wake()

    def let_work(self) -> bool:
        """Leave the interpreter to the threads until they have taken all requests, unless all of them are held up.

        :return: whether requests are still waiting, so that the caller has to call again after `PATIENCE_SECONDS`.
        """
        with self._lock:
            self._drained.wait_for(lambda: not self._waiting or not self._running(), PATIENCE_SECONDS)
            self._wake()
            return bool(self._waiting)

    def _running(self) -> int:
        held_up = time.monotonic() - PATIENCE_SECONDS
        return sum(began > held_up for began in self._began.values())

    def _next_may_run(self) -> bool:
        return bool(self._waiting) and self._running() < self._at_once

    def _wake(self) -> None:
        if self._next_may_run():
            self._idle.notify()

    def _answer(self, number: int) -> None:
        while True:
            with self._lock:
                self._began.pop(number, None)
                self._idle.wait_for(self._next_may_run)
                channel = self._waiting.popleft()
                self._began[number] = time.monotonic()
                # Several may run if requests were held up at the same time.
                self._wake()
                if not self._waiting:
                    self._drained.notify()
            try:
                channel.service()
            except Exception:
                # The thread has to go on with other requests.
                logger.exception("request.aborted")
