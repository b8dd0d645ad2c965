"""The circuit breaker: one request at a time tries a database that did not answer."""

import threading

import pytest

from leadapi.storage.transactions import Breaker, DatabaseUnavailable


class Down(Exception):
    """The database does not answer."""


def fail(breaker: Breaker) -> None:
    """Let a call fail."""
    with pytest.raises(Down):
        breaker.call(be_down, (Down,))


def be_down() -> None:
    raise Down


def test_after_a_failure_one_thread_tries_and_the_others_fail_at_once() -> None:
    breaker = Breaker()
    trying, answered = threading.Event(), threading.Event()

    def answer() -> None:
        trying.set()
        answered.wait(timeout=30)

    fail(breaker)
    probe = threading.Thread(target=breaker.call, args=(answer, (Down,)))
    probe.start()
    assert trying.wait(timeout=30)

    with pytest.raises(DatabaseUnavailable):
        breaker.call(be_down, (Down,))
    answered.set()
    probe.join()

    assert breaker.call(lambda: breaker.call(lambda: 1, (Down,)), (Down,)) == 1


def test_a_failed_attempt_lets_the_next_thread_try() -> None:
    breaker = Breaker()
    fail(breaker)
    fail(breaker)

    assert breaker.call(lambda: 1, (Down,)) == 1


def test_an_error_of_another_kind_says_nothing_about_the_database() -> None:
    breaker = Breaker()
    with pytest.raises(Down):
        breaker.call(be_down, (LookupError,))

    assert breaker.call(lambda: breaker.call(lambda: 1, (Down,)), (Down,)) == 1
