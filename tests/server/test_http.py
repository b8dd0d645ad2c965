"""Requirements of HTTP on a server, independent of the application."""

import socket

import orjson
import pytest

from conftest import MARKER, NewLead
from servers import Server, answer, responses

HOST = b"Host: localhost\r\n"
LEAD = orjson.dumps({"full_name": f"{MARKER} Doe", "email": f"{MARKER}@example.com"})
POST = b"POST /leads HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


@pytest.mark.parametrize(
    ("request_line", "hosts", "status"),
    [
        (b"GET /health HTTP/1.1", b"", 400),
        (b"GET /health HTTP/1.1", HOST, 200),
        (b"GET /health HTTP/1.1", HOST * 2, 400),
        (b"GET /health HTTP/1.0", b"", 200),
        (b"GET /health HTTP/1.0", HOST, 200),
    ],
)
def test_a_request_of_http_1_1_names_one_host(server: Server, request_line: bytes, hosts: bytes, status: int) -> None:
    (response,) = responses(server.exchange(request_line + b"\r\n" + hosts + b"\r\n"))

    assert response[0] == status


@pytest.mark.parametrize("version", ["1.0", "1.1"])
@pytest.mark.parametrize(
    ("host", "status"),
    [
        *[
            (host, 200)
            for host in (
                "a-b_c.example",
                "127.0.0.1:8000",
                "[::1]",
                "[::ffff:127.0.0.1]:80",
                "a:",
                "%61",
                "a.com.:8000",
            )
        ],
        *[(host, 400) for host in ("", "a b", "a,b", "a/b", "a@b", "a:b", "a:1:2", "[::1", "::1", "<a>", "%6", "é")],
    ],
)
def test_a_malformed_host_is_refused(server: Server, host: str, status: int, version: str) -> None:
    request = f"GET /health HTTP/{version}\r\nHost: {host}\r\n\r\n"

    (response,) = responses(server.exchange(request.encode("latin-1")))

    assert response[0] == status


@pytest.mark.parametrize(
    "path", ["//leads", "///leads", "/leads//", "//localhost/leads", "/%2Fleads", "http://localhost//leads"]
)
def test_a_path_with_more_slashes_is_another_path(server: Server, path: str) -> None:
    (response,) = responses(server.exchange(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()))

    assert (response[0], response[1]["Content-Type"]) == (404, "application/problem+json")


def test_a_head_request_is_answered_without_a_body(server: Server) -> None:
    request = b"HEAD /leads HTTP/1.1\r\nHost: localhost\r\n"
    with server.connect() as connection:
        connection.sendall((request + b"\r\n") * 2 + request + b"Connection: close\r\n\r\n")
        with connection.makefile("rb") as file:
            heads = file.read().split(b"\r\n\r\n")

    assert [head.split()[1] for head in heads[:-1]] == [b"200"] * 3
    assert heads[-1] == b""
    assert all(b"Content-Length:" in head for head in heads[:-1])


def test_a_head_request_for_a_file_is_answered_without_a_last_chunk(server: Server) -> None:
    received = server.exchange(b"HEAD /leads/export HTTP/1.1\r\n" + HOST + b"\r\n")

    assert received.startswith(b"HTTP/1.1 200 ")
    assert received.partition(b"\r\n\r\n")[2] == b""


def test_answers_without_content_have_no_body_and_no_length(server: Server, new_lead: NewLead) -> None:
    lead = server.post("/leads", json=new_lead())
    path = f"{lead.headers['Location']} HTTP/1.1\r\nHost: localhost\r\n".encode()
    etag = server.get(lead.headers["Location"]).headers["ETag"]

    unchanged = server.exchange(b"GET " + path + f"If-None-Match: {etag}\r\n\r\n".encode())
    erased = server.exchange(b"DELETE " + path + b"\r\n")

    for received, status in ((unchanged, b"304"), (erased, b"204")):
        head, end, rest = received.partition(b"\r\n\r\n")
        assert head.split()[1] == status
        assert (end, rest) == (b"\r\n\r\n", b"")
        assert b"Content-Length" not in head
        assert b"Transfer-Encoding" not in head


