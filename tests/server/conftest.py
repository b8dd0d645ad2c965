"""Fixtures of the tests that run a whole server."""

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from conftest import Serve
from servers import Server

# A killed process cannot write its coverage data.
END = Server.quit if "COVERAGE_PROCESS_START" in os.environ else Server.kill
# The service's configuration with deadlines of a second.
HASTY = Path(__file__).with_name("hasty.py")


@pytest.fixture
def serve(serve: Serve) -> Iterator[Serve]:
    """Start services under gunicorn, and end them at once: an orderly stop takes a second or more."""
    servers: list[Server] = []

    def start(**environ: str) -> Server:
        servers.append(serve(**environ))
        return servers[-1]

    yield start
    for server in servers:
        END(server)


@pytest.fixture
def serve_hastily(tmp_path: Path) -> Iterator[Serve]:
    """Start services that wait a second for slow clients, with more arguments of gunicorn."""
    with ExitStack() as stack:

        def start(*arguments: str, **environ: str) -> Server:
            environ.setdefault("DATABASE_URL", f"sqlite:///{tmp_path}/leads.db")
            server = Server(environ, tmp_path, ["-c", str(HASTY), *arguments])
            stack.callback(finish, server)
            return server

        yield start


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A service with the default settings, which the tests of a file share."""
    shared = Server({}, tmp_path_factory.mktemp("server"))
    yield shared
    finish(shared)


def finish(server: Server) -> None:
    """End a server, and make its log part of the whole run's."""
    END(server)
    print(*server.lines, sep="\n")  # noqa: T201  # see pytest_runtest_logreport
