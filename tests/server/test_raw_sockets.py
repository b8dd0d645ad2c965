"""Requests that no HTTP client would send, byte for byte: answered once, or the connection is closed."""

import socket

import orjson
import pytest

from conftest import MARKER, NewLead
from servers import Server, responses

LEAD = orjson.dumps({"full_name": f"{MARKER} Doe", "email": f"{MARKER}@example.com"})
HEAD = b"POST /leads HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
LENGTH = b"Content-Length: %d\r\n" % len(LEAD)
IN_CHUNKS = b"Transfer-Encoding: chunked\r\n"
CHUNK = b"%x\r\n%b\r\n" % (len(LEAD), LEAD)
# A request inside the body of another one. It must not be carried out.
HIDDEN = HEAD + LENGTH + b"\r\n" + LEAD
GET = b"GET /leads HTTP/1.1\r\nHost: localhost\r\n"


def post(*fields: bytes, body: bytes = LEAD) -> bytes:
    return HEAD + b"".join(field + b"\r\n" for field in fields) + b"\r\n" + body


def in_chunks(body: bytes) -> bytes:
    return HEAD + IN_CHUNKS + b"\r\n" + body


REFUSED = {
    "two lengths": post(b"Content-Length: %d" % len(LEAD), b"Content-Length: 5"),
    "the same length twice": post(LENGTH[:-2], LENGTH[:-2]),
    "a list of lengths": post(b"Content-Length: 5, 5"),
    "a negative length": post(b"Content-Length: -5"),
    "a length with a plus": post(b"Content-Length: +%d" % len(LEAD)),
    "a length in hexadecimal": post(b"Content-Length: 0x%x" % len(LEAD)),
    "a length with an underscore": post(b"Content-Length: 1_0"),
    "a length in superscript": post("Content-Length: \u00b2".encode("latin-1")),
    "a length of 5000 digits": post(b"Content-Length: " + b"9" * 5000),
    "no length": post(b"Content-Length:"),
    "a length and chunks": post(LENGTH[:-2], b"Transfer-Encoding: chunked", body=b"0\r\n\r\n" + HIDDEN),
    "chunks and a length": post(b"Transfer-Encoding: chunked", LENGTH[:-2], body=CHUNK + b"0\r\n\r\n"),
    "chunked, then identity": post(b"Transfer-Encoding: chunked, identity", body=CHUNK + b"0\r\n\r\n"),
    "a coding nobody knows": post(b"Transfer-Encoding: xchunked", body=HIDDEN),
    "a coding after a vertical tab": post(b"Transfer-Encoding: \x0bchunked", body=CHUNK + b"0\r\n\r\n"),
    "a coding without chunks": post(b"Transfer-Encoding: gzip", body=HIDDEN),
    "a name with a space": post(b"Transfer-Encoding : chunked", body=CHUNK + b"0\r\n\r\n"),
    "a length with a space before the colon": post(b"Content-Length : %d" % len(LEAD)),
    "chunks in HTTP/1.0": in_chunks(CHUNK + b"0\r\n\r\n").replace(b"HTTP/1.1", b"HTTP/1.0"),
    "a first field that is folded": b"GET /leads HTTP/1.1\r\n Host: localhost\r\n\r\n",
    "a NUL in a value": post(b"X-Nul: a\0b", LENGTH[:-2]),
    "a NUL in a name": post(b"X\0Nul: a", LENGTH[:-2]),
    "a bare CR in a value": post(b"X-Cr: a\rb", LENGTH[:-2]),
    "one bare LF": post(b"X-One: 1\nX-Two: 2", LENGTH[:-2]),
    "a bare LF in a request line": b"GET /leads\nHTTP/1.1\r\n\r\n",
    "a field without a name": post(b": nothing", LENGTH[:-2]),
    "a field without a colon": post(b"nothing", LENGTH[:-2]),
    "two hosts": post(b"Host: elsewhere", LENGTH[:-2]),
    "a head of a megabyte": post(*[b"X-Long: " + b"a" * 8000] * 130),
    "a head that never ends": GET + b"X-Long: " + b"a" * 2**18,
    "a request line that never ends": b"GET /" + b"a" * 2**18,
    "too long a request line": b"GET /" + b"a" * 2**16 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "HTTP/0.9": b"GET /leads\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "another protocol": b"GET /leads SMTP/1.1\r\n\r\n",
    "a version of three parts": b"GET /leads HTTP/1.1.1\r\n\r\n",
    "a method in small letters": b"get /leads HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "TRACE": b"TRACE /leads HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    "CONNECT": b"CONNECT localhost:80 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "OPTIONS of nothing in particular": b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    "a target without a slash": b"GET leads HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "a space in the target": b"GET /leads /leads HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "a target that is not ASCII": "GET /l\u00e9ads HTTP/1.1\r\nHost: localhost\r\n\r\n".encode(),
    "a greeting in TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\n\r\n\r\n",
    "a chunk with a negative size": in_chunks(b"-5\r\n" + CHUNK + b"0\r\n\r\n"),
    "a chunk with a plus": in_chunks(b"+" + CHUNK + b"0\r\n\r\n"),
    "a chunk in 0x": in_chunks(b"0x" + CHUNK + b"0\r\n\r\n"),
    "a chunk with an underscore": in_chunks(b"0_" + CHUNK + b"0\r\n\r\n"),
    "a chunk with a space before it": in_chunks(b" " + CHUNK + b"0\r\n\r\n"),
    "a chunk size after a bare LF": in_chunks(CHUNK.replace(b"\r\n", b"\n", 1) + b"0\r\n\r\n"),
    "a chunk that is longer than it says": in_chunks(b"5\r\n" + LEAD + b"\r\n0\r\n\r\n"),
    "a chunk with a bare CR in its extension": in_chunks(CHUNK.replace(b"\r\n", b";a\rb\r\n", 1) + b"0\r\n\r\n"),
    "a broken chunk for a GET": GET + IN_CHUNKS + b"\r\nnothing\r\n\r\n" + HIDDEN,
    "a broken chunk for an address that is not there": in_chunks(b"nothing\r\n\r\n" + HIDDEN).replace(
        b"/leads", b"/", 1
    ),
}