def test_a_connection_of_http_1_0_stays_open_where_the_client_asks_for_it(server: Server) -> None:
    request = b"GET /health HTTP/1.0\r\n"
    with server.connect() as connection:
        connection.sendall(request + b"Connection: keep-alive\r\n\r\n")
        kept = answer(connection)
        kept.read()
        connection.sendall(request + b"\r\n")
        last = answer(connection)
        last.read()
        end = connection.recv(1)

    assert (kept.status, kept.headers["Connection"]) == (200, "Keep-Alive")
    assert (last.status, last.headers["Connection"]) == (200, "close")
    assert end == b""


def test_a_client_that_waits_for_100_continue_gets_it_and_the_answer(server: Server) -> None:
    with server.connect() as connection:
        connection.sendall(POST + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(LEAD))
        interim = connection.recv(100)
        connection.sendall(LEAD)
        status = answer(connection).status

    assert interim == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert status in (201, 409)


@pytest.mark.parametrize("head", [b"GET /health HTTP/1.1\r\nHost: localhost\r\n", POST + b"Content-Length: 0\r\n"])
def test_a_request_without_a_body_is_not_invited_to_send_one(server: Server, head: bytes) -> None:
    received = server.exchange(head + b"Expect: 100-continue\r\n\r\n" + b"GET /health HTTP/1.1\r\n" + HOST + b"\r\n")

    first, second = responses(received)
    assert first[0] in (200, 400)
    assert second[0] == 200


def test_a_client_that_closes_its_half_of_the_connection_gets_the_answer(server: Server) -> None:
    with server.connect() as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\n" + HOST + b"\r\n")
        connection.shutdown(socket.SHUT_WR)
        status = answer(connection).status

    assert status == 200


def test_an_empty_line_after_a_body_is_not_answered(server: Server) -> None:
    health = b"GET /health HTTP/1.1\r\n" + HOST
    with server.connect() as connection:
        connection.sendall(health + b"Content-Length: 2\r\n\r\n{}\r\n")
        first = answer(connection)
        first.read()
        connection.sendall(health + b"Connection: close\r\n\r\n")
        with connection.makefile("rb") as file:
            rest = list(responses(file.read()))

    assert first.status == 200
    assert [status for status, _, _ in rest] == [200]


def test_a_response_without_a_length_is_sent_in_chunks(server: Server) -> None:
    exported = server.get("/leads/export?format=ndjson")

    assert (exported.status, exported.headers["Transfer-Encoding"]) == (200, "chunked")
    assert len(exported.data.splitlines()) == server.total()


@pytest.mark.parametrize("name", ["X_Request_Id", "X-Request_Id", "x_request_id"])
@pytest.mark.parametrize("proper", [b"X-Request-Id: proper\r\n", b""])
def test_a_name_with_an_underscore_does_not_stand_for_one_with_a_dash(server: Server, name: str, proper: bytes) -> None:
    request = b"GET /health HTTP/1.1\r\n" + HOST + proper + f"{name}: forged\r\n\r\n".encode()

    (response,) = responses(server.exchange(request))

    assert "forged" not in response[1]["X-Request-Id"]
    assert not proper or response[1]["X-Request-Id"] == "proper"


@pytest.mark.parametrize("field", ["SCRIPT_NAME", "Script-Name", "X-Forwarded-Prefix", "X-Script-Name"])
def test_nobody_can_tell_the_server_another_path(server: Server, field: str) -> None:
    refused = server.exchange(f"POST /leads HTTP/1.1\r\nHost: localhost\r\n{field}: /elsewhere\r\n\r\n".encode())
    found = server.exchange(f"GET /health HTTP/1.1\r\nHost: localhost\r\n{field}: /health\r\n\r\n".encode())

    assert b"elsewhere" not in refused
    assert next(responses(found))[0] == 200


def test_the_server_does_not_say_what_it_is(server: Server) -> None:
    assert "Server" not in server.get("/health").headers
