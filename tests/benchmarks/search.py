"""Measures lists, searches and numbers with many leads, at the server: without a network and without gunicorn.

    .venv/bin/python tests/benchmarks/search.py [--leads 1000000] [--url postgresql://localhost/empty] [--folder DIR]

Without --url it uses SQLite. The PostgreSQL of the tests has no pg_trgm: give the URL of an empty database of one that
has it.
"""

import argparse
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from flask import Flask

from leadapi import create_app
from leadapi.keys.service import OPERATOR
from leadapi.leads import captures
from leadapi.leads.captures import NewLead
from leadapi.storage import db

CHUNK = 4000
ROUNDS = 7
YEARS = timedelta(730)
SYLLABLES = ("an", "be", "cor", "di", "el", "fa", "gen", "ha", "is", "jo", "ka", "lu", "mo", "nor", "pe", "que", "ri")
COMMON = (
    "we",
    "would",
    "like",
    "to",
    "know",
    "more",
    "about",
    "your",
    "product",
    "and",
    "the",
    "price",
    "please",
    "call",
)
STATUSES = ("new", "contacted", "qualified", "converted", "lost")
# The frequent word is in every fifth message, and the rare one in ten of a million.
FREQUENT, RARE = "webinar", "zeppelin"
REQUESTS = {
    "list of 50": "/leads?limit=50",
    "list, newest first": "/leads?limit=50&sort=-id",
    "list by status": "/leads?limit=50&sort=-id&status=qualified",
    "list by source": "/leads?limit=50&sort=-id&source=source-3",
    "list by source and status": "/leads?limit=50&sort=-id&source=source-3&status=lost",
    "list since a day": "/leads?limit=50&created_from={day}",
    "list since a year": "/leads?limit=50&created_from={year}",
    "list by last change": "/leads?limit=50&sort=-updated_at",
    "changed since a day": "/leads?limit=50&sort=updated_at&updated_from={day}",
    "changed since a year": "/leads?limit=50&sort=updated_at&updated_from={year}",
    "search, rare": f"/leads?limit=50&sort=-id&q={RARE}",
    "search, frequent": f"/leads?limit=50&sort=-id&q={FREQUENT}",
    "search, two words": f"/leads?limit=50&sort=-id&q={FREQUENT}+price",
    "search, in every lead": "/leads?limit=50&sort=-id&q=example",
    "search, two letters": "/leads?limit=50&sort=-id&q=qu",
    "search, none": "/leads?limit=50&sort=-id&q=zzyzx",
    "search, frequent, by status": f"/leads?limit=50&sort=-id&q={FREQUENT}&status=lost",
    "numbers, 30 days": "/stats?by=day&from={month}",
    "numbers, 365 days": "/stats?by=day&from={year}",
    "numbers by source": "/stats?by=source",
    "numbers by status": "/stats?by=status",
}


def leads(number: int) -> Iterator[NewLead]:
    """Leads of the last two years, the same in each run."""
    chance = random.Random(1)
    words = ["".join(chance.choices(SYLLABLES, k=chance.randint(2, 4))) for _ in range(5000)]
    now = datetime.now(UTC).replace(microsecond=0)
    for place in range(number):
        message = [chance.choice(COMMON if chance.random() < 0.5 else words) for _ in range(chance.randint(18, 50))]
        if place % 5 == 0:
            message.append(FREQUENT)
        if place % 100_000 == 77:
            message.append(RARE)
        created = now - YEARS * (1 - place / number)
        fields = {
            "full_name": f"{chance.choice(words).title()} {chance.choice(words).title()}",
            "email": f"{chance.choice(words)}.{place}@{chance.choice(words)}.example.com",
            "company": f"{chance.choice(words).title()} Inc" if place % 3 else None,
            "message": " ".join(message)[:300],
            "source": f"source-{chance.randrange(10)}" if place % 10 else None,
            "status": chance.choice(STATUSES),
            "attributes": {"phone": f"+1 555 {place:07}", "page": f"/{chance.choice(words)}", "utm_medium": "mail"},
            "created_at": created,
        }
        if place % 4 == 0:
            fields["updated_at"] = created + (now - created) * chance.random()
        yield NewLead(fields)


def fill(app: Flask, number: int) -> None:
    """Store leads as an import does."""
    started = time.perf_counter()
    with app.app_context():
        rest = leads(number)
        while chunk := list(islice(rest, CHUNK)):
            captures.capture(chunk, by=OPERATOR)
        with db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            if connection.dialect.name == "postgresql":
                connection.exec_driver_sql("SET statement_timeout = 0")
                connection.exec_driver_sql("VACUUM ANALYZE")
    print(f"{number:,} leads stored in {time.perf_counter() - started:.0f} s", file=sys.stderr)


def measure(app: Flask, requests: Mapping[str, str] = REQUESTS, rounds: int = ROUNDS) -> None:
    """Every request in several rounds, and a table of medians."""
    now = datetime.now(UTC)
    days = {"day": 1, "month": 29, "year": 364}
    since = {name: now - timedelta(number) for name, number in days.items()}
    client = app.test_client()
    took: dict[str, list[float]] = {name: [] for name in requests}
    totals: dict[str, int] = {}
    for _ in range(rounds):
        for name, path in requests.items():
            form = "%Y-%m-%d" if path.startswith("/stats") else "%Y-%m-%dT%H:%M:%SZ"
            address = path.format(**{key: f"{moment:{form}}" for key, moment in since.items()})
            started = time.perf_counter()
            response = client.get(address)
            took[name].append(time.perf_counter() - started)
            totals[name] = response.json.get("total", 1) if response.json and response.status_code == 200 else -1
    print("| request | total | median ms | least ms |\n|---|---|---|---|")
    for name, seconds in took.items():
        print(f"| {name} | {totals[name]:,} | {statistics.median(seconds) * 1000:.1f} | {min(seconds) * 1000:.1f} |")


def main() -> None:
    """Fill and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--leads", type=int, default=1_000_000)
    parser.add_argument("--url", help="an empty PostgreSQL database")
    parser.add_argument("--folder", help="where to keep SQLite's file; by default it is deleted")
    options = parser.parse_args()

    with tempfile.TemporaryDirectory() as temporary:
        url = options.url or f"sqlite:///{options.folder or temporary}/leads.db"
        app = create_app({"DATABASE_URL": url, "AUTO_MIGRATE": "on", "LOG_LEVEL": "ERROR"})
        if "Link" not in app.test_client().get("/leads?limit=1").headers:
            fill(app, options.leads)
        measure(app)


if __name__ == "__main__":
    main()
