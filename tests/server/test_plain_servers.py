"""Other WSGI servers, which leave more of HTTP to the application: wsgiref and that of `flask run`."""

import importlib
import threading
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPResponse
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler
from wsgiref.simple_server import make_server as make_wsgiref_server

import orjson
import pytest
from werkzeug.serving import make_server as make_werkzeug_server

from conftest import MakeApp, NewLead
from leadapi.destinations import embedded

JSON = {"Content-Type": "application/json"}
CHUNKED = (
    b"POST /leads HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
)
MIB = 2**20


class Quiet(WSGIRequestHandler):
    """A handler that writes no log."""

    def log_message(self, *arguments: Any) -> None:
        pass


@pytest.fixture(params=["wsgiref", "flask run"])
def port(request: pytest.FixtureRequest, make_app: MakeApp, database_url: str) -> Iterator[int]:
    """The port of a server in this process."""
    app = make_app(DATABASE_URL=database_url)
    if request.param == "wsgiref":
        server: Any = make_wsgiref_server("127.0.0.1", 0, app, handler_class=Quiet)
    else:
        server = make_werkzeug_server("127.0.0.1", 0, app)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join(timeout=30)
    server.server_close()
    embedded.stop(app)


@pytest.fixture
def connection(port: int) -> Iterator[HTTPConnection]:
    """A connection to it. A server that hangs is a failure after ten seconds."""
    opened = HTTPConnection("127.0.0.1", port, timeout=10)
    yield opened
    opened.close()


@pytest.mark.parametrize("backend", ["sqlite"])
def test_a_large_body_is_refused_and_not_waited_for(connection: HTTPConnection) -> None:
    connection.request("POST", "/leads", b" " * 3 * MIB, JSON)

    assert connection.getresponse().status == 413


@pytest.mark.parametrize("backend", ["sqlite"])
def test_a_body_is_read_to_its_length(connection: HTTPConnection, new_lead: NewLead) -> None:
    connection.request("POST", "/leads", orjson.dumps(new_lead()).ljust(MIB), JSON)

    assert connection.getresponse().status == 201


@pytest.mark.parametrize("backend", ["sqlite"])
@pytest.mark.parametrize(("port", "status"), [("wsgiref", 411), ("flask run", 201)], indirect=["port"])
def test_chunks_that_a_server_does_not_decode_are_told(
    connection: HTTPConnection, new_lead: NewLead, status: int
) -> None:
    lead = orjson.dumps(new_lead())
    # In one packet: a server may close the connection before the rest comes.
    connection.connect()
    connection.sock.sendall(b"%s%x\r\n%s\r\n0\r\n\r\n" % (CHUNKED, len(lead), lead))
    response = HTTPResponse(connection.sock)
    response.begin()
    answered = orjson.loads(response.read())

    assert response.status == status
    assert status == 201 or answered == {"detail": "Send the body with a Content-Length."}


def test_the_application_has_the_name_that_servers_look_for(
    monkeypatch: pytest.MonkeyPatch, empty_database_url: str
) -> None:
    monkeypatch.setenv("DATABASE_URL", empty_database_url)

    module = importlib.import_module("wsgi")

    assert module.application is module.app
