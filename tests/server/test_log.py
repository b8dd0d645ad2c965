"""The log of a whole server: JSON, and no people."""

import os
import re
import signal

import pytest

from conftest import MARKER, NewLead, Serve
from servers import answer

ADDRESS = f"{MARKER}@example.com"
# Requests that hold an address where no client of ours would put one.
STRAY = {
    "in the request line": f"{ADDRESS} would like a call",
    "in the version": f"GET /leads HTTP/{ADDRESS}",
    "as the target": f"GET {ADDRESS} HTTP/1.1",
    "in a line that is no header": f"GET /health HTTP/1.1\r\nHost: localhost\r\n{ADDRESS} would like a call",
    "in the name of a header": f"GET /health HTTP/1.1\r\nHost: localhost\r\n{ADDRESS}: yes",
    "in a header with a control character": f"GET /health HTTP/1.1\r\nHost: localhost\r\nFrom: it's {ADDRESS}\0",
    "in a folded header": f"GET /health HTTP/1.1\r\nHost: localhost\r\nFrom: me\r\n {ADDRESS}",
    "as the length": f"POST /leads HTTP/1.1\r\nHost: localhost\r\nContent-Length: {ADDRESS}",
    "as the encoding": f"POST /leads HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: {ADDRESS}",
    "as the expectation": f"POST /leads HTTP/1.1\r\nHost: localhost\r\nExpect: {ADDRESS}",
    "in too long a line": f"GET /leads?{ADDRESS * 5000} HTTP/1.1\r\nHost: localhost",
}


def test_each_line_is_an_object_and_each_request_has_one(serve: Serve, database_url: str, new_lead: NewLead) -> None:
    server = serve(DATABASE_URL=database_url)

    kept = server.post("/leads", json=new_lead(), headers={"X-Request-Id": "5f2b8c1e/17"})
    replaced = server.get("/leads", headers={"X-Request-Id": ADDRESS})
    server.until('"event":"request"', times=2)

    assert kept.headers["X-Request-Id"] == "5f2b8c1e/17"
    assert re.fullmatch("[0-9a-f]{32}", replaced.headers["X-Request-Id"])
    lines = server.log()
    assert all({"time", "level", "logger", "event"} <= set(line) for line in lines)
    created, listed = (line for line in lines if line["event"] == "request")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", created.pop("time"))
    assert created.pop("duration_ms") > 0
    assert created == {
        "level": "info",
        "logger": "leadapi.access",
        "event": "request",
        "request_id": "5f2b8c1e/17",
        "method": "POST",
        "path": "/leads",
        "status": 201,
        "lead_id": kept.json()["id"],
        "stored": 1,
    }
    assert listed["request_id"] == replaced.headers["X-Request-Id"]


@pytest.mark.parametrize("level", ["INFO", "DEBUG"])
def test_an_address_never_shows_up_wherever_it_was(serve: Serve, new_lead: NewLead, level: str) -> None:
    server = serve(LOG_LEVEL=level)
    statuses = {}

    for lead in (new_lead(), new_lead(email="nobody", message=5), new_lead(**{ADDRESS: 1})):
        server.post("/leads", json=lead)
    for path in (f"/leads?email={ADDRESS}", f"/leads?{ADDRESS}", f"/leads/{ADDRESS}", f"/leads/{MARKER}%40example.com"):
        server.get(path, headers={"Referer": ADDRESS, "User-Agent": ADDRESS, "X-Request-Id": ADDRESS})
    for kind, request in STRAY.items():
        with server.connect() as connection:
            connection.sendall(f"{request}\r\n\r\n".encode())
            statuses[kind] = answer(connection).status
    server.until('"event":"request"', times=9)

    assert {kind for kind, status in statuses.items() if status < 400} == {"in a folded header"}
    assert len(server.log()) == len(server.lines)
    assert [line for line in server.lines if MARKER in line.lower()] == []


def test_a_name_in_the_place_of_a_method_never_shows_up(serve: Serve) -> None:
    server = serve()

    with server.connect() as connection:
        connection.sendall(f"{MARKER.upper()} /leads HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        status = answer(connection).status
    server.until('"event":"request"')

    assert status == 405
    assert [line for line in server.lines if MARKER in line.lower()] == []


def test_a_worker_that_is_killed_is_told_to_the_log_and_replaced(serve: Serve, new_lead: NewLead) -> None:
    server = serve(WEB_CONCURRENCY="2")
    victim, _ = server.until(r"Booting worker with pid: (\d+)", times=2)

    os.kill(int(victim), signal.SIGKILL)
    server.until("SIGKILL")
    server.until("Booting worker", times=3)
    answers = [server.post("/leads", json=new_lead()) for _ in range(4)]

    (line,) = [line for line in server.log() if "SIGKILL" in line["event"]]
    assert (line["level"], line["logger"]) == ("error", "gunicorn.error")
    assert victim in line["event"]
    assert [response.status for response in answers] == [201] * 4
