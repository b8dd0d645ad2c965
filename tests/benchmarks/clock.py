"""Sets the clock of running processes an hour back, and forward again, on SQLite and on PostgreSQL.

    .venv/bin/python tests/benchmarks/clock.py

Requests, deliveries, leases, sessions and kept answers go on meanwhile. It needs a C compiler (apt-get install gcc
libc6-dev) for clock.c, which moves the wall clock of a process and leaves the others as they are.
"""

import itertools
import logging
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from datetime import timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any

sys.path[:0] = [str(Path(__file__).parents[2]), str(Path(__file__).parents[1])]

import urllib3
from destinations.deliverer import Deliverer
from sqlalchemy import text

from leadapi import create_app, storage
from leadapi.keys import service as keys
from leadapi.retention.leases import Lease
from postgres import Postgres
from servers import ROOT, Server
from webhook_receiver import HANG, Receiver

# That a server is not up yet is no news.
logging.getLogger("urllib3").setLevel(logging.ERROR)

HOUR = 3600
MINUTE = 60
# After so long, the dispatchers have done their first retention, which mends the times of deliveries, too.
SETTLED_SECONDS = 65
# How long the load goes on after the clock was set right again.
AGAIN_SECONDS = 10
SETTINGS = {
    "AUTO_MIGRATE": "on",
    "AUTH": "on",
    "DELIVERY": "external",
    "WEBHOOK_ALLOW_PRIVATE": "on",
    "RETENTION": "lost:1d",
    "RATE_LIMIT_CAPTURE": "300/minute",
}


class Clock:
    """The wall clock of processes that are started with `environ`."""

    def __init__(self, folder: Path) -> None:
        library, self._shift = folder / "clock.so", folder / "shift"
        source = Path(__file__).with_name("clock.c")
        subprocess.run(["cc", "-shared", "-fPIC", "-o", str(library), str(source), "-ldl"], check=True)
        self.set(0)
        self.environ = {"LD_PRELOAD": str(library), "SHIFT_FILE": str(self._shift)}

    def set(self, seconds: int) -> None:
        """Let the clock differ from that of the machine."""
        with self._shift.open("r+b" if self._shift.exists() else "wb") as file:
            file.write(struct.pack("q", seconds))


class Load(threading.Thread):
    """A client that captures, changes, shows and lists leads one after the other."""

    def __init__(self, server: Server, headers: dict[str, str]) -> None:
        super().__init__(daemon=True)
        self._server, self._headers = server, headers
        self.is_done = threading.Event()
        self.statuses: Counter[int] = Counter()
        self.ids: list[int] = []

    def run(self) -> None:
        for number in itertools.count():
            lead = {"full_name": "Jane Doe", "email": f"load{number}@example.com", "message": "A question"}
            answer = self._send("POST", "/leads", json=lead, headers={"Idempotency-Key": f"load-{number}"})
            assert answer.status == 201, answer.data
            lead_id = answer.json()["id"]
            self.ids.append(lead_id)
            self._send("PATCH", f"/leads/{lead_id}", json={"status": "contacted"})
            for path in (
                f"/leads/{lead_id}",
                "/leads?limit=50",
                "/leads?sort=-updated_at",
                "/leads?q=question",
                f"/leads/{lead_id}/events",
                "/stats?by=day",
                "/destinations",
            ):
                self._send("GET", path)
            if self.is_done.wait(0.5):
                return

    def _send(
        self, method: str, path: str, headers: Mapping[str, str] = MappingProxyType({}), **options: Any
    ) -> urllib3.BaseHTTPResponse:
        # A clock that is set forward ends idle connections, perhaps while a request is on its way.
        retries = urllib3.Retry(2, status=0, allowed_methods=None)
        answer = self._server.pool.request(
            method, path, headers=self._headers | dict(headers), retries=retries, **options
        )
        self.statuses[answer.status] += 1
        return answer


