"""The queue of SQLite writers: one at a time, over threads and processes."""

import fcntl
import os
import threading
import time
from collections.abc import Callable

# A writer of another process is done within about a millisecond. To look so often takes no more processor
# time than half as often, and more get their turn.
POLL_SECONDS = 0.0002


class WriteLockUnavailable(Exception):
    """Other writers did not finish in time, or the lock file cannot be opened."""


class WriteLock:
    """An exclusive lock over the threads of this process and every process that uses one file.

    SQLite's own busy handler sleeps longer and longer, so that with many writers some starve.
    Here threads queue in memory, and only the first of each process waits for the file. The
    operating system frees the file lock of a process that dies.

    :param path: the lock file, made when missing; None for a database of this process alone.
    """

    def __init__(self, path: str | None) -> None:
        self._path = path
        self._thread_lock = threading.Lock()

    def acquire(self, deadline: float) -> Callable[[], None]:
        """Wait for the lock and return what releases it.

        :param deadline: when to give up, on the clock of `time.monotonic`.
        :raises WriteLockUnavailable: the lock was not free in time, or its file cannot be opened.
        """
        if not self._thread_lock.acquire(timeout=max(0.0, deadline - time.monotonic())):
            raise WriteLockUnavailable("other writers did not finish in time")
        if self._path is None:
            return self._thread_lock.release
        try:
            file = _lock_file(self._path, deadline)
        except BaseException:
            self._thread_lock.release()
            raise

        def release() -> None:
            os.close(file)
            self._thread_lock.release()

        return release


def _lock_file(path: str, deadline: float) -> int:
    # Opened each time: a descriptor kept open would be shared, lock and all, with forked workers.
    try:
        # For the service's user alone: who can open it can hold it.
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as exc:
        raise WriteLockUnavailable(exc.strerror) from exc
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            # A blocking flock has no timeout, and its holder may be a stopped process.
            if time.monotonic() > deadline:
                os.close(file)
                raise WriteLockUnavailable("other writers did not finish in time") from None
            time.sleep(POLL_SECONDS)
        else:
            return file
