"""What the tests of a whole server have in common."""

import os
from collections.abc import Iterator

import pytest

from conftest import Serve
from servers import Server

# What is killed cannot say which lines it ran, which matters where test coverage is measured.
END = Server.quit if "COVERAGE_PROCESS_START" in os.environ else Server.kill


@pytest.fixture
def serve(serve: Serve) -> Iterator[Serve]:
    """Start services under gunicorn, and end them at once, which takes a second or more if it is done in order."""
    servers: list[Server] = []

    def start(**environ: str) -> Server:
        servers.append(serve(**environ))
        return servers[-1]

    yield start
    for server in servers:
        END(server)
