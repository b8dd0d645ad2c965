"""What no HTTP client would send, byte for byte: answered once in the one shape of errors, or not at all."""

import socket
from email import message_from_bytes

import orjson
import pytest

from conftest import MARKER, Serve
from servers import Server

LEAD = orjson.dumps({"full_name": f"{MARKER} Doe", "email": f"{MARKER}@example.com"})
HEAD = b"POST /leads HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
LENGTH = b"Content-Length: %d\r\n" % len(LEAD)
IN_CHUNKS = b"Transfer-Encoding: chunked\r\n"
CHUNK = b"%x\r\n%b\r\n" % (len(LEAD), LEAD)
# A second request that must not be taken for one, whatever the first one says.
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
    "chunked twice": post(b"Transfer-Encoding: chunked, chunked", body=CHUNK + b"0\r\n\r\n"),
    "chunked and again": post(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked", body=CHUNK + b"0\r\n\r\n"),
    "chunked, then identity": post(b"Transfer-Encoding: chunked, identity", body=CHUNK + b"0\r\n\r\n"),
    "a coding nobody knows": post(b"Transfer-Encoding: xchunked", body=HIDDEN),
    "a coding after a vertical tab": post(b"Transfer-Encoding: \x0bchunked", body=CHUNK + b"0\r\n\r\n"),
    "a coding without chunks": post(b"Transfer-Encoding: gzip", body=HIDDEN),
    "a name with a space": post(b"Transfer-Encoding : chunked", body=CHUNK + b"0\r\n\r\n"),
    "a length with a space before the colon": post(b"Content-Length : %d" % len(LEAD)),
    "chunks in HTTP/1.0": in_chunks(CHUNK + b"0\r\n\r\n").replace(b"HTTP/1.1", b"HTTP/1.0"),
    "a folded field": post(b"X-Folded: one\r\n two", LENGTH[:-2]),
    "a first field that is folded": b"GET /leads HTTP/1.1\r\n Host: localhost\r\n\r\n",
    "a NUL in a value": post(b"X-Nul: a\0b", LENGTH[:-2]),
    "a NUL in a name": post(b"X\0Nul: a", LENGTH[:-2]),
    "a bare CR in a value": post(b"X-Cr: a\rb", LENGTH[:-2]),
    "bare LF": (HEAD + LENGTH + b"\r\n" + LEAD).replace(b"\r\n", b"\n"),
    "one bare LF": post(b"X-One: 1\nX-Two: 2", LENGTH[:-2]),
    "a bare LF in a request line": b"GET /leads\nHTTP/1.1\r\n\r\n",
    "a field without a name": post(b": nothing", LENGTH[:-2]),
    "a field without a colon": post(b"nothing", LENGTH[:-2]),
    "two hosts": post(b"Host: elsewhere", LENGTH[:-2]),
    "101 fields": post(*[b"X-%d: 1" % number for number in range(98)], LENGTH[:-2]),
    "a field of 9 KB": post(b"X-Long: " + b"a" * 9 * 1024, LENGTH[:-2]),
    "a head of a megabyte": post(*[b"X-Long: " + b"a" * 8000] * 130),
    "a head that never ends": GET + b"X-Long: " + b"a" * 2**18,
    "a request line that never ends": b"GET /" + b"a" * 2**18,
    "too long a request line": b"GET /" + b"a" * 2**16 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "another expectation": post(b"Expect: the-unexpected", LENGTH[:-2]),
    "HTTP/0.9": b"GET /leads\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "another protocol": b"GET /leads SMTP/1.1\r\n\r\n",
    "a version of three parts": b"GET /leads HTTP/1.1.1\r\n\r\n",
    "a method in small letters": b"get /leads HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "TRACE": b"TRACE /leads HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    "CONNECT": b"CONNECT localhost:80 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "OPTIONS of nothing in particular": b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    "a space in the target": b"GET /leads /leads HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "a target that is not ASCII": "GET /l\u00e9ads HTTP/1.1\r\nHost: localhost\r\n\r\n".encode(),
    "two empty lines first": b"\r\n\r\n" + HIDDEN,
    "a greeting in TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\n\r\n\r\n",
    "a chunk with a negative size": in_chunks(b"-5\r\n" + CHUNK + b"0\r\n\r\n"),
    "a chunk with a plus": in_chunks(b"+" + CHUNK + b"0\r\n\r\n"),
    "a chunk in 0x": in_chunks(b"0x" + CHUNK + b"0\r\n\r\n"),
    "a chunk with an underscore": in_chunks(b"0_" + CHUNK + b"0\r\n\r\n"),
    "a chunk with a space before it": in_chunks(b" " + CHUNK + b"0\r\n\r\n"),
    "a chunk without a size": in_chunks(b"\r\n" + CHUNK + b"0\r\n\r\n"),
    "a chunk size that never ends": in_chunks(b"0" * 20_000),
    "a chunk size after a bare LF": in_chunks(CHUNK.replace(b"\r\n", b"\n", 1) + b"0\r\n\r\n"),
    "a chunk that is longer than it says": in_chunks(b"5\r\n" + LEAD + b"\r\n0\r\n\r\n"),
    "a chunk with a bare CR in its extension": in_chunks(CHUNK.replace(b"\r\n", b";a\rb\r\n", 1) + b"0\r\n\r\n"),
    "a trailer that sets the length": in_chunks(CHUNK + b"0\r\nContent-Length: 5\r\n\r\n"),
    "a trailer that is no field": in_chunks(CHUNK + b"0\r\nnothing\r\n\r\n"),
    "a broken chunk for a GET": GET + IN_CHUNKS + b"\r\nnothing\r\n\r\n" + HIDDEN,
    "a broken chunk for an address that is not there": in_chunks(b"nothing\r\n\r\n" + HIDDEN).replace(
        b"/leads", b"/", 1
    ),
}


