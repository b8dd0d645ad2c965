"""Measures deliveries: that each event arrives, how soon, and whether many rows make them slow.

.venv/bin/python tests/benchmarks/deliveries.py [--only sqlite] [PART...]
"""

import argparse
import logging
import os
import random
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from itertools import count
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[2]), str(Path(__file__).parents[1])]

import load
import urllib3
from bench import Bench
from sqlalchemy import text

import webhook_receiver
from leadapi import storage
from leadapi.destinations import leases, retention
from postgres import Postgres
from servers import Server
from webhook_receiver import Behaviour

# That a server is not up yet, or was killed, is no news.
logging.getLogger("urllib3").setLevel(logging.ERROR)

IMPATIENT = Path(__file__).parents[1] / "destinations" / "impatient.py"
EVENTS = 2000
KILLS = 5
BACKLOG = 10_000
ROWS = 1_000_000
TIME = {"sqlite": "'{}'", "postgresql": "timestamptz '{}Z'"}
SERIES = {
    "sqlite": "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {}) SELECT {} FROM n",
    "postgresql": "SELECT {1} FROM generate_series(1, {0}) AS n (i)",
}
# How receivers behave, and how often.
FAULTS: dict[Behaviour, int] = {
    204: 75,
    500: 8,
    webhook_receiver.RESET: 8,
    429: 5,
    webhook_receiver.HANG: 2,
    webhook_receiver.DRIP: 2,
}

_numbers = count(1)


def subscribe(server: Server, url: str, **fields: object) -> None:
    """Create a destination."""
    assert server.post("/destinations", json={"kind": "webhook", "url": url, **fields}).status == 201


def new_lead(**fields: object) -> dict[str, object]:
    """A lead with an address of its own."""
    return {"full_name": "John Doe", "email": f"john.{os.getpid()}.{next(_numbers)}@example.com", **fields}


def states(server: Server) -> dict[str, int]:
    """How many deliveries of the first destination are in each state."""
    names = ("due", "delivered", "failed", "cancelled")
    path = "/destinations/1/deliveries?limit=1&state="
    return {name: server.get(path + name).json()["total"] for name in names}


def settle(server: Server) -> dict[str, int]:
    """The states as soon as nothing is due."""
    while (found := states(server))["due"]:
        time.sleep(0.2)  # how often it asks
    return found


def faults(bench: Bench) -> str:
    """Leads are posted while receivers fail at random and workers are killed."""
    choose = random.Random(1).choices
    receiver = bench.receive(lambda _: choose([*FAULTS], [*FAULTS.values()])[0])
    server = bench.serve(str(IMPATIENT))
    subscribe(server, receiver.url)
    again = urllib3.Retry(50, allowed_methods=None, backoff_factor=0.05, backoff_max=0.2)
    stored = []

    def post(number: int) -> None:
        headers = {"Idempotency-Key": f"lead-{number}"}
        response = server.pool.request("POST", "/leads", json=new_lead(), headers=headers, retries=again)
        stored.append(response.json()["id"])

    with ThreadPoolExecutor(8) as threads:
        sent = [threads.submit(post, number) for number in range(EVENTS)]
        for number in range(KILLS):
            while len(stored) < EVENTS * (number + 0.5) / KILLS:
                time.sleep(0.01)  # how often it looks
            os.kill(load.workers(server.process.pid)[-1], signal.SIGKILL)
        for each in sent:
            each.result()
    found = settle(server)
    arrived = {each.id: each.body["data"]["id"] for each in receiver.accepted()}
    with bench.app().app_context(), storage.read() as connection:
        leased = connection.scalar(text("SELECT count(*) FROM deliveries WHERE lease IS NOT NULL"))
    assert set(arrived.values()) == set(stored)
    return f"{len(arrived)} of {EVENTS} arrived by {len(receiver.received)} requests; {found}; {leased} leased"


