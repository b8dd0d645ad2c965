"""Requests take turns: on SQLite they run one at a time, unless one is held up.

SQLite runs inside this process, and threads that compete for the interpreter lock are slower than one thread.
"""

import threading

# One request more may run when another takes so long.
PATIENCE_SECONDS = 0.01


class Turn:
    """A request's turn to run. It begins when it is made."""

    # The requests of this worker that may run at the same time. The worker sets it.
    semaphore: threading.BoundedSemaphore

    def __init__(self) -> None:
        self._is_held = self.semaphore.acquire(timeout=PATIENCE_SECONDS)

    def end(self) -> None:
        """Let another request run."""
        if self._is_held:
            self._is_held = False
            self.semaphore.release()
