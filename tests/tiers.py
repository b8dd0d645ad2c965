"""Which tests are slow, and which ones one process must run. `.ci/fast` leaves out the slow ones."""

import gc
from collections import Counter

import pytest

# Fixtures that the tests of a module share because they take long to start.
SHARED = {"browser", "run"}
# A test is slow if one of its fixtures or parameters has one of these names: it starts a server, a receiver, a browser
# or Redis, or uses PostgreSQL.
SLOW = {
    *("deliver", "dispatch", "mailbox", "page", "postgres", "postgresql", "process", "receiver", "redis", "run"),
    "serve",
}
# Of a test with many examples, so many are fast.
FAST_EXAMPLES = 3


def pytest_collection_finish() -> None:
    """Exclude what is imported from garbage collection, which would look at it again and again for each app."""
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Apply the markers: `one_database`, `slow`, and `xdist_group` for tests that one process must run."""
    items[:] = [item for item in items if not (item.get_closest_marker("one_database") and "postgresql" in used(item))]
    examples = Counter[str]()
    for item in items:
        of_server = item.path.parent.name == "server"
        function = item.nodeid.partition("[")[0]
        if of_server or not SLOW.isdisjoint(used(item)):
            item.add_marker("slow")
        elif not item.get_closest_marker("slow"):
            examples[function] += 1
            if examples[function] > FAST_EXAMPLES:
                item.add_marker("slow")
        if of_server:
            # Some measure how long a response takes, so only one of them runs at a time.
            item.add_marker(pytest.mark.xdist_group("server"))
        for fixture in SHARED & used(item):
            item.add_marker(pytest.mark.xdist_group(f"{fixture} of {item.path.stem}"))
    # A group that begins late would run on when the other processes have nothing to do.
    items.sort(key=lambda item: item.get_closest_marker("xdist_group") is None)


def used(item: pytest.Item) -> set[str]:
    """The names of a test's fixtures, and its parameters that are text."""
    callspec = getattr(item, "callspec", None)
    parameters = callspec.params.values() if callspec else ()
    return {*getattr(item, "fixturenames", ()), *(value for value in parameters if isinstance(value, str))}
