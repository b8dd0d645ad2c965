"""Measures what the guards cost a POST: keys, limits, proxies, origins and traps, all on against all off.

    .venv/bin/python tests/benchmarks/guards.py [--rounds 7] [--seconds 2]

It needs wrk and redis-server (apt-get install wrk redis-server).
"""

import argparse
import itertools
import statistics
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[2]), str(Path(__file__).parents[1])]

from run import SMALL, Service

from leadapi import create_app
from leadapi.keys.service import create_key
from postgres import Postgres
from redis_server import RedisServer

GUARDS = {
    "ENV": "production",
    "AUTH": "on",
    # So many that nobody is refused.
    "RATE_LIMIT_CAPTURE": "1000000000/minute",
    "RATE_LIMIT_API": "1000000000/minute",
    "TRUSTED_PROXIES": "1",
    "CORS_ORIGINS": "https://www.example.com",
    "MIN_FILL_SECONDS": "3",
    "FORM_SECRET": "s" * 32,
    "AUTO_MIGRATE": "on",
}
SENT = {"Origin": "https://www.example.com", "X-Forwarded-For": "192.0.2.1"}


def main() -> None:
    """Start each service, and load one after the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=int, default=2)
    options = parser.parse_args()

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        postgres, redis = Postgres(durable=True), RedisServer()
        variants = {"off": {}, "on": GUARDS, "on, counted in Redis": GUARDS | {"REDIS_URL": redis.url}}
        services = {}
        for number, (database, variant) in enumerate(itertools.product(("SQLite", "PostgreSQL"), variants)):
            url = f"sqlite:///{folder}/{number}.db" if database == "SQLite" else postgres.new_database()
            services[database, variant] = Service(variant, url, SMALL, folder / str(number), variants[variant])
        sent = {which: {} if which[1] == "off" else SENT | key_for(service) for which, service in services.items()}
        cpu: dict[tuple[str, str, str], list[float]] = defaultdict(list)
        for _ in range(options.rounds):
            for script in ("post", "once"):
                for which, service in services.items():
                    sample = service.measure("/leads", seconds=options.seconds, script=script, headers=sent[which])
                    if sample.errors:
                        raise SystemExit(f"{which}: {sample.errors} requests failed")
                    cpu[*which, script].append(sample.cpu)
        print("| database | guards | CPU ms | against off | with an Idempotency-Key | against off without one |")
        print("|---|---|---|---|---|---|")
        for which, service in services.items():
            bare = statistics.median(cpu[which[0], "off", "post"])
            plain, once = (statistics.median(cpu[*which, script]) for script in ("post", "once"))
            print(f"| {' | '.join(which)} | {plain:.2f} | {plain / bare:.2f} | {once:.2f} | {once / bare:.2f} |")
            service.server.stop()
            service.engine.dispose()
        redis.kill()
        postgres.remove()


def key_for(service: Service) -> dict[str, str]:
    """The header with a new key that may capture leads."""
    app = create_app({"DATABASE_URL": service.url})
    with app.app_context():
        return {"Authorization": f"Bearer {create_key(name='benchmark', scopes=['capture']).text}"}


if __name__ == "__main__":
    main()