def until(holds: Callable[[], Any], seconds: float) -> float:
    """Wait until something is true; return how many seconds that took."""
    began = time.monotonic()
    while not holds():
        if time.monotonic() - began > seconds:
            raise SystemExit(f"it did not happen within {seconds} s")
        time.sleep(0.05)  # how often it asks
    return time.monotonic() - began


def seconds_open(connection: socket.socket) -> float:
    """How long the server keeps a connection."""
    began = time.monotonic()
    while connection.recv(65536):
        pass
    return time.monotonic() - began


class Scenario:
    """A service with its dispatchers, what it is asked before the clock is set back, and what must hold afterwards."""

    def __init__(self, url: str, folder: Path, stack: ExitStack) -> None:
        self._folder, self._stack, self.clock = folder, stack, Clock(folder)
        self._environ = SETTINGS | self.clock.environ | {"DATABASE_URL": url}
        self.facts: dict[str, object] = {}
        self._server = Server(self._environ, folder, log=folder / "log")
        stack.callback(self._server.stop)
        self._app = create_app(SETTINGS | {"DATABASE_URL": url, "LOG_LEVEL": "ERROR"})
        with self._app.app_context():
            self._key = keys.create_key(name="clock", scopes=["capture", "read", "write", "admin"]).text
        self._headers = {"Authorization": f"Bearer {self._key}"}
        login = self._log_in()
        self._cookie = {"Cookie": login.headers["Set-Cookie"].partition(";")[0], "Sec-Fetch-Site": "same-origin"}
        self._survivor = self._deliver()
        self._load = Load(self._server, self._headers)
        self._load.start()
        time.sleep(SETTLED_SECONDS)  # nothing tells that the first retention is done

    def prepare(self) -> None:
        """One dispatcher stands still, another one dies while receivers hold or refuse what it sends."""
        self._survivor.process.send_signal(signal.SIGSTOP)
        self._receivers = [
            self._stack.enter_context(closing(Receiver(behave))) for behave in (lambda _: HANG, lambda _: 500)
        ]
        for each in self._receivers:
            body = {"kind": "webhook", "url": each.url, "events": ["lead.created"]}
            assert self._server.post("/destinations", body, headers=self._headers).status == 201
        victim = self._deliver()
        self._answers = [self._post(number) for number in range(20)]
        until(lambda: all(len(each.received) >= 5 for each in self._receivers), 30)
        until(lambda: self._count_refusals() >= 5, 30)
        victim.stop(signal.SIGKILL)
        self._answers += [self._post(number) for number in range(20, 40)]
        for each in self._receivers:
            each.behave = lambda _: 204
        self._lead, *_, self._old = (f"/leads/{answer.json()['id']}" for answer in self._answers)
        self._etag = self._get(self._lead).headers["ETag"]
        # A process that did the retention died, too.
        with self._app.app_context():
            assert Lease("retention", timedelta(minutes=1)).claim()
            with storage.write() as tx:
                values = {"id": self._old.removeprefix("/leads/"), "time": storage.now() - timedelta(days=2)}
                tx.execute(text("UPDATE leads SET status = 'lost', created_at = :time WHERE id = :id"), values)
        assert self._is_refused(2000)
        self._idle = self._server.connect()
        self._idle.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")

    def wait_for_what_ends(self) -> None:
        """Connections, leases and windows of rate limits end as if the clock had not been set back."""
        self.facts["an idle connection ends after, s"] = seconds_open(self._idle)
        self._survivor.process.send_signal(signal.SIGCONT)
        told = {answer.json()["id"] for answer in self._answers[:-1]}
        self.facts["leases, retries and first attempts end after, s"] = until(
            lambda: all(told <= {got.body["data"]["id"] for got in each.accepted()} for each in self._receivers), MINUTE
        )
        self.facts["the retention goes on after, s"] = until(lambda: self._get(self._old).status == 404, MINUTE)
        self.facts["a client that was refused is let in after, s"] = until(lambda: not self._is_refused(1), 2 * MINUTE)

    def check_what_stays(self) -> None:
        """Answers to keys, entity tags, sessions and the history."""
        for number, answer in enumerate(self._answers[:-1]):
            replayed = self._post(number)
            assert (replayed.headers.get("Idempotent-Replayed"), replayed.data) == ("true", answer.data)
        assert self._get(self._lead, **{"If-None-Match": self._etag}).status == 304
        change = {"json": {"company": "New"}, "headers": self._headers | {"If-Match": self._etag}}
        changed = self._server.pool.request("PATCH", self._lead, **change)
        assert changed.status == 200
        assert changed.json()["updated_at"] < changed.json()["created_at"]
        assert self._server.pool.request("PATCH", self._lead, **change).status == 412
        assert self._server.get("/inbox", headers=self._cookie).status == 200
        assert self._log_in().status == 303
        history = [event["type"] for event in self._get(f"{self._lead}/events").json()["items"]]
        assert history == ["lead.created", "lead.updated"]

    def check_order(self) -> None:
        """The ids of leads, and the statuses of all requests."""
        self._load.is_done.set()
        self._load.join()
        assert self._load.ids == sorted(set(self._load.ids))
        by_id = self._walk("id")
        assert by_id == sorted(set(by_id))
        assert set(self._load.ids) <= set(by_id)
        assert sorted(self._walk("updated_at")) == by_id
        self.facts["leads in the order of their ids"] = len(by_id)
        self.facts["statuses of the load"] = dict(sorted(self._load.statuses.items()))
        assert not any(status >= 500 for status in self._load.statuses)

    def _deliver(self) -> Deliverer:
        process = Deliverer(self._environ | {"PYTHONPATH": str(ROOT)}, self._folder)
        self._stack.callback(process.stop, signal.SIGKILL)
        process.until("Delivering")
        return process

    def _log_in(self) -> urllib3.BaseHTTPResponse:
        fields = {"key": self._key}
        return self._server.pool.request("POST", "/inbox/login", fields=fields, redirect=False, encode_multipart=False)

    def _get(self, path: str, **headers: str) -> urllib3.BaseHTTPResponse:
        return self._server.get(path, headers=self._headers | headers)

    def _post(self, number: int) -> urllib3.BaseHTTPResponse:
        lead = {"full_name": "John Doe", "email": f"john{number}@example.com"}
        return self._server.post("/leads", lead, headers=self._headers | {"Idempotency-Key": f"key-{number}"})

    def _count_refusals(self) -> int:
        """How many refusals by the second receiver are recorded."""
        found = self._get("/destinations/2/deliveries?limit=100").json()["items"]
        return sum(each["status"] == 500 for each in found)

    def _is_refused(self, most: int) -> bool:
        """Whether one of so many captures without a key exceeds the rate limit."""
        lead = {"full_name": "John Doe", "email": "anna@example.com"}
        return any(self._server.post("/leads", lead).status == 429 for _ in range(most))

    def _walk(self, sort: str) -> list[int]:
        """The ids of all pages."""
        ids: list[int] = []
        path = f"/leads?limit=100&sort={sort}"
        while path:
            page = self._get(path)
            ids += [lead["id"] for lead in page.json()["items"]]
            link = re.search(r"<([^>]+)>; rel=\"next\"", page.headers.get("Link", ""))
            path = f"/leads{link[1]}" if link else ""
        return ids


def main() -> None:
    """Check both databases."""
    postgres = Postgres(durable=True)
    for name, url in (("SQLite", "sqlite:///leads.db"), ("PostgreSQL", postgres.new_database())):
        with tempfile.TemporaryDirectory() as temporary, ExitStack() as stack:
            os.chdir(temporary)
            scenario = Scenario(url, Path(temporary), stack)
            scenario.prepare()
            scenario.clock.set(-HOUR)
            scenario.wait_for_what_ends()
            scenario.check_what_stays()
            scenario.clock.set(0)
            time.sleep(AGAIN_SECONDS)  # the load goes on meanwhile
            scenario.check_order()
            print(f"{name}:")
            for fact, value in scenario.facts.items():
                print(f"  {fact}: {value:.1f}" if isinstance(value, float) else f"  {fact}: {value}")
    postgres.remove()


if __name__ == "__main__":
    main()
