"""The threads that answer requests: as few at once as will do."""

import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

# Who takes longer than this is held up, by a lock or a slow client, or has much to do.
PATIENCE_SECONDS = 0.01


class Crew:
    """Threads that take what is put in, in its order.

    Only one thread of a process runs Python at a time, and every change from one to another costs.
    So no more than `at_once` are at work as long as each gets on. One that does not is left alone
    with what it has at hand, and another one takes its place.

    :param size: how many threads there are.
    :param at_once: how many are at work, not counting those that are held up.
    :param work: what is done with each thing. It raises nothing.
    """

    def __init__(self, size: int, at_once: int, work: Callable[[Any], None]) -> None:
        self._size = size
        self._at_once = at_once
        self._work = work
        self._things: deque[Any] = deque()
        # Since when each of those at work has been at what it has at hand.
        self._since: dict[object, float] = {}
        self._changing = threading.Lock()
        self._calls: queue.SimpleQueue[object] = queue.SimpleQueue()
        for _ in range(size):
            threading.Thread(target=self._run, daemon=True).start()

    def put(self, thing: Any) -> None:
        """Have it done."""
        self._things.append(thing)
        self.relieve()

    def is_behind(self) -> bool:
        """Whether something waits. Then call `relieve` again in `PATIENCE_SECONDS`."""
        return bool(self._things)

    def take_back(self, which: Callable[[Any], bool]) -> list[Any]:
        """Of what waits, some that others do while all threads are held up; none as long as one is not."""
        with self._changing:
            now = time.monotonic()
            if len(self._since) < self._size or any(now - since < PATIENCE_SECONDS for since in self._since.values()):
                return []
            taken = [thing for thing in self._things if which(thing)]
            for thing in taken:
                self._things.remove(thing)
            return taken

    def relieve(self) -> None:
        """Call one more thread to work where something waits and too many are held up."""
        with self._changing:
            now = time.monotonic()
            if self._things and len(self._since) < self._size and self._has_room(now):
                call = object()
                self._since[call] = now
                self._calls.put(call)

    def _run(self) -> None:
        while True:
            call = self._calls.get()
            while (thing := self._next(call)) is not None:
                self._work(thing)

    def _next(self, call: object) -> Any:
        """What is next, or None where others will do it, or there is nothing."""
        with self._changing:
            now = time.monotonic()
            del self._since[call]
            if not self._things or not self._has_room(now):
                return None
            self._since[call] = now
            return self._things.popleft()

    def _has_room(self, now: float) -> bool:
        return sum(now - since < PATIENCE_SECONDS for since in self._since.values()) < self._at_once
