"""Hands requests to threads."""

from waitress.channel import HTTPChannel
from waitress.task import ThreadedTaskDispatcher

# The liveness probe. It touches nothing, so it must not wait for requests that do.
PROBE = "/health"


class Dispatcher:
    """Hands requests to the threads of waitress, and liveness probes to a thread of their own.

    While a database hangs, all other threads may wait for it for seconds.
    """

    def __init__(self, threads: ThreadedTaskDispatcher) -> None:
        self._threads = threads
        self._probes = ThreadedTaskDispatcher()
        self._probes.set_thread_count(1)

    def add_task(self, channel: HTTPChannel) -> None:
        """Let a thread answer the oldest request of the connection."""
        is_probe = channel.requests[0].path == PROBE
        (self._probes if is_probe else self._threads).add_task(channel)
