"""As few threads as will do answer at once, and none holds up the others."""

import queue
import threading
from collections.abc import Callable
from typing import Any

import pytest

from leadapi.server import crew
from leadapi.server.crew import Crew

SECONDS = 10


class Work:
    """Waits where the thing is an event, and says which thread has done what."""

    def __init__(self) -> None:
        self.begun: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.done: queue.SimpleQueue[tuple[Any, int]] = queue.SimpleQueue()

    def __call__(self, thing: Any) -> None:
        self.begun.put(thing)
        if isinstance(thing, threading.Event):
            thing.wait(SECONDS)
        self.done.put((thing, threading.get_ident()))


def relieve_until(crew: Crew, is_enough: Callable[[], bool]) -> None:
    """What the loop of the worker does."""
    while not is_enough():
        crew.relieve()


def test_who_gets_on_does_all_alone_and_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crew, "PATIENCE_SECONDS", SECONDS)
    work, first = Work(), threading.Event()
    hands = Crew(4, 1, work)
    hands.put(first)
    work.begun.get(timeout=SECONDS)

    for number in range(20):
        hands.put(number)
    first.set()
    done = [work.done.get(timeout=SECONDS) for _ in range(21)]

    assert [thing for thing, _ in done] == [first, *range(20)]
    assert len({thread for _, thread in done}) == 1


def test_who_is_held_up_is_relieved_and_comes_back() -> None:
    work, first, second = Work(), threading.Event(), threading.Event()
    hands = Crew(3, 1, work)
    hands.put(first)
    hands.put(second)
    hands.put("third")

    relieve_until(hands, lambda: not hands.is_behind())
    third, _ = work.done.get(timeout=SECONDS)
    second.set()
    first.set()

    assert third == "third"
    assert {work.done.get(timeout=SECONDS)[0] for _ in range(2)} == {first, second}
    hands.put("fourth")
    assert work.done.get(timeout=SECONDS)[0] == "fourth"


def test_who_comes_back_leaves_the_rest_to_who_gets_on(monkeypatch: pytest.MonkeyPatch) -> None:
    work, first, second = Work(), threading.Event(), threading.Event()
    hands = Crew(2, 1, work)
    monkeypatch.setattr(crew, "PATIENCE_SECONDS", 0)
    hands.put(first)
    hands.put(second)
    assert {work.begun.get(timeout=SECONDS) for _ in range(2)} == {first, second}
    monkeypatch.setattr(crew, "PATIENCE_SECONDS", SECONDS)
    for number in range(20):
        hands.put(number)

    first.set()
    assert work.done.get(timeout=SECONDS)[0] is first
    second.set()
    done = [work.done.get(timeout=SECONDS) for _ in range(21)]

    assert [thing for thing, _ in done] == [second, *range(20)]
    assert len({thread for _, thread in done}) == 1


def test_several_may_be_at_work_where_they_are_meant_to() -> None:
    work, events = Work(), [threading.Event() for _ in range(3)]
    hands = Crew(3, 3, work)

    for event in events:
        hands.put(event)

    assert {work.begun.get(timeout=SECONDS) for _ in events} == set(events)
    for event in events:
        event.set()


def test_when_all_are_held_up_the_rest_waits_for_them() -> None:
    work, first = Work(), threading.Event()
    hands = Crew(1, 1, work)
    hands.put(first)
    work.begun.get(timeout=SECONDS)
    hands.put("second")

    hands.relieve()
    first.set()

    assert [work.done.get(timeout=SECONDS)[0] for _ in range(2)] == [first, "second"]


def test_gives_back_what_others_do_only_while_all_are_held_up() -> None:
    work, first, second = Work(), threading.Event(), threading.Event()
    hands = Crew(2, 1, work)
    for thing in (first, second, "wanted", "other", "wanted"):
        hands.put(thing)
    early = hands.take_back("wanted".__eq__)
    back: list[str] = []

    def is_given_back() -> bool:
        back.extend(hands.take_back("wanted".__eq__))
        return bool(back)

    relieve_until(hands, is_given_back)
    first.set()
    second.set()
    done = {work.done.get(timeout=SECONDS)[0] for _ in range(3)}

    assert (early, back) == ([], ["wanted", "wanted"])
    assert done == {first, second, "other"}
