"""Idempotency keys over several workers, and through a crash."""

from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from uuid import uuid4

import urllib3

from conftest import Json, NewLead, Serve
from servers import Server, at_once

ROUNDS = 2
WRITERS = 6
# How many leads are stored before each kill.
ENOUGH = 40

Sent = dict[str, Json]


def post(server: Server, key: str, lead: Json) -> urllib3.BaseHTTPResponse:
    return server.post("/leads", json=lead, headers={"Idempotency-Key": key})


def test_many_at_once_with_one_key_are_one(serve: Serve, database_url: str, new_lead: NewLead) -> None:
    server = serve(DATABASE_URL=database_url, WEB_CONCURRENCY="2")

    for number in range(1, 6):
        key, lead = str(uuid4()), new_lead()
        answers = all_at_once(server, key, lead)

        assert {answer.status for answer in answers} == {201}
        assert len({answer.data for answer in answers}) == 1
        assert server.get("/leads").json()["total"] == number
        assert post(server, key, lead | {"company": "Another"}).status == 422


def all_at_once(server: Server, key: str, lead: Json) -> list[urllib3.BaseHTTPResponse]:
    return at_once(20, lambda _: post(server, key, lead))


def test_a_request_that_is_sent_again_after_a_crash_is_stored_once(
    serve: Serve, database_url: str, new_lead: NewLead
) -> None:
    sent: Sent = {}
    answered: dict[str, bytes] = {}
    server = serve(DATABASE_URL=database_url, WEB_CONCURRENCY="2")

    for _ in range(ROUNDS):
        answered |= write_until_killed(server, sent, new_lead)
        server = serve(DATABASE_URL=database_url, WEB_CONCURRENCY="2")

    for key, lead in sent.items():
        again = post(server, key, lead)
        assert again.status == 201
        assert answered.get(key, again.data) == again.data
    stored = [lead["email"] for lead in all_leads(server)]
    assert sorted(stored) == sorted(lead["email"] for lead in sent.values())
    assert len(answered) >= ENOUGH * ROUNDS


def write_until_killed(server: Server, sent: Sent, new_lead: NewLead) -> dict[str, bytes]:
    """Store leads from several threads, kill the server amid that, and return what it answered."""
    answered: SimpleQueue[tuple[str, bytes]] = SimpleQueue()

    def write() -> None:
        while True:
            key, lead = str(uuid4()), new_lead()
            sent[key] = lead
            try:
                response = post(server, key, lead)
            except urllib3.exceptions.HTTPError:
                return
            assert response.status == 201
            answered.put((key, response.data))

    with ThreadPoolExecutor(WRITERS) as threads:
        writers = [threads.submit(write) for _ in range(WRITERS)]
        told = dict(answered.get(timeout=30) for _ in range(ENOUGH))
        server.kill()
    for writer in writers:
        writer.result()
    while not answered.empty():
        told |= [answered.get()]
    return told


def all_leads(server: Server) -> list[Json]:
    total = server.get("/leads").json()["total"]
    pages = [server.get(f"/leads?limit=100&offset={offset}").json()["items"] for offset in range(0, total, 100)]
    return [lead for page in pages for lead in page]
