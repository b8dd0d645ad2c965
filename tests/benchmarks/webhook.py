"""Measures what one webhook costs POST /leads, with the deliveries inside the server.

    .venv/bin/python tests/benchmarks/webhook.py [--rounds 5] [--seconds 3] [--before DIR]

It needs wrk. Every round loads each service once, one after the other; printed are medians over the rounds. `--before`
names a checkout of another version to compare with.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[2]), str(Path(__file__).parents[1])]

import load
from sqlalchemy import create_engine, text

from leadapi import config
from postgres import Postgres
from servers import Server, free_port

ROOT = Path(__file__).parents[2]
WITH_WEBHOOK = "one webhook"


def main() -> None:
    """Start the services, load them, report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--before", type=Path)
    options = parser.parse_args()
    versions = {"no destination": ROOT, WITH_WEBHOOK: ROOT}
    if options.before:
        versions["before"] = options.before
    port = free_port()
    sink = subprocess.Popen([sys.executable, str(Path(__file__).with_name("sink.py")), str(port)])
    postgres = Postgres(durable=True)
    try:
        with tempfile.TemporaryDirectory() as folder:
            for database in ("SQLite", "PostgreSQL"):
                urls = {
                    name: postgres.new_database() if database == "PostgreSQL" else f"sqlite:///{folder}/{number}.db"
                    for number, name in enumerate(versions)
                }
                samples = run(versions, urls, f"http://127.0.0.1:{port}/", options.rounds, options.seconds)
                report(database, samples)
    finally:
        sink.kill()
        postgres.remove()


def run(
    versions: dict[str, Path], urls: dict[str, str], target: str, rounds: int, seconds: int
) -> dict[str, list[load.Sample]]:
    """Samples of each service."""
    samples = defaultdict(list)
    services = {}
    for name, root in versions.items():
        folder = Path(tempfile.mkdtemp())
        environ = {"DATABASE_URL": urls[name], "AUTO_MIGRATE": "on", "WEBHOOK_ALLOW_PRIVATE": "on"}
        services[name] = Server(environ | {"PYTHONPATH": str(root)}, folder, log=folder / "log")
    assert services[WITH_WEBHOOK].post("/destinations", json={"kind": "webhook", "url": target}).status == 201
    engine = create_engine(config.load({"DATABASE_URL": urls[WITH_WEBHOOK]}).database_url)
    for number in range(rounds):
        for name in list(services)[:: 1 if number % 2 else -1]:
            server = services[name]
            sample = load.measure(f"{server.url}/leads", server.process.pid, seconds=seconds, script="post")
            samples[name].append(sample)
            # What is still due would be sent while another service is measured.
            if name == WITH_WEBHOOK:
                with engine.begin() as connection:
                    connection.execute(text("DELETE FROM deliveries WHERE state = 'due'"))
                time.sleep(1)
    with engine.connect() as connection:
        delivered = connection.scalar(text("SELECT count(*) FROM deliveries"))
    print(f"{delivered / rounds / seconds:.0f} deliveries a second were sent meanwhile.")
    engine.dispose()
    for server in services.values():
        server.stop()
    return samples


def report(database: str, samples: dict[str, list[load.Sample]]) -> None:
    """A row for each service."""
    reference = samples["no destination"]
    for name, own in samples.items():
        rate, cpu, p99 = (statistics.median(getattr(each, value) for each in own) for value in ("rate", "cpu", "p99"))
        ratio = statistics.median(a.rate / b.rate for a, b in zip(own, reference, strict=True))
        errors = sum(each.errors for each in own)
        print(f"| {database} | {name} | {rate:.0f} | {ratio:.2f} | {cpu:.2f} | {p99:.0f} | {errors} |", flush=True)


if __name__ == "__main__":
    main()
