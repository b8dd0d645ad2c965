"""Fixtures of the tests of what all operations share."""

from collections.abc import Iterator

import pytest
import tracing


@pytest.fixture(scope="module")
def untraced() -> Iterator[None]:
    """Measure no coverage in the tests of a module."""
    with tracing.untraced():
        yield
