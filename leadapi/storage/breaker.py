"""A circuit breaker: while the database is known to be down, one request tries it and the others fail at once."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class DatabaseUnavailable(Exception):
    """The database did not answer the last request that tried it, and another request is trying it now."""

    def __init__(self) -> None:
        super().__init__("the database did not answer, and another request is trying it")


class Breaker:
    """Keeps an unreachable database from holding all threads, each for as long as one may wait for it."""

    def __init__(self) -> None:
        self._is_open = False
        self._probe = threading.Lock()

    @contextmanager
    def attempt(self, *failures: type[Exception]) -> Iterator[None]:
        """Run the block. If it raises one of `failures`, only one thread at a time may try until one succeeds.

        :raises DatabaseUnavailable: the last attempt failed, and another thread is trying.
        """
        is_probe = self._is_open
        if is_probe and not self._probe.acquire(blocking=False):
            raise DatabaseUnavailable
        try:
            yield
            self._is_open = False
        except failures:
            self._is_open = True
            raise
        finally:
            if is_probe:
                self._probe.release()
