"""The metrics of several workers add up, also after one of them was killed."""

import os
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import urllib3
from prometheus_client.parser import text_string_to_metric_families

from conftest import NewLead
from servers import COVERAGE, Server, at_once, free_port
from webhook_receiver import Receiver

WORKERS = 4


@pytest.fixture(scope="module")
def metrics_port() -> int:
    """The port of the metrics."""
    return free_port()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, metrics_port: int) -> Iterator[Server]:
    """A service of four workers with metrics."""
    environ = {"METRICS_PORT": str(metrics_port), "WEB_CONCURRENCY": str(WORKERS), "WEBHOOK_ALLOW_PRIVATE": "on"}
    shared = Server(environ | COVERAGE, tmp_path_factory.mktemp("server"))
    shared.until(r"Booting worker with pid: (\d+)", WORKERS)
    yield shared
    shared.quit()
    print(*shared.lines, sep="\n")  # noqa: T201  # see run_log.py


def scrape(port: int) -> dict[tuple[str, ...], float]:
    """The value of each sample, by its name and the values of its labels."""
    text = urllib3.request("GET", f"http://127.0.0.1:{port}/metrics").data.decode()
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return {(sample.name, *(label for _, label in sorted(sample.labels.items()))): sample.value for sample in samples}


def files(name: str) -> list[Path]:
    """The files with this name in which processes keep metrics."""
    places = [Path("/dev/shm"), Path(tempfile.gettempdir())]
    return [file for place in places for file in place.glob(f"leadapi-metrics-*/{name}")]


def requests(port: int) -> dict[tuple[str, ...], float]:
    """How many requests there were, by method, route and status."""
    return {key[1:]: number for key, number in scrape(port).items() if key[0] == "leadapi_requests_total"}


def test_the_metrics_of_workers_add_up(server: Server, metrics_port: int, new_lead: NewLead) -> None:
    leads = [new_lead() for _ in range(20)]

    def load(_: int) -> Counter[tuple[str, ...]]:
        counted = Counter[tuple[str, ...]]()
        for lead in leads:
            counted["POST", "/leads", str(server.post("/leads", json=lead).status)] += 1
            counted["GET", "/leads/<id:lead_id>", str(server.get("/leads/1").status)] += 1
            counted["GET", "unmatched", str(server.get("/nowhere").status)] += 1
        return counted

    sent = sum(at_once(4, load), Counter[tuple[str, ...]]())
    assert requests(metrics_port) == sent
    # A worker that counted something is killed. Another one takes its place, and counts.
    workers = server.until(r"Booting worker with pid: (\d+)", WORKERS)
    server.with_each_worker(WORKERS, lambda: server.get("/nowhere"))
    sent["GET", "unmatched", "404"] += WORKERS
    os.kill(int(workers[0]), signal.SIGKILL)
    server.until(r"Booting worker with pid: (\d+)", WORKERS + 1)
    sent += load(0)

    assert requests(metrics_port) == sent
    found = scrape(metrics_port)
    assert found["leadapi_captures_total", "created"] == len(leads)
    assert found["leadapi_captures_total", "duplicate"] == 4 * len(leads)
    # The killed worker uses no thread and no connection any more.
    assert found["leadapi_threads_busy",] == 0
    assert files(f"gauge_livesum_{workers[0]}.db") == []
    assert files(f"gauge_livesum_{workers[1]}.db") != []


def test_attempts_to_deliver_are_counted(server: Server, metrics_port: int, new_lead: NewLead) -> None:
    answers = iter([204, 204])
    receiver = Receiver(lambda _: next(answers, 503))
    made = server.post("/destinations", json={"kind": "webhook", "url": receiver.url}).json()
    for _ in range(3):
        server.post("/leads", json=new_lead())
    receiver.until(3)
    # The dispatcher counts an attempt after the receiver has answered.
    deadline = time.monotonic() + 30
    found = scrape(metrics_port)
    while found["leadapi_deliveries_total", "delivered"] < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
        found = scrape(metrics_port)
    server.until('"delivery.failed"')
    receiver.close()
    server.pool.request("DELETE", f"/destinations/{made['id']}")

    assert found["leadapi_deliveries_total", "delivered"] == 2
    assert scrape(metrics_port)["leadapi_deliveries_total", "retried"] >= 1
    assert found["leadapi_deliveries_total", "failed"] == 0


def test_their_port_has_nothing_else(server: Server, metrics_port: int) -> None:
    assert urllib3.request("GET", f"http://127.0.0.1:{metrics_port}/leads").status == 404
    assert server.get("/metrics").status == 404


def test_their_folder_goes_with_the_service(tmp_path: Path) -> None:
    server = Server({"METRICS": "on", **COVERAGE}, tmp_path)
    (file,) = files(f"counter_{server.process.pid}.db")

    server.stop()

    assert not file.parent.exists()
    print(*server.lines, sep="\n")  # noqa: T201  # see run_log.py
