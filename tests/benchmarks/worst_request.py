"""Measures the CPU of the worst requests on a real server, and fails if one takes too much.

    .venv/bin/python tests/benchmarks/worst_request.py

It works on Linux only. Each request is sent three times, and the least of the three figures counts.
"""

import sys
import tempfile
from collections.abc import Iterable
from itertools import chain, tee
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[2]), str(Path(__file__).parents[1])]

import worst_requests
from worst_requests import Request

from leadapi import create_app
from leadapi.keys.service import create_key
from servers import Server

# The server takes 32 kB of headers.
LONGEST = 31_000
SETTINGS = {"AUTH": "on", "CORS_ORIGINS": worst_requests.SITE, "TRUSTED_PROXIES": "1", "WEB_CONCURRENCY": "1"}
SHOWN = 10


def main() -> None:
    """Print the worst requests without a key and with one, and exit with 1 if one exceeds its limit."""
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/leads.db"
        server = Server({"DATABASE_URL": url, **SETTINGS}, Path(folder), log=Path(folder, "log"))
        with create_app({"DATABASE_URL": url}).app_context():
            key = create_key(name="benchmark", scopes=["admin"]).text
        anonymous = chain(
            *(worst_requests.headers(name, LONGEST) for name in worst_requests.NAMES),
            worst_requests.targets(LONGEST),
            worst_requests.documents(),
            worst_requests.forms(),
        )
        dear = report(server, "without a key", tee(anonymous, 3), 0.15)
        # New people each time: a repeat is cheaper.
        batches = [worst_requests.batches(run) for run in "abc"]
        dear |= report(server, "with a key", batches, 0.5, Authorization=f"Bearer {key}")
        server.stop()
    sys.exit(dear)


def report(server: Server, title: str, rounds: Iterable[Iterable[Request]], limit: float, **headers: str) -> bool:
    """Print the worst requests; return whether one exceeds the limit.

    :param rounds: the same requests several times.
    """
    attempts = zip(*rounds, strict=True)
    costs = ((min(cpu(server, each, headers) for each in attempt), attempt[0].name) for attempt in attempts)
    found = sorted(costs, reverse=True)
    print(f"{title}: {len(found)} requests, limit {limit} s")
    for seconds, name in found[:SHOWN]:
        print(f"  {seconds:.3f} s  {name}")
    return found[0][0] > limit


def cpu(server: Server, request: Request, headers: dict[str, str]) -> float:
    """The processor time in seconds that the server takes for a request."""
    content_type = {} if request.method == "GET" else {"Content-Type": request.content_type}
    before = taken(server)
    server.pool.request(
        request.method, request.path, body=request.body, headers=content_type | headers | request.headers
    )
    return taken(server) - before


def taken(server: Server) -> float:
    """The processor time of the server's processes, to the nanosecond."""
    master = server.process.pid
    children = Path(f"/proc/{master}/task/{master}/children").read_text().split()
    tasks = chain.from_iterable(Path(f"/proc/{process}/task").iterdir() for process in children)
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


if __name__ == "__main__":
    main()
