"""Drives a server with wrk and measures what it costs."""

import itertools
import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

POST = Path(__file__).with_name("post.lua")
TICKS = os.sysconf("SC_CLK_TCK")
UNITS = {"us": 0.001, "ms": 1.0, "s": 1000.0}

_runs = itertools.count(1)


@dataclass(frozen=True)
class Sample:
    """One measurement. Times are in milliseconds; `cpu` is that of the workers for each request."""

    rate: float
    p50: float
    p99: float
    cpu: float
    errors: int


def measure(
    url: str,
    master: int,
    *,
    seconds: int,
    script: str | None = None,
    headers: Mapping[str, str] | None = None,
    connections: int = 16,
) -> Sample:
    """Load an address for some seconds.

    :param master: the process whose children do the work.
    :param script: "post", "once" (the same with an Idempotency-Key) or "mixed"; without it, the address is fetched.
    :param headers: what each request has besides.
    """
    command = ["wrk", "--latency", "-t2", f"-c{connections}", f"-d{seconds}s"]
    for name, value in (headers or {}).items():
        command += ["-H", f"{name}: {value}"]
    if script:
        command += ["-s", str(POST), url, "--", f"{os.getpid()}x{next(_runs)}", script]
    else:
        command += [url]
    before = cpu_ms(master)
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    used = cpu_ms(master) - before
    requests = _number(r"(\d+) requests in", output)
    errors = _number(r"Non-2xx or 3xx responses: (\d+)", output)
    broken = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", output)
    return Sample(
        rate=requests / seconds,
        p50=_latency(output, "50%"),
        p99=_latency(output, "99%"),
        cpu=used / max(requests, 1),
        errors=errors + (sum(map(int, broken.groups())) if broken else 0),
    )


def _number(pattern: str, output: str) -> int:
    found = re.search(pattern, output)
    return int(found.group(1)) if found else 0


def _latency(output: str, share: str) -> float:
    found = re.search(rf"^\s+{share}\s+([0-9.]+)(us|ms|s)", output, re.MULTILINE)
    return float(found.group(1)) * UNITS[found.group(2)] if found else float("nan")


def workers(master: int) -> list[int]:
    """The processes that a gunicorn has forked."""
    children = Path(f"/proc/{master}/task/{master}/children").read_text()
    return [int(child) for child in children.split()]


def cpu_ms(master: int) -> float:
    """The processor time that all workers have used."""
    total = 0
    for worker in workers(master):
        fields = Path(f"/proc/{worker}/stat").read_text().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total * 1000 / TICKS


def memory_mb(master: int) -> float:
    """The resident memory of the largest worker."""
    pages = [int(Path(f"/proc/{worker}/statm").read_text().split()[1]) for worker in workers(master)]
    return max(pages) * os.sysconf("SC_PAGE_SIZE") / 2**20
