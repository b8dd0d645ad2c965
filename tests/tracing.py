"""Tracing, by which coverage is measured."""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


def start_one_at_a_time() -> None:
    """Start tracing in one thread at a time. Processes that tests start do not call this.

    Python 3.11 cannot install two trace functions at once, and ends the second thread. It may switch threads meanwhile
    where there is an audit hook, such as that of `leadapi.destinations.egress`:
    https://github.com/python/cpython/issues/98257.
    """
    trace = threading.gettrace()
    if trace is None or sys.version_info >= (3, 12):
        return
    lock = threading.RLock()
    settrace = sys.settrace

    def settrace_alone(function: Any) -> None:
        with lock:
            settrace(function)

    def trace_alone(frame: FrameType, event: Any, argument: Any) -> Any:
        # At the first event of a thread, coverage puts a faster function in the place of this one.
        with lock:
            return trace(frame, event, argument)

    sys.settrace = settrace_alone
    threading.settrace(trace_alone)


@contextmanager
def untraced() -> Iterator[None]:
    """Measure no coverage meanwhile: tracing each line takes as long as running it."""
    trace, trace_of_threads = sys.gettrace(), threading.gettrace()
    sys.settrace(None)
    threading.settrace(None)
    yield
    sys.settrace(trace)
    threading.settrace(trace_of_threads)
