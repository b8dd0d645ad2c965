"""The queue of SQLite writers: one at a time, over threads and processes.

SQLite's own busy handler sleeps longer and longer, so that with many writers some starve (.github/decisions/0002).
"""

import fcntl
import os
import threading
import time
from contextlib import ExitStack

# Another process holds the lock for about a millisecond. Polling this often uses no more CPU than polling
# half as often, and serves more writers.
POLL_SECONDS = 0.0002


class WriteLockUnavailable(Exception):
    """The database could not be locked for writing in time; the message says why."""


class WriteQueue:
    """An exclusive lock over the threads of this process and every process that uses one file.

    Threads queue in memory, and only the first of each process polls the file. The operating system releases
    the file lock of a process that dies.

    :param path: the lock file, created when missing; None for a database of this process alone.
    """

    def __init__(self, path: str | None) -> None:
        self._path = path
        self._threads = threading.Lock()

    def turn(self, patience: float) -> ExitStack:
        """Take the lock. The end of the returned context releases it.

        :param patience: how many seconds to wait at most.
        :raises WriteLockUnavailable: the lock was not free in time, or its file cannot be opened.
        """
        deadline = time.monotonic() + patience
        if not self._threads.acquire(timeout=patience):
            raise WriteLockUnavailable("other writers did not finish in time")
        with ExitStack() as taken:
            taken.callback(self._threads.release)
            if self._path is not None:
                taken.callback(os.close, _lock_file(self._path, deadline))
            return taken.pop_all()


def _lock_file(path: str, deadline: float) -> int:
    # The file is opened each time: forked workers would share an open descriptor, and with it the lock.
    try:
        # Only the service's user may open it, because whoever can open it can hold it.
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as exc:
        raise WriteLockUnavailable(f"{path}: {exc.strerror}") from exc
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            # A blocking flock has no timeout, and the process that holds it may be stopped.
            if time.monotonic() > deadline:
                os.close(file)
                raise WriteLockUnavailable("other writers did not finish in time") from None
            time.sleep(POLL_SECONDS)
        except OSError as exc:
            os.close(file)
            raise WriteLockUnavailable(f"{path}: {exc.strerror}") from exc
        else:
            return file
