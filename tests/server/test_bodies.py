"""Bodies that are too large, broken or of another kind, as they come over the wire."""

import contextlib
import socket

import orjson
import pytest

from conftest import MARKER, NewLead, Serve
from servers import Server, answer

pytestmark = pytest.mark.one_database

LEAD = f'{{"full_name": "{MARKER} Doe", "email": "{MARKER}@example.com", "message": %s}}'
JSON = {"Content-Type": "application/json"}
HEAD = "POST /leads HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nConnection: "

FIVE_MEGABYTES = (LEAD % f'"{"m" * 5 * 2**20}"').encode()
PIECES = [FIVE_MEGABYTES[start : start + 65536] for start in range(0, len(FIVE_MEGABYTES), 65536)]
CHUNKS = b"".join(f"{len(piece):x}\r\n".encode() + piece + b"\r\n" for piece in PIECES) + b"0\r\n\r\n"

TOO_LARGE = (413, "application/problem+json", b'{"detail":"The body of the request is too large."}')

NOT_JSON = {
    "empty": b"",
    "100000 brackets": b"[" * 100_000 + b"]" * 100_000,
    "100000 brackets inside": (LEAD % ("[" * 100_000 + "]" * 100_000)).encode(),
    "a number of 5000 digits": (LEAD % ("9" * 5000)).encode(),
    "NaN": (LEAD % "NaN").encode(),
    "a lone surrogate": (LEAD % r'"\ud800"').encode(),
    "bad UTF-8": (LEAD % '"é"').encode("latin-1"),
    "a byte order mark alone": b"\xef\xbb\xbf",
    "UTF-16": (LEAD % '"é"').encode("utf-16"),
    "cut": (LEAD % '"é"').encode()[:-1],
}
BROKEN_CHUNKS = {
    "a length that is no number": f"{MARKER}\r\n{{}}\r\n0\r\n\r\n",
    "a chunk that is too long": "2\r\n{}{}\r\n0\r\n\r\n",
}

FRAMINGS = pytest.mark.parametrize("chunked", [False, True], ids=["with a length", "in chunks"])


@FRAMINGS
def test_a_body_of_five_megabytes_is_refused_and_the_server_goes_on(
    server: Server, new_lead: NewLead, chunked: bool
) -> None:
    before = server.total()
    body = iter(PIECES) if chunked else FIVE_MEGABYTES

    refused = server.post("/leads", body=body, headers=JSON, chunked=chunked)
    after = server.post("/leads", json=new_lead())

    assert (refused.status, refused.headers["Content-Type"], refused.data) == TOO_LARGE
    assert after.status == 201
    assert server.total() == before + 1


@FRAMINGS
def test_a_client_that_sends_all_of_a_large_body_before_it_reads_gets_the_answer(server: Server, chunked: bool) -> None:
    framing = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {len(FIVE_MEGABYTES)}"
    answers = []

    for persistence in ("keep-alive", "close"):
        with server.connect() as connection:
            connection.sendall(f"{HEAD}{persistence}\r\n{framing}\r\n\r\n".encode())
            connection.sendall(CHUNKS if chunked else FIVE_MEGABYTES)
            response = answer(connection)
            answers.append((response.status, response.headers["Content-Type"], response.read()))

    assert answers == [TOO_LARGE] * 2


def test_a_client_that_asks_whether_to_send_a_large_body_is_told_not_to(server: Server) -> None:
    with server.connect() as connection:
        connection.sendall(f"{HEAD}close\r\nExpect: 100-continue\r\nContent-Length: {2**40}\r\n\r\n".encode())
        status = answer(connection).status

    assert status == 413


def test_a_body_may_be_as_long_as_the_setting_says_and_not_one_byte_longer(serve: Serve) -> None:
    server = serve(MAX_BODY_BYTES="1024")
    statuses = {}

    for chunked, length in ((False, 1024), (False, 1025), (True, 1024), (True, 1025)):
        body = (LEAD % f'"{chunked}"').replace(MARKER, f"{MARKER}.{chunked}").encode().ljust(length)
        sent = iter([body[:512], body[512:]]) if chunked else body
        statuses[chunked, length] = server.post("/leads", body=sent, headers=JSON, chunked=chunked).status

    assert statuses == {(False, 1024): 201, (False, 1025): 413, (True, 1024): 201, (True, 1025): 413}


def test_a_body_that_is_not_json_is_refused(server: Server) -> None:
    before = server.total()

    answers = {kind: server.post("/leads", body=body, headers=JSON) for kind, body in NOT_JSON.items()}

    assert {kind: answer.status for kind, answer in answers.items()} == dict.fromkeys(NOT_JSON, 400)
    assert {answer.headers["Content-Type"] for answer in answers.values()} == {"application/problem+json"}
    assert server.total() == before


def test_a_body_without_the_content_type_of_json_is_refused(server: Server, new_lead: NewLead) -> None:
    before = server.total()
    kinds = [None, "text/plain", "application/xml", "application/jsonp", "json", ""]

    answers = {
        kind: server.post(
            "/leads", body=orjson.dumps(new_lead()), headers={} if kind is None else {"Content-Type": kind}
        )
        for kind in kinds
    }

    assert {kind: answer.status for kind, answer in answers.items()} == dict.fromkeys(kinds, 415)
    assert {answer.headers["Content-Type"] for answer in answers.values()} == {"application/problem+json"}
    assert server.total() == before


def test_broken_chunks_are_refused(server: Server) -> None:
    before = server.total()
    statuses = {}

    for kind, body in BROKEN_CHUNKS.items():
        with server.connect() as connection:
            connection.sendall(f"{HEAD}close\r\nTransfer-Encoding: chunked\r\n\r\n{body}".encode())
            statuses[kind] = answer(connection).status

    assert statuses == dict.fromkeys(BROKEN_CHUNKS, 400)
    assert server.total() == before


def test_a_body_that_ends_early_is_not_stored(server: Server) -> None:
    before = server.total()
    lead = (LEAD % '"m"').encode()

    with server.connect() as connection:
        connection.sendall(f"{HEAD}close\r\nContent-Length: 5000\r\n\r\n".encode() + lead)
        connection.shutdown(socket.SHUT_WR)
        received = connection.recv(4096)

    assert received == b""
    assert server.total() == before


def test_a_body_in_a_great_many_chunks_is_given_up_soon(server: Server) -> None:
    before = server.total()
    lead = b"".join(b"1\r\n%c\r\n" % byte for byte in (LEAD % f'"{"m" * 10**5}"').encode()) + b"0\r\n\r\n"

    with server.connect() as connection:
        connection.sendall(f"{HEAD}close\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
        with contextlib.suppress(ConnectionError):
            connection.sendall(lead)
        status = answer(connection).status

    assert status == 400
    assert server.total() == before


def test_a_long_query_is_answered_by_the_application(server: Server) -> None:
    refused = server.get(f"/leads?source={'%F0%9D%94%B7' * 2000}")

    assert (refused.status, refused.headers["Content-Type"]) == (422, "application/problem+json")
