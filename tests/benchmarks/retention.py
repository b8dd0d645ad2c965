"""Erases very many leads by RETENTION while others are captured, and compares the times of the captures.

    .venv/bin/python tests/benchmarks/retention.py [--leads 100000] [--only sqlite]

Four clients capture leads, each with a pause of 20 ms after each answer: first while nothing is erased, then with the
setting, until all old leads are gone.
"""

import argparse
import http.client
import statistics
import sys
import tempfile
import threading
import time
from datetime import timedelta
from itertools import count, islice
from pathlib import Path
from typing import Self

sys.path[:0] = [str(Path(__file__).parents[2]), str(Path(__file__).parents[1])]

import search
from flask import Flask

from leadapi import create_app, storage
from leadapi.keys.service import OPERATOR
from leadapi.leads import captures
from leadapi.leads.captures import NewLead
from postgres import Postgres
from servers import Server

CLIENTS = 4
PAUSE_SECONDS = 0.02
USUAL_SECONDS = 45


class Load:
    """Clients that capture leads during the `with` statement, and how many seconds each capture took."""

    def __init__(self, server: Server, name: str) -> None:
        self._port, self._name = server.port, name
        self.seconds: list[float] = []
        self._is_done = threading.Event()
        self._threads = [threading.Thread(target=self._capture, args=(client,)) for client in range(CLIENTS)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._is_done.set()
        for thread in self._threads:
            thread.join()

    def _capture(self, client: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
        for number in count():
            body = f'{{"full_name": "John Doe", "email": "{self._name}{client}.{number}@example.com"}}'
            started = time.perf_counter()
            connection.request("POST", "/leads", body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            answer.read()
            self.seconds.append(time.perf_counter() - started)
            if answer.status != 201:
                raise SystemExit(f"a capture was answered with {answer.status}")
            if self._is_done.wait(PAUSE_SECONDS):
                return


def fill(app: Flask, number: int) -> None:
    """Store leads that were lost two days ago."""
    old = {"status": "lost", "created_at": storage.now() - timedelta(days=2), "updated_at": None}
    rest = (NewLead({**lead.fields, **old}) for lead in search.leads(number))
    with app.app_context():
        while chunk := list(islice(rest, search.CHUNK)):
            captures.capture(chunk, by=OPERATOR)


def percentiles(seconds: list[float]) -> tuple[float, float]:
    """The median and the 99th percentile, in milliseconds."""
    parts = statistics.quantiles(seconds, n=100)
    return parts[49] * 1000, parts[98] * 1000


def measure(name: str, url: str, number: int, folder: Path) -> None:
    """Fill, and capture without and with the setting."""
    app = create_app({"DATABASE_URL": url, "AUTO_MIGRATE": "on", "LOG_LEVEL": "ERROR"})
    fill(app, number)
    folder.mkdir()
    usual_server = Server({"DATABASE_URL": url}, folder, log=folder / "usual.log")
    with Load(usual_server, "usual") as usual:
        time.sleep(USUAL_SECONDS)
    usual_server.stop()
    server = Server({"DATABASE_URL": url, "RETENTION": "lost:1d"}, folder, log=folder / "log")
    started = time.monotonic()
    with Load(server, "meanwhile") as meanwhile:
        while server.get("/leads?status=lost&limit=1").json()["total"]:
            time.sleep(1)
        took = time.monotonic() - started
    server.stop()
    p50, p99 = percentiles(usual.seconds)
    p50_meanwhile, p99_meanwhile = percentiles(meanwhile.seconds)
    print(
        f"| {name} | {took:.0f} s | {number / took:.0f} | {p50:.1f} | {p50_meanwhile:.1f} | {p99:.1f}"
        f" | {p99_meanwhile:.1f} | {p99_meanwhile / p99:.2f} |",
        flush=True,
    )


def main() -> None:
    """Measure both databases."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--leads", type=int, default=100_000)
    parser.add_argument("--only", choices=["sqlite", "postgresql"])
    options = parser.parse_args()

    print("| | erased in | leads/s | p50 | p50 meanwhile | p99, ms | p99 meanwhile, ms | ratio |")
    print("|---|---|---|---|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        if options.only != "postgresql":
            measure("SQLite", f"sqlite:///{folder}/leads.db", options.leads, folder / "sqlite")
        if options.only != "sqlite":
            postgres = Postgres(durable=True)
            measure("PostgreSQL", postgres.new_database(), options.leads, folder / "postgresql")
            postgres.remove()


if __name__ == "__main__":
    main()
