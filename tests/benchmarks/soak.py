"""Sends very many requests of every kind, and tells whether the service keeps its size.

    .venv/bin/python tests/benchmarks/soak.py [--requests 500000] [--url postgresql://localhost/empty]

Without --url it uses SQLite. Four clients send captures, lists, searches, pages of the inbox, forms and malformed
requests, and a receiver gets the events. At every hundredth of the requests it reads the memory, file descriptors and
threads of all processes, and the connections of the database. It compares the second tenth with the last one.
"""

import argparse
import http.client
import itertools
import multiprocessing
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[2]), str(Path(__file__).parents[1])]

import load
from sqlalchemy import NullPool, create_engine, text

from leadapi import config
from servers import Server, free_port, wait_until_listening

CLIENTS = 4
SAMPLES = 100
# Larger growth is told, unless it is one thread, file or connection.
MOST_GROWTH = 0.03
SETTINGS = {"AUTO_MIGRATE": "on", "WEBHOOK_ALLOW_PRIVATE": "on", "METRICS": "on"}
JSON = {"Content-Type": "application/json"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
PAGE = {"Accept": "text/html", "Sec-Fetch-Site": "same-origin"}
Request = tuple[str, str, str | None, dict[str, str]]
Sample = dict[str, float]


def requests(client: int) -> Iterator[Request]:
    """The requests of one client: of 20, 5 write leads and 2 are malformed."""
    for number in itertools.count():
        email = f"soak{client}.{number}@example.com"
        lead = f'{{"full_name": "Jane Doe", "email": "{email}", "message": "Word {number % 1000} of many, please"}}'
        near = 1 + number * CLIENTS
        yield "POST", "/leads", lead, JSON | {"Idempotency-Key": f"{client}.{number}"}
        yield "GET", "/leads?limit=10&sort=-id", None, {}
        yield "GET", f"/leads/{near}", None, {}
        yield "PATCH", f"/leads/{near}", f'{{"company": "Company {number}"}}', JSON
        yield "GET", f"/leads/{near}/events", None, {}
        yield "POST", "/leads", f"name=John+Doe&email=form.{email}&phone=12345&Budget={number}", FORM
        yield "GET", "/leads?source=none&limit=5", None, {}
        yield "POST", "/leads", lead, JSON
        yield "GET", f"/leads?email={email}", None, {}
        yield "POST", "/leads", lead, JSON | {"Prefer": "resolution=merge-duplicates"}
        yield "POST", "/leads", '{"full_name": "J", "email": 5}', JSON
        yield "GET", "/inbox?status=new" if number % 10 == 0 else "/health", None, PAGE
        yield "GET", f"/leads?q=company+{number}&limit=5" if number % 50 == 0 else "/ready", None, {}
        yield "POST", "/leads", "{" * 50, JSON
        yield "GET", "/stats?by=day" if number % 20 == 0 else "/stats?by=status", None, {}
        yield "GET", "/leads?limit=5&sort=-updated_at", None, {}
        yield "GET", "/openapi.json" if number % 100 == 0 else "/", None, {}
        yield "GET", "/metrics" if number % 20 == 0 else "/nothing", None, {}
        yield "GET", "/destinations/1/deliveries?limit=5&sort=-id", None, {}
        if number % 10 == 0:
            yield "DELETE", f"/leads/{near}", None, {}
        else:
            yield "GET", "/leads?limit=10", None, {}


def send(
    port: int, client: int, most: int, done: "Synchronized[int]", results: "multiprocessing.Queue[Counter[int]]"
) -> None:
    """Send requests on connections that are replaced now and then, and count the statuses."""
    statuses: Counter[int] = Counter()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    for number, (method, path, body, headers) in enumerate(itertools.islice(requests(client), most), start=1):
        if number % 1000 == 0:
            connection.close()
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            answer.read()
            statuses[answer.status] += 1
        except (OSError, http.client.HTTPException):
            connection.close()
            statuses[0] += 1
        if number % 50 == 0:
            with done.get_lock():
                done.value += 50
    results.put(statuses)


def sample(server: Server, url: str) -> Sample:
    """The sums over all processes of the server."""
    master = server.process.pid
    found = dict.fromkeys(["memory, MB", "threads", "file descriptors", "connections of the database"], 0.0)
    for process in [master, *load.workers(master)]:
        status = dict(line.split(":", 1) for line in Path(f"/proc/{process}/status").read_text().splitlines())
        found["memory, MB"] += int(status["VmRSS"].split()[0]) / 1024
        found["threads"] += int(status["Threads"])
        files = []
        for file in Path(f"/proc/{process}/fd").iterdir():
            with suppress(FileNotFoundError):
                files.append(str(file.readlink()))
        found["file descriptors"] += len(files)
        found["connections of the database"] += files.count(url.removeprefix("sqlite:///"))
    if not url.startswith("sqlite"):
        found["connections of the database"] = _count_connections(url)
    return found


def _count_connections(url: str) -> int:
    engine = create_engine(config.load({"DATABASE_URL": url}).database_url, poolclass=NullPool)
    with engine.connect() as connection:
        query = text("SELECT count(*) - 1 FROM pg_stat_activity WHERE datname = current_database()")
        number: int = connection.execute(query).scalar_one()
    return number


def run(server: Server, url: str, number: int) -> tuple[list[Sample], Counter[int]]:
    """Send so many requests; return the samples and how often each status came (0 is a lost connection)."""
    done: Synchronized[int] = multiprocessing.Value("L", 0)
    results: multiprocessing.Queue[Counter[int]] = multiprocessing.Queue()
    clients = [
        multiprocessing.Process(target=send, args=(server.port, client, number // CLIENTS, done, results))
        for client in range(CLIENTS)
    ]
    for each in clients:
        each.start()
    samples: list[Sample] = []
    while any(each.is_alive() for each in clients) and len(samples) < SAMPLES:
        if done.value >= number * (len(samples) + 1) / (SAMPLES + 1):
            samples.append(sample(server, url))
        time.sleep(0.02)
    statuses = sum((results.get() for _ in clients), Counter[int]())
    for each in clients:
        each.join()
    return samples, statuses


def main() -> None:
    """Serve, send, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=500_000)
    parser.add_argument("--url", help="an empty PostgreSQL database")
    options = parser.parse_args()

    with tempfile.TemporaryDirectory() as temporary:
        folder, port = Path(temporary), free_port()
        url = options.url or f"sqlite:///{folder}/leads.db"
        sink = subprocess.Popen([sys.executable, str(Path(__file__).with_name("sink.py")), str(port)])
        wait_until_listening(port)
        server = Server(SETTINGS | {"DATABASE_URL": url}, folder, log=folder / "log")
        hook = {"kind": "webhook", "url": f"http://127.0.0.1:{port}/", "events": ["lead.created"]}
        assert server.post("/destinations", hook).status == 201
        started = time.monotonic()
        samples, statuses = run(server, url, options.requests)
        seconds = time.monotonic() - started
        delivered = server.get("/destinations/1/deliveries?state=delivered&limit=1").json()["total"]
        server.stop()
        sink.terminate()
        sink.wait()

    print(f"{sum(statuses.values()):,} requests in {seconds:.0f} s, {delivered:,} deliveries")
    print(f"statuses: {dict(sorted(statuses.items()))}")
    print("The median of each tenth:")
    tenth = SAMPLES // 10
    for name in samples[0]:
        medians = [
            statistics.median(each[name] for each in samples[first : first + tenth])
            for first in range(0, len(samples), tenth)
        ]
        early, late = medians[1], medians[-1]
        verdict = "flat" if late <= max(early * (1 + MOST_GROWTH), early + 1) else "grows"
        print(f"| {name} | {' | '.join(f'{median:.1f}' for median in medians)} | {verdict} |")


if __name__ == "__main__":
    main()
