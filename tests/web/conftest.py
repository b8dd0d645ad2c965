"""Fixtures of the tests of what all operations share."""

import sys
import threading
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="module")
def untraced() -> Iterator[None]:
    """Measure no coverage meanwhile: tracing each line takes as long as running it."""
    trace, trace_of_threads = sys.gettrace(), threading.gettrace()
    sys.settrace(None)
    threading.settrace(None)
    yield
    sys.settrace(trace)
    threading.settrace(trace_of_threads)