def once(bench: Bench) -> str:
    """Three dispatchers deliver each event once."""
    receiver = bench.receive()
    server = bench.serve(DELIVERY="external")
    subscribe(server, receiver.url)
    for _ in range(EVENTS // 500):
        server.post("/leads/batch", json={"items": [new_lead() for _ in range(500)]})
    started = time.monotonic()
    for _ in range(3):
        bench.deliver()
    settle(server)
    seconds = time.monotonic() - started
    ids = [each.id for each in receiver.received]
    return f"{len(ids)} requests for {len(set(ids))} of {EVENTS} events in {seconds:.0f} s"


def latency(bench: Bench) -> str:
    """From the response to a POST until the receiver has the event, one event at a time."""
    found = []
    for delivery in ("embedded", "external"):
        receiver = bench.receive()
        server = bench.serve(DELIVERY=delivery)
        name = f"{delivery}-{next(_numbers)}"
        subscribe(server, receiver.url, sources=[name])
        if delivery == "external":
            bench.deliver()
        time.sleep(1)  # an idle dispatcher is measured
        delays = []
        for number in range(1, 101):
            assert server.post("/leads", json=new_lead(source=name)).status == 201
            answered = time.time()
            receiver.until(number)
            delays.append(1000 * (receiver.received[-1].time - answered))
            time.sleep(random.uniform(0.1, 0.2))  # one event at a time, at any moment of a poll
        found.append(f"{delivery}: median {statistics.median(delays):.1f} ms, at most {max(delays):.0f} ms")
        server.stop()
    return "; ".join(found)


def hanging(bench: Bench) -> str:
    """One receiver hangs with a backlog; how long the events of a healthy one take."""
    stuck, healthy = bench.receive(lambda _: webhook_receiver.HANG), bench.receive()
    server = bench.serve()
    subscribe(server, stuck.url, sources=["stuck"])
    subscribe(server, healthy.url, sources=["healthy"])
    for _ in range(BACKLOG // 500):
        server.post("/leads/batch", json={"items": [new_lead(source="stuck") for _ in range(500)]})
    delays = []
    for number in range(1, 301):
        assert server.post("/leads", json=new_lead(source="healthy")).status == 201
        answered = time.time()
        healthy.until(number)
        delays.append(1000 * (healthy.received[-1].time - answered))
        time.sleep(0.1)  # one event at a time
    due = states(server)["due"]
    return f"{due} due for one; the other's median {statistics.median(delays):.0f} ms, at most {max(delays):.0f} ms"


def million(bench: Bench) -> str:
    """Claims and retention with a million deliveries."""
    app = bench.app()
    with app.app_context():
        old = f"{storage.now() - timedelta(days=40):%Y-%m-%d %H:%M:%S}.000000"
        fill(old)
        claims = []
        for _ in range(300):
            add_due()
            claims.append(timed(claim))
        server = bench.serve(DELIVERY="external")
        with captures(server) as taken:
            purge = retention.purge(storage.now())
            steps = [timed(lambda: next(purge)) for _ in range(ROWS // 500 + 1)]
        with storage.read() as connection:
            left = connection.scalar(text("SELECT count(*) FROM deliveries WHERE state = 'delivered'"))
    slow = statistics.quantiles(taken, n=100)[98]
    return (
        f"claim: median {statistics.median(claims):.1f} ms, at most {max(claims):.1f} ms; retention: {left} left,"
        f" a transaction {statistics.median(steps):.0f} ms, at most {max(steps):.0f} ms;"
        f" {len(taken)} captures meanwhile, median {statistics.median(taken):.0f} ms, p99 {slow:.0f} ms"
    )


def fill(old: str) -> None:
    """Add a destination with a million deliveries that are delivered."""
    name = storage.db.engine.dialect.name
    now, then = TIME[name].format("2026-02-28 10:00:00.000000"), TIME[name].format(old)
    columns = "event_id, destination_id, lead_id, type, state, attempts, last_attempt_at, status, duration_ms"
    rows = SERIES[name].format(ROWS, f"i, 1, i, 'lead.created', 'delivered', 1, {then}, 204, 5")
    with storage.write() as tx:
        if name == "postgresql":
            tx.execute(text("SET LOCAL statement_timeout = 0"))
        tx.execute(
            text(
                "INSERT INTO destinations (kind, url, events, created_at)"
                f""" VALUES ('webhook', 'http://127.0.0.1:9', '["lead.created"]', {now})"""
            )
        )
        tx.execute(text(f"INSERT INTO deliveries ({columns}) {rows}"))


def add_due() -> None:
    """Add a delivery that is due."""
    now = storage.now()
    with storage.write() as tx:
        tx.execute(
            text(
                "INSERT INTO deliveries (event_id, destination_id, lead_id, type, state, due_at)"
                " SELECT max(id) + 1, 1, 1, 'lead.created', 'due', :now FROM deliveries"
            ),
            {"now": now if tx.dialect.name == "postgresql" else f"{now:%Y-%m-%d %H:%M:%S}.000000"},
        )


def claim() -> None:
    """Find and claim what is due, as a dispatcher does."""
    now = storage.now()
    with storage.read() as connection:
        [row] = leases.due_destinations(connection, now)
    with storage.write(asynchronous=True) as tx:
        assert len(leases.claim(tx, row.id, now, most=4)) == 1


def timed(call: Callable[[], object]) -> float:
    """How many milliseconds a call takes."""
    started = time.perf_counter()
    call()
    return 1000 * (time.perf_counter() - started)


@contextmanager
def captures(server: Server) -> Iterator[list[float]]:
    """Store leads meanwhile; the list gets how many milliseconds each took."""
    taken: list[float] = []
    going = [True]

    def post() -> None:
        while going:
            taken.append(timed(lambda: server.post("/leads", json=new_lead())))

    with ThreadPoolExecutor(2) as threads:
        sent = [threads.submit(post) for _ in range(2)]
        yield taken
        going.clear()
    for each in sent:
        each.result()


def main() -> None:
    """Run the parts on each database, and print what they return."""
    parts = {part.__name__: part for part in (faults, once, latency, hanging, million)}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", choices=[*parts, []])
    parser.add_argument("--only", choices=["sqlite", "postgresql"])
    options = parser.parse_args()
    with ExitStack() as outer:
        folder = Path(outer.enter_context(tempfile.TemporaryDirectory()))
        postgres = None
        if options.only != "sqlite":
            postgres = Postgres(durable=True)
            outer.callback(postgres.remove)
        for part in options.parts or parts:
            for name in ("sqlite", "postgresql"):
                if options.only in (None, name):
                    url = (
                        postgres.new_database()
                        if postgres and name == "postgresql"
                        else f"sqlite:///{folder}/{part}.db"
                    )
                    with ExitStack() as stack:
                        result = parts[part](Bench(url, folder, stack))
                    print(f"{part}, {name}: {result}", flush=True)


if __name__ == "__main__":
    main()
