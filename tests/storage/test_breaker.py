"""The circuit breaker: one request at a time tries a database that did not answer."""

import threading

import pytest

from leadapi.storage.transactions import Breaker, DatabaseUnavailable


class Down(Exception):
    """The database does not answer."""


def fail(breaker: Breaker) -> None:
    """Let an attempt fail."""
    with pytest.raises(Down), breaker.attempt(Down):
        raise Down


def test_after_a_failure_one_thread_tries_and_the_others_fail_at_once() -> None:
    breaker = Breaker()
    trying, answered = threading.Event(), threading.Event()

    def try_it() -> None:
        with breaker.attempt(Down):
            trying.set()
            answered.wait(timeout=30)

    fail(breaker)
    probe = threading.Thread(target=try_it)
    probe.start()
    assert trying.wait(timeout=30)

    with pytest.raises(DatabaseUnavailable), breaker.attempt(Down):
        raise AssertionError
    answered.set()
    probe.join()

    with breaker.attempt(Down), breaker.attempt(Down):
        pass


def test_a_failed_attempt_lets_the_next_thread_try() -> None:
    breaker = Breaker()
    fail(breaker)
    fail(breaker)

    with breaker.attempt(Down):
        pass


def test_an_error_of_another_kind_says_nothing_about_the_database() -> None:
    breaker = Breaker()
    with pytest.raises(LookupError), breaker.attempt(Down):
        raise LookupError

    with breaker.attempt(Down), breaker.attempt(Down):
        pass