# Unusual, but of one meaning only.
ODD = {
    "chunked twice": post(b"Transfer-Encoding: chunked, chunked", body=CHUNK + b"0\r\n\r\n"),
    "chunked and again": post(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked", body=CHUNK + b"0\r\n\r\n"),
    "a folded field": post(b"X-Folded: one\r\n two", LENGTH[:-2]),
    "101 fields": post(*[b"X-%d: 1" % number for number in range(98)], LENGTH[:-2]),
    "a field of 9 KB": post(b"X-Long: " + b"a" * 9 * 1024, LENGTH[:-2]),
    "another expectation": post(b"Expect: the-unexpected", LENGTH[:-2]),
    "two empty lines first": b"\r\n\r\n" + HIDDEN,
    "a chunk without a size": in_chunks(b"\r\n" + CHUNK + b"0\r\n\r\n"),
    "a trailer that sets the length": in_chunks(CHUNK + b"0\r\nContent-Length: 5\r\n\r\n"),
    "a trailer that is no field": in_chunks(CHUNK + b"0\r\nnothing\r\n\r\n"),
    "a chunk size of 16 digits": in_chunks(b"%016x\r\n%b\r\n0\r\n\r\n" % (len(LEAD), LEAD)),
    "a chunk size of 300 digits": in_chunks(b"%0300x\r\n%b\r\n0\r\n\r\n" % (len(LEAD), LEAD)),
    "an empty line after the body": post(LENGTH[:-2], body=LEAD + b"\r\n"),
    "several empty lines after the body": post(LENGTH[:-2], body=LEAD + b"\r\n\r\n\r\n"),
    "an empty line after the chunks": in_chunks(CHUNK + b"0\r\n\r\n\r\n"),
    "a field that looks like the length": post(LENGTH[:-2], b"Content_Length: 5"),
}

# The server waits for more.
UNFINISHED = {
    "a chunk size that never ends": in_chunks(b"0" * 20_000),
    "a chunk of 16 digits": in_chunks(b"1" + b"0" * 15 + b"\r\n" + LEAD + b"\r\n0\r\n\r\n" + HIDDEN),
    "a chunk of 17 digits": in_chunks(b"1" + b"0" * 16 + b"\r\n" + LEAD + b"\r\n0\r\n\r\n" + HIDDEN),
    "half a body": post(b"Content-Length: %d" % (len(LEAD) + 1)),
    "bare LF": (HEAD + LENGTH + b"\r\n" + LEAD).replace(b"\r\n", b"\n"),
    "half a head": GET,
}


@pytest.mark.parametrize("kind", REFUSED)
def test_a_malformed_request_is_refused_once_and_stores_nothing(server: Server, kind: str) -> None:
    before = server.total()

    (response,) = responses(server.exchange(REFUSED[kind]))

    assert 400 <= response[0] < 500 or response[0] == 501
    assert server.total() == before


def test_a_url_may_be_sent_as_it_was_typed(server: Server, new_lead: NewLead) -> None:
    assert server.post("/leads", new_lead(company="Zoë & Co")).status == 201

    request = "GET /leads?q=zoë HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    ((status, _, found),) = responses(server.exchange(request.encode()))

    assert (status, orjson.loads(found)["total"]) == (200, 1)


@pytest.mark.parametrize("kind", ODD)
def test_an_unusual_but_unambiguous_request_is_answered_once(server: Server, kind: str) -> None:
    (response,) = responses(server.exchange(ODD[kind]))

    assert response[0] in (201, 409)


@pytest.mark.parametrize("kind", UNFINISHED)
def test_an_unfinished_request_is_not_answered_and_stores_nothing(server: Server, kind: str) -> None:
    before = server.total()

    assert server.exchange(UNFINISHED[kind]) == b""
    assert server.total() == before


STATUSES = {
    "a head of a megabyte": 431,
    "a head that never ends": 431,
    "a request line that never ends": 431,
    "too long a request line": 431,
    "a coding nobody knows": 501,
    "TRACE": 405,
    "two lengths": 400,
}


@pytest.mark.parametrize("kind", STATUSES)
def test_a_refusal_says_why(server: Server, kind: str) -> None:
    (response,) = responses(server.exchange(REFUSED[kind]))

    assert response[0] == STATUSES[kind]


WELL_FORMED = {
    "an absolute target": GET.replace(b"/leads", b"http://elsewhere.example/leads"),
    "an empty line first": b"\r\n" + GET,
    "a body nobody asked for": GET + b"Content-Length: 5\r\n",
}


@pytest.mark.parametrize("kind", WELL_FORMED)
def test_an_unusual_and_well_formed_request_is_answered(server: Server, kind: str) -> None:
    (response,) = responses(server.exchange(WELL_FORMED[kind] + b"Connection: close\r\n\r\nhello"))

    assert response[0] == 200


def test_requests_that_come_in_one_go_are_answered_in_turn(server: Server) -> None:
    server.exchange(HIDDEN)
    before = server.total()
    other = LEAD.replace(MARKER.encode() + b"@", MARKER.encode() + b".2@")
    chunks = b"4;name=value\r\n%b\r\n%016x\r\n%b\r\n0\r\nX-Trailer: 1\r\n\r\n" % (other[:4], len(other) - 4, other[4:])

    received = server.exchange(HIDDEN + in_chunks(chunks) + GET + b"\r\n" + HIDDEN + GET + b"\r\n")

    statuses, _, bodies = zip(*responses(received), strict=True)
    assert statuses == (409, 201, 200, 409, 200)
    assert orjson.loads(bodies[-1])["total"] == before + 1


@pytest.mark.parametrize("size", [1, 7, 4096])
def test_requests_may_come_in_pieces_of_any_size(server: Server, size: int) -> None:
    server.exchange(HIDDEN)
    whole = HIDDEN + in_chunks(CHUNK + b"0\r\n\r\n") + GET + b"Connection: close\r\n\r\n"

    with server.connect() as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for start in range(0, len(whole), size):
            connection.sendall(whole[start : start + size])
        with connection.makefile("rb") as file:
            received = file.read()

    assert [status for status, _, _ in responses(received)] == [409, 409, 200]


@pytest.mark.parametrize(("target", "status"), [("POST /leads", 415), ("POST /nowhere", 404), ("PUT /leads", 405)])
def test_a_client_that_is_refused_while_it_sends_much_gets_the_answer(server: Server, target: str, status: int) -> None:
    body = HIDDEN * 40_000
    head = f"{target} HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\nContent-Length: {len(body)}\r\n\r\n"

    with server.connect() as connection:
        connection.sendall(head.encode() + body)
        with connection.makefile("rb") as file:
            (response,) = responses(file.read())

    assert (response[0], response[1]["Content-Type"]) == (status, "application/problem+json")
