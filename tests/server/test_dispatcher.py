"""When a thread of a worker answers a request."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest
from waitress.task import ThreadedTaskDispatcher

from leadapi.server import dispatcher
from leadapi.server.dispatcher import Dispatcher

pytestmark = pytest.mark.one_database


class Connection:
    """A connection with one request, whose answer is a function.

    :param answer: returns the name of the answer.
    """

    def __init__(self, answer: Callable[[], Any], path: str = "/leads") -> None:
        self.requests = [SimpleNamespace(path=path)]
        self.began = threading.Event()
        self.answered = threading.Event()
        self.thread = ""
        self._answer = answer

    def service(self) -> None:
        """Answer the request."""
        self.thread = threading.current_thread().name
        self.began.set()
        try:
            self._answer()
        finally:
            self.answered.set()


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """No request of these tests takes long."""
    monkeypatch.setattr(dispatcher, "PATIENCE_SECONDS", 60)


def _dispatcher(*, threads: int = 2, at_once: int = 1) -> Dispatcher:
    probes = ThreadedTaskDispatcher()
    probes.set_thread_count(1)
    return Dispatcher(probes, threads=threads, at_once=at_once)


@pytest.mark.usefixtures("patient")
def test_one_request_runs_at_a_time_on_one_thread() -> None:
    requests = _dispatcher()
    goes_on = threading.Event()
    first, second = Connection(lambda: goes_on.wait(10)), Connection(lambda: None)

    requests.add_task(first)
    requests.add_task(second)

    assert not second.answered.wait(0.1)
    goes_on.set()
    assert second.answered.wait(10)
    assert first.thread == second.thread


@pytest.mark.usefixtures("patient")
def test_requests_run_at_the_same_time_where_that_is_of_use() -> None:
    requests = _dispatcher(at_once=2)
    both = threading.Barrier(2)
    first, second = Connection(lambda: both.wait(10)), Connection(lambda: both.wait(10))

    requests.add_task(first)
    requests.add_task(second)

    assert first.answered.wait(10)
    assert second.answered.wait(10)
    assert not both.broken


@pytest.mark.usefixtures("patient")
def test_another_request_runs_when_one_is_held_up(monkeypatch: pytest.MonkeyPatch) -> None:
    requests = _dispatcher()
    goes_on = threading.Event()
    first, second = Connection(lambda: goes_on.wait(10)), Connection(goes_on.set)
    requests.add_task(first)
    assert first.began.wait(10)
    requests.add_task(second)

    monkeypatch.setattr(dispatcher, "PATIENCE_SECONDS", 0)
    requests.let_work()

    assert second.answered.wait(10)
    assert first.answered.wait(10)


@pytest.mark.usefixtures("patient")
def test_several_requests_run_when_several_are_held_up(monkeypatch: pytest.MonkeyPatch) -> None:
    requests = _dispatcher(threads=4, at_once=2)
    goes_on, both = threading.Event(), threading.Barrier(2)
    held_up = [Connection(lambda: goes_on.wait(30)) for _ in range(2)]
    others = [Connection(lambda: both.wait(10)) for _ in range(2)]
    for connection in held_up:
        requests.add_task(connection)
    assert all(connection.began.wait(10) for connection in held_up)
    for connection in others:
        requests.add_task(connection)

    monkeypatch.setattr(dispatcher, "PATIENCE_SECONDS", 0)
    requests.let_work()

    assert all(connection.answered.wait(15) for connection in others)
    assert not both.broken
    goes_on.set()


@pytest.mark.usefixtures("patient")
def test_the_event_loop_waits_until_all_requests_are_taken() -> None:
    requests = _dispatcher()
    goes_on = threading.Event()
    first, second = Connection(lambda: goes_on.wait(10)), Connection(lambda: None)
    requests.add_task(first)
    assert first.began.wait(10)
    requests.add_task(second)

    with ThreadPoolExecutor() as threads:
        waiting = threads.submit(requests.let_work)
        with pytest.raises(TimeoutError):
            waiting.result(timeout=0.1)
        goes_on.set()

        assert not waiting.result(timeout=10)


def test_the_event_loop_does_not_wait_for_requests_that_are_held_up(monkeypatch: pytest.MonkeyPatch) -> None:
    patience = 1
    monkeypatch.setattr(dispatcher, "PATIENCE_SECONDS", patience)
    requests = _dispatcher(threads=1)
    goes_on = threading.Event()
    first, second = Connection(lambda: goes_on.wait(10)), Connection(lambda: None)
    requests.add_task(first)
    assert first.began.wait(10)
    requests.add_task(second)

    assert requests.let_work()
    started = time.monotonic()
    assert requests.let_work()
    assert time.monotonic() < started + patience
    goes_on.set()
    assert second.answered.wait(10)


@pytest.mark.usefixtures("patient")
def test_a_liveness_probe_waits_for_no_request() -> None:
    requests = _dispatcher(threads=1)
    goes_on = threading.Event()
    first, probe = Connection(lambda: goes_on.wait(10)), Connection(goes_on.set, path="/health")

    requests.add_task(first)
    requests.add_task(probe)

    assert probe.answered.wait(10)
    assert first.answered.wait(10)


@pytest.mark.usefixtures("patient")
def test_a_thread_outlives_an_error_of_a_connection(caplog: pytest.LogCaptureFixture) -> None:
    requests = _dispatcher(threads=1)
    broken, sound = Connection(lambda: 1 / 0), Connection(lambda: None)

    requests.add_task(broken)
    requests.add_task(sound)

    assert sound.answered.wait(10)
    assert "request.aborted" in caplog.text
