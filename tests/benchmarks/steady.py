"""Measures how soon the service answers, and whether a worker keeps its size while it works.

    .venv/bin/python tests/benchmarks/steady.py [--starts 5] [--requests 100000]

It needs wrk (apt-get install wrk).
"""

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[2]), str(Path(__file__).parents[1])]

import load
from run import SMALL, Service

from postgres import Postgres
from servers import Server

FEW = 1000


def start_seconds(service: Service, folder: Path) -> float:
    """From the command to the first list, on a database that is migrated."""
    started = time.perf_counter()
    server = Server({"DATABASE_URL": service.url}, folder, log=folder / "log")
    status = server.get("/leads").status
    seconds = time.perf_counter() - started
    server.stop()
    if status != 200:
        raise SystemExit(f"{service.name}: the first answer was {status}")
    return seconds


def memory_after(service: Service, requests: int) -> list[float]:
    """The size of a worker in MB after the first requests, and after all of them: half lists, half POSTs."""
    done = 0.0
    sizes = []
    for goal, seconds in ((FEW, 1), (requests, 10)):
        while done < goal:
            sample = service.measure("/leads", seconds=seconds, script="mixed")
            if sample.errors:
                raise SystemExit(f"{service.name}: {sample.errors} requests failed")
            done += sample.rate * seconds
        sizes.append(load.memory_mb(service.server.process.pid))
    return sizes


def main() -> None:
    """Start again and again, then go on for long."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--starts", type=int, default=5)
    parser.add_argument("--requests", type=int, default=100_000)
    options = parser.parse_args()

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        postgres = Postgres(durable=True)
        for name, url in (("SQLite", f"sqlite:///{folder}/leads.db"), ("PostgreSQL", postgres.new_database())):
            service = Service(name, url, SMALL, folder / name)
            first, last = memory_after(service, options.requests)
            service.server.stop()
            starts = [start_seconds(service, folder / name) for _ in range(options.starts)]
            service.engine.dispose()
            print(
                f"{name}: the first answer after {statistics.median(starts):.2f} s; a worker had {first:.1f} MB after"
                f" {FEW:,} requests and {last:.1f} MB after {options.requests:,} ({last / first - 1:+.1%})"
            )
        postgres.remove()


if __name__ == "__main__":
    main()