def exchange(server: Server, request: bytes) -> bytes:
    """Send bytes and no more, and return all that comes back until the server closes."""
    with server.connect() as connection:
        received = b""
        try:
            connection.sendall(request)
            connection.shutdown(socket.SHUT_WR)
            while piece := connection.recv(65536):
                received += piece
        except ConnectionError:
            pass
        return received


def parse(received: bytes) -> tuple[int, str | None, bytes]:
    """The status, the content type and the rest of what came back."""
    head, _, rest = received.partition(b"\r\n\r\n")
    line, _, fields = head.partition(b"\r\n")
    return int(line.split()[1]), message_from_bytes(fields)["Content-Type"], rest


def test_what_is_no_request_is_answered_once_and_stores_nothing(serve: Serve) -> None:
    server = serve()

    answers = {kind: exchange(server, request) for kind, request in REFUSED.items()}

    for kind, received in answers.items():
        if not received:
            continue
        status, content_type, body = parse(received)
        assert 400 <= status < 500, kind
        assert content_type == "application/problem+json", kind
        assert list(orjson.loads(body)) == ["detail"], kind
        assert MARKER.encode() not in body, kind
    assert [kind for kind, received in answers.items() if not received] == []
    assert server.get("/leads").json() == {"total": 0, "items": []}
    assert server.get("/health").status == 200


STATUSES = {
    "101 fields": 431,
    "a field of 9 KB": 431,
    "a head of a megabyte": 431,
    "a head that never ends": 431,
    "a request line that never ends": 414,
    "too long a request line": 414,
    "another expectation": 417,
    "TRACE": 405,
    "two lengths": 400,
}


def test_a_refusal_says_why(serve: Serve) -> None:
    server = serve()

    assert {kind: parse(exchange(server, REFUSED[kind]))[0] for kind in STATUSES} == STATUSES


WELL_FORMED = {
    "an absolute target": GET.replace(b"/leads", b"http://elsewhere.example/leads"),
    "an empty line first": b"\r\n" + GET,
    "a body nobody asked for": GET + b"Content-Length: 5\r\n",
    # Only a proxy could know, and none is asked.
    "a path that a proxy tells": b"GET /health HTTP/1.1\r\nHost: localhost\r\nSCRIPT_NAME: /elsewhere\r\n",
}


def test_what_is_odd_and_allowed_is_answered(serve: Serve) -> None:
    server = serve()

    answers = {
        kind: parse(exchange(server, request + b"Connection: close\r\n\r\nhello"))[0]
        for kind, request in WELL_FORMED.items()
    }

    assert answers == dict.fromkeys(WELL_FORMED, 200)


def test_requests_that_come_in_one_go_are_answered_in_turn(serve: Serve) -> None:
    server = serve()
    other = LEAD.replace(MARKER.encode() + b"@", MARKER.encode() + b".2@")
    chunks = b"4;name=value\r\n%b\r\n%x\r\n%b\r\n0\r\nX-Trailer: 1\r\n\r\n" % (other[:4], len(other) - 4, other[4:])
    last = b"GET /leads HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"

    received = exchange(server, HIDDEN + in_chunks(chunks) + GET + b"\r\n" + HIDDEN + last)

    assert [int(piece[:3]) for piece in received.split(b"HTTP/1.1 ")[1:]] == [201, 201, 200, 409, 200]
    assert orjson.loads(received.rpartition(b"\r\n\r\n")[2])["total"] == 2


@pytest.mark.parametrize("size", [1, 7, 4096])
def test_requests_may_come_in_pieces_of_any_size(serve: Serve, size: int) -> None:
    server = serve()
    chunks = in_chunks(CHUNK + b"0\r\n\r\n")
    whole = HIDDEN + chunks + GET + b"Connection: close\r\n\r\n"

    with server.connect() as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for start in range(0, len(whole), size):
            connection.sendall(whole[start : start + size])
        received = b""
        while piece := connection.recv(65536):
            received += piece

    assert [int(piece[:3]) for piece in received.split(b"HTTP/1.1 ")[1:]] == [201, 409, 200]


def test_who_is_refused_while_sending_much_gets_the_answer(serve: Serve) -> None:
    server = serve()
    body = b"m" * 5 * 2**20
    head = b"%b HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n"
    statuses = []

    for target in (b"POST /leads", b"POST /nowhere", b"PUT /leads"):
        with server.connect() as connection:
            connection.sendall(head % (target, len(body)))
            connection.sendall(body)
            received = b""
            while piece := connection.recv(65536):
                received += piece
            statuses.append(parse(received)[:2])

    assert statuses == [(status, "application/problem+json") for status in (415, 404, 405)]
