"""Fixtures of the tests that run a whole server."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from conftest import Serve
from servers import COVERAGE, Server

# The service's configuration with deadlines of a second.
HASTY = Path(__file__).with_name("hasty.py")


@pytest.fixture
def serve_hastily(tmp_path: Path) -> Iterator[Serve]:
    """Start services that wait a second for slow clients, with more arguments of gunicorn."""
    with ExitStack() as stack:

        def start(*arguments: str, **environ: str) -> Server:
            environ.setdefault("DATABASE_URL", f"sqlite:///{tmp_path}/leads.db")
            server = Server(environ | COVERAGE, tmp_path, ["-c", str(HASTY), *arguments])
            stack.callback(finish, server)
            return server

        yield start


@pytest.fixture(scope="module")
def server(serve_module: Serve) -> Server:
    """A service with the default settings, which the tests of a file share."""
    return serve_module(**COVERAGE)


def finish(server: Server) -> None:
    """End a server, and make its log part of the whole run's."""
    server.end()
    print(*server.lines, sep="\n")  # noqa: T201  # see pytest_runtest_logreport
