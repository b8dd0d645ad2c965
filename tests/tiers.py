"""How tests are collected: which ones are slow, and which ones come first. `.ci/fast` leaves out the slow ones."""

import gc
from collections import Counter
from collections.abc import Generator

import pytest
from tracing import untraced

# A test is slow if one of its fixtures or parameters has one of these names: it starts a server, a receiver, a browser
# or Redis, or uses PostgreSQL.
SLOW = {
    *("deliver", "dispatch", "mailbox", "page", "postgres", "postgresql", "process", "receiver", "redis", "run"),
    *("serve", "serve_module"),
}
# Modules whose tests have one of these fixtures take long.
LONG = {"browser", "run", "serve", "serve_module", "untraced"}
# Of a test with many examples, so many are fast.
FAST_EXAMPLES = 2


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collect tests without measuring coverage or looking for garbage, which would take half of the time."""
    gc.disable()
    with untraced():
        result = yield
    # Otherwise the garbage collection would look at what is imported again and again, for each app.
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
    gc.enable()
    return result


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Apply the markers `one_database` and `slow`, and begin with the modules that take long."""
    items[:] = [item for item in items if not (item.get_closest_marker("one_database") and "postgresql" in used(item))]
    examples = Counter[str]()
    for item in items:
        function = item.nodeid.partition("[")[0]
        if item.path.parent.name == "server" or not SLOW.isdisjoint(used(item)):
            item.add_marker("slow")
        elif not item.get_closest_marker("slow"):
            examples[function] += 1
            if examples[function] > FAST_EXAMPLES:
                item.add_marker("slow")
    # A long module that begins late would run on when the other processes have nothing to do.
    long = {item.path for item in items if not LONG.isdisjoint(used(item))}
    items.sort(key=lambda item: item.path not in long)


def used(item: pytest.Item) -> set[str]:
    """The names of a test's fixtures, and its parameters that are text."""
    callspec = getattr(item, "callspec", None)
    parameters = callspec.params.values() if callspec else ()
    return {*getattr(item, "fixturenames", ()), *(value for value in parameters if isinstance(value, str))}
