"""kill -9 under write load: nothing acknowledged is lost."""

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue

import urllib3

from conftest import NewLead, Serve
from servers import Server

# How often the service is killed. With 10 it takes half a minute.
ROUNDS = 2
WRITERS = 6
# How many leads are stored before each kill.
ENOUGH = 40

Acknowledged = SimpleQueue[tuple[int, str]]


def test_a_lead_that_was_answered_201_survives_a_kill(serve: Serve, database_url: str, new_lead: NewLead) -> None:
    acknowledged: dict[int, str] = {}
    server = serve(DATABASE_URL=database_url)

    for crashes in range(1, ROUNDS + 1):
        acknowledged |= write_until_killed(server, new_lead)
        server = serve(DATABASE_URL=database_url)
        stored = all_leads(server)

        assert acknowledged.items() <= stored.items()
        # Each writer may have been cut off once in each round, after storing and before the answer.
        assert len(stored) <= len(acknowledged) + WRITERS * crashes
        assert not database_url.startswith("sqlite") or check(database_url) == "ok"
    assert len(acknowledged) >= ENOUGH * ROUNDS


def write_until_killed(server: Server, new_lead: NewLead) -> dict[int, str]:
    """Store leads from several threads, kill the server amid that, and return what it answered."""
    answered: Acknowledged = SimpleQueue()
    with ThreadPoolExecutor(WRITERS) as threads:
        writers = [threads.submit(write, server, new_lead, answered) for _ in range(WRITERS)]
        acknowledged = dict(answered.get(timeout=30) for _ in range(ENOUGH))
        server.kill()
    for writer in writers:
        writer.result()
    while not answered.empty():
        acknowledged |= [answered.get()]
    return acknowledged


def write(server: Server, new_lead: NewLead, answered: Acknowledged) -> None:
    """Store one lead after the other until the server is gone."""
    while True:
        lead = new_lead()
        try:
            response = server.post("/leads", json=lead)
        except urllib3.exceptions.HTTPError:
            return
        assert response.status == 201
        answered.put((response.json()["id"], lead["email"]))


def all_leads(server: Server) -> dict[int, str]:
    """The address of each lead by its id."""
    total = server.get("/leads").json()["total"]
    pages = [server.get(f"/leads?limit=100&offset={offset}").json()["items"] for offset in range(0, total, 100)]
    return {lead["id"]: lead["email"] for page in pages for lead in page}


def check(url: str) -> str:
    """The result of SQLite's integrity check of a database file."""
    connection = sqlite3.connect(url.removeprefix("sqlite:///"))
    (verdict,) = connection.execute("PRAGMA integrity_check").fetchone()
    connection.close()
    return str(verdict)
