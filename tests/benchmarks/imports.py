"""Imports many rows, once undisturbed and once killed on the way, and measures the pace and the memory that it takes.

.venv/bin/python tests/benchmarks/imports.py [--rows 1000000] [--only sqlite]
"""

import argparse
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[2]), str(Path(__file__).parents[1])]

from sqlalchemy import create_engine, text

from leadapi import config, create_app
from postgres import Postgres
from servers import ROOT


def write_rows(path: Path, rows: int) -> None:
    """A file as a spreadsheet has it; the addresses come in no order."""
    numbers = random.Random(17)
    with path.open("w", newline="") as file:
        file.write("Full Name,Email,Company,Message,Source,Phone\r\n")
        for number in range(rows):
            address = f"john.{numbers.getrandbits(40):x}.{number}@mail{number % 2000}.example.com"
            file.write(
                f'John Doe {number},{address},"Example, Inc",Interested in product {number},'
                f"source-{number % 10},+1 555 {number:07}\r\n"
            )


def start(url: str, file: Path) -> subprocess.Popen[bytes]:
    """An import in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "flask", "leads", "import", str(file)],
        cwd=file.parent,
        env=os.environ | {"DATABASE_URL": url, "FLASK_APP": str(ROOT / "wsgi.py"), "PYTHONPATH": str(ROOT)},
    )


def count(url: str) -> tuple[int, int, int, int]:
    """How many leads there are, how many are counted, how many people, and how many events."""
    engine = create_engine(config.load({"DATABASE_URL": url}).database_url)
    statements = (
        "SELECT count(*) FROM leads",
        """SELECT coalesce(sum(number), 0) + (
            SELECT count(*) FROM leads WHERE id > (SELECT number FROM lead_counts WHERE counted = 'mark')
        ) FROM lead_counts WHERE counted = ''""",
        "SELECT count(DISTINCT email_key) FROM leads",
        "SELECT count(DISTINCT lead_id) FROM events WHERE type = 'lead.created'",
    )
    with engine.connect() as connection:
        leads, counted, people, events = (int(connection.scalar(text(statement)) or 0) for statement in statements)
    engine.dispose()
    return leads, counted, people, events


def undisturbed(name: str, url: str, file: Path, rows: int) -> None:
    """Import a file in one go."""
    create_app({"DATABASE_URL": url, "AUTO_MIGRATE": "on"})
    started = time.perf_counter()
    process = start(url, file)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - started
    cpu = usage.ru_utime + usage.ru_stime
    print(
        f"{name}: {rows:,} rows in {seconds:.1f} s, {rows / seconds:,.0f} rows/s; {cpu:.1f} s of processor time,"
        f" which is {rows / cpu:,.0f} rows/s; {usage.ru_maxrss / 1024:.0f} MB at most;"
        f" exit status {process.returncode}; leads, total, people, events: {count(url)}"
    )


def killed(name: str, url: str, file: Path, rows: int) -> None:
    """Import a file, kill that when about half is done, and run it again."""
    create_app({"DATABASE_URL": url, "AUTO_MIGRATE": "on"})
    process = start(url, file)
    while (done := count(url)[1]) < rows // 2 and process.poll() is None:
        # There is nothing to wait for but the database.
        time.sleep(0.5)
    process.kill()
    process.wait()
    again = start(url, file).wait()
    print(
        f"{name}: killed after {done:,} rows, run again with status {again}; leads, total, people, events: {count(url)}"
    )


def main() -> None:
    """Write a file, and import it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--only", choices=["sqlite", "postgresql"])
    options = parser.parse_args()
    # What is printed comes between what the imports print.
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # it is a text file
    # A process that is started begins with the memory of this one.
    print(f"before: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        file = folder / "leads.csv"
        write_rows(file, options.rows)
        if options.only != "postgresql":
            undisturbed("SQLite", f"sqlite:///{folder}/one.db", file, options.rows)
            killed("SQLite", f"sqlite:///{folder}/two.db", file, options.rows)
        if options.only != "sqlite":
            postgres = Postgres(durable=True)
            undisturbed("PostgreSQL", postgres.new_database(), file, options.rows)
            killed("PostgreSQL", postgres.new_database(), file, options.rows)
            postgres.remove()


if __name__ == "__main__":
    main()
