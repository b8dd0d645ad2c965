"""Measures the service as an operator would run it, on SQLite and on PostgreSQL.

    .venv/bin/python tests/benchmarks/run.py [--rounds 5] [--seconds 3] [--large 1000000]

It needs wrk (apt-get install wrk). Every round measures everything once, one after the other, so
that a noisy minute disturbs all alike; what is printed are medians over the rounds. The times of a
request can be compared with /health of the same run, which is the least that a request can cost.
"""

import argparse
import logging
import statistics
import sys
import tempfile
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[2]), str(Path(__file__).parents[1])]

import load
from sqlalchemy import Engine, create_engine, text

from leadapi import config, create_app
from leadapi.web.fields import Cursor
from postgres import Postgres
from servers import Server

# That a server is not up yet is no news.
logging.getLogger("urllib3").setLevel(logging.ERROR)

SMALL = 1000
SOURCES = 10
COLUMNS = "full_name, email, email_key, company, message, source, created_at"
ROW = """
    'John Doe ' || i, 'john' || i || '@example.com', 'john' || i || '@example.com', 'Example Inc',
    'Interested in product', 'source-' || (i % :sources), {time}
"""
FILL = {
    "sqlite": f"""
        INSERT INTO leads ({COLUMNS})
        WITH RECURSIVE numbers (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM numbers WHERE i < :size)
        SELECT {ROW.format(time="'2026-02-28 10:00:00.000000'")} FROM numbers
    """,
    "postgresql": f"""
        INSERT INTO leads ({COLUMNS})
        SELECT {ROW.format(time="timestamptz '2026-02-28 10:00:00Z'")} FROM generate_series(1, :size) AS numbers (i)
    """,
}
# What is measured: a name, an address, and how it is loaded.
SCENARIOS = [
    ("/health", "/health", None),
    ("list of 50", "/leads?limit=50", None),
    ("last page by cursor", "/leads?limit=50&after={last}", None),
    ("list by email", "/leads?email=john{middle}@example.com", None),
    ("page of a source", "/leads?source=source-3&limit=50", None),
    ("POST", "/leads", "post"),
    ("half POST, half list", "/leads", "mixed"),
]

Results = dict[tuple[str, int, str], list[load.Sample]]


class Service:
    """A running service with so many leads."""

    def __init__(self, name: str, url: str, size: int, folder: Path, settings: Mapping[str, str] | None = None) -> None:
        self.name, self.url, self.size = name, url, size
        self.engine = _fill(url, size)
        folder.mkdir()
        self.server = Server({"DATABASE_URL": url, **(settings or {})}, folder, log=folder / "log")

    def measure(
        self, path: str, *, seconds: int, script: str | None, headers: Mapping[str, str] | None = None
    ) -> load.Sample:
        """One sample of an address; what it has added is taken away again."""
        address = path.format(last=Cursor.encode(self.size - 50), middle=self.size // 2)
        master = self.server.process.pid
        sample = load.measure(self.server.url + address, master, seconds=seconds, script=script, headers=headers)
        if script:
            self.remove_new()
        return sample

    def remove_new(self) -> None:
        """Take away what came after the filling."""
        with self.engine.begin() as connection:
            connection.execute(text("DELETE FROM leads WHERE id > :size"), {"size": self.size})


def _fill(url: str, size: int) -> Engine:
    create_app({"DATABASE_URL": url, "AUTO_MIGRATE": "on", "LOG_LEVEL": "WARNING"})
    engine = create_engine(config.load({"DATABASE_URL": url}).database_url)
    with engine.begin() as connection:
        connection.execute(text(FILL[engine.dialect.name]), {"size": size, "sources": SOURCES})
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("ANALYZE" if engine.dialect.name == "sqlite" else "VACUUM ANALYZE"))
    return engine


def run(services: list[Service], rounds: int, seconds: int) -> Results:
    """Every scenario of every service, round after round."""
    results: Results = defaultdict(list)
    for number in range(1, rounds + 1):
        print(f"round {number} of {rounds}", file=sys.stderr)
        for name, path, script in SCENARIOS:
            for service in services:
                sample = service.measure(path, seconds=seconds, script=script)
                results[service.name, service.size, name].append(sample)
    return results


def report(results: Results, services: list[Service]) -> None:
    """A table for the README."""
    print("| database | leads | request | requests/s | p50 ms | p99 ms | CPU ms | CPU / health | errors |")
    print("|---|---|---|---|---|---|---|---|---|")
    for service in services:
        least = statistics.median(sample.cpu for sample in results[service.name, service.size, "/health"])
        for name, _, _ in SCENARIOS:
            samples = results[service.name, service.size, name]
            rate, p50, p99, cpu = (
                statistics.median(getattr(sample, value) for sample in samples)
                for value in ("rate", "p50", "p99", "cpu")
            )
            errors = sum(sample.errors for sample in samples)
            print(
                f"| {service.name} | {service.size:,} | {name} | {rate:.0f} | {p50:.1f} | {p99:.1f}"
                f" | {cpu:.2f} | {cpu / least:.2f} | {errors} |"
            )
    for service in services:
        memory = load.memory_mb(service.server.process.pid)
        print(f"A worker of {service.name} with {service.size:,} leads has {memory:.0f} MB.")


def main() -> None:
    """Fill, measure, report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--large", type=int, default=1_000_000)
    parser.add_argument("--only", choices=["sqlite", "postgresql"])
    options = parser.parse_args()

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        postgres = Postgres(durable=True)
        services = []
        try:
            for size in (SMALL, options.large):
                if options.only != "postgresql":
                    services.append(Service("SQLite", f"sqlite:///{folder}/{size}.db", size, folder / f"sqlite-{size}"))
                if options.only != "sqlite":
                    services.append(Service("PostgreSQL", postgres.new_database(), size, folder / f"pg-{size}"))
            if options.only != "sqlite":
                # Without the triggers that keep the total, to tell what keeping it costs. The other one
                # is for readers who walk the pages.
                bare = Service("PostgreSQL, no total", postgres.new_database(), SMALL, folder / "bare")
                with bare.engine.begin() as connection:
                    connection.execute(text("ALTER TABLE leads DISABLE TRIGGER USER"))
                    connection.execute(text("ALTER TABLE leads ENABLE TRIGGER announce_new_leads"))
                services.append(bare)
            report(run(services, options.rounds, options.seconds), services)
        finally:
            for service in services:
                service.server.stop()
                service.engine.dispose()
            postgres.remove()


if __name__ == "__main__":
    main()
