"""Restarts everything under load: two instances behind nginx, one dispatcher, one PostgreSQL, one Redis.

    .venv/bin/python tests/benchmarks/rolling.py [--seconds 120] [--rate 200]

Each instance is restarted three times by SIGTERM and killed once, PostgreSQL is restarted once. Clients repeat what was
not answered with the same Idempotency-Key. Prints what was acknowledged and what is stored and delivered. nginx has to
be installed.
"""

import argparse
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import urllib3

ROOT = Path(__file__).parent.parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from postgres import Postgres  # needs the path
from redis_server import RedisServer  # needs the path
from servers import Server, free_port  # needs the path
from webhook_receiver import Receiver  # needs the path

NGINX = """
daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{ worker_connections 1024; }}
http {{
  access_log off; client_body_temp_path {folder}; proxy_temp_path {folder};
  fastcgi_temp_path {folder}; uwsgi_temp_path {folder}; scgi_temp_path {folder};
  upstream leadapi {{
    server 127.0.0.1:{first} max_fails=1 fail_timeout=1s;
    server 127.0.0.1:{second} max_fails=1 fail_timeout=1s;
    keepalive 32;
  }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://leadapi; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_set_header X-Forwarded-For $remote_addr; proxy_connect_timeout 1s;
    }}
  }}
}}
"""
# Statuses after which a client sends the same request again.
AGAIN = {500, 502, 503, 504}
PATIENCE_SECONDS = 60
FAILURES = ("term 0", "term 1", "kill 0", "term 0", "postgres", "term 1", "kill 1", "term 0", "term 1")


class Load:
    """Clients that send leads, changes and reads at a constant rate."""

    def __init__(self, port: int, rate: int) -> None:
        self._pool = urllib3.HTTPConnectionPool(
            "127.0.0.1", port, maxsize=64, retries=False, timeout=urllib3.Timeout(15)
        )
        self._rate = rate
        self._lock = threading.Lock()
        self.acknowledged: dict[str, int] = {}
        self.outcomes: Counter[str] = Counter()
        self.slowest = 0.0

    def run(self, seconds: float) -> None:
        """Send requests at their times, whether or not earlier ones are answered."""
        began = time.monotonic()
        with ThreadPoolExecutor(64) as threads:
            for number in range(int(seconds * self._rate)):
                time.sleep(max(0.0, began + number / self._rate - time.monotonic()))
                threads.submit(self._one, number)

    def _one(self, number: int) -> None:
        began = time.monotonic()
        kind = number % 10
        with self._lock:
            known = next(reversed(self.acknowledged.values()), None)
        if kind < 6:
            email = f"person{number}@example.com"
            lead = {"full_name": f"Person {number}", "email": email, "message": "Please call me."}
            answer = self._send("POST", "/leads", json=lead, headers={"Idempotency-Key": f"key-{number}"})
            if answer is not None and answer.status == 201:
                with self._lock:
                    self.acknowledged[email] = answer.json()["id"]
        elif known is None or kind < 8:
            self._send("GET", "/leads?limit=20&sort=-id")
        elif kind == 8:
            self._send("GET", f"/leads/{known}")
        else:
            self._send("PATCH", f"/leads/{known}", json={"company": f"Company {number}"})
        self.slowest = max(self.slowest, time.monotonic() - began)

    def _send(self, method: str, path: str, **options: Any) -> urllib3.BaseHTTPResponse | None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            outcome = "lost connection"
            answer = None
            try:
                answer = self._pool.request(method, path, **options)
                outcome = str(answer.status)
                # A request with this key is still running.
                again = answer.status in AGAIN or (answer.status == 409 and "type" in answer.json())
            except urllib3.exceptions.HTTPError:
                again = True
            with self._lock:
                self.outcomes[f"{method} {outcome}"] += 1
            if not again or time.monotonic() > deadline:
                return answer
            time.sleep(0.2)


class Cluster:
    """Two instances, a dispatcher, and what they need."""

    def __init__(self) -> None:
        self._folder = folder = Path(tempfile.mkdtemp(prefix="rolling"))
        self.postgres, self._redis, self.receiver = Postgres(durable=True), RedisServer(), Receiver()
        self._ports = [free_port(), free_port()]
        self._environ = {
            "DATABASE_URL": self.postgres.new_database(),
            "REDIS_URL": self._redis.url,
            "AUTO_MIGRATE": "on",
            "DELIVERY": "external",
            "TRUSTED_PROXIES": "1",
            "WEBHOOK_ALLOW_PRIVATE": "on",
            "RATE_LIMIT_API": "100000/minute",
            "RATE_LIMIT_CAPTURE": "100000/minute",
        }
        self.instances = [self._start(0), self._start(1)]
        self.front = free_port()
        config = folder / "nginx.conf"
        first, second = self._ports
        config.write_text(NGINX.format(folder=folder, first=first, second=second, port=self.front))
        self._nginx = subprocess.Popen(["nginx", "-c", str(config), "-p", str(folder), "-e", str(folder / "error.log")])
        self._dispatcher = subprocess.Popen(
            [sys.executable, "-m", "flask", "--app", "wsgi", "deliver"],
            cwd=folder,
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)} | self._environ,
            stdout=(folder / "deliver.log").open("w"),
            stderr=subprocess.STDOUT,
        )

    def _start(self, number: int) -> Server:
        environ = self._environ | {"PORT": str(self._ports[number])}
        return Server(environ, self._folder, log=self._folder / f"{number}.{time.time()}.log")

    def fail(self, failure: str) -> None:
        """End a part of it as told, and start that part again."""
        what, _, number = failure.partition(" ")
        if what == "postgres":
            self.postgres.stop()
            self.postgres.start()
            return
        process = self.instances[int(number)].process
        if what == "kill":
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.terminate()
        process.wait()
        self.instances[int(number)] = self._start(int(number))

    def leads(self) -> dict[str, int]:
        """The id of each lead, by its address."""
        stored: dict[str, int] = {}
        query = ""
        while True:
            page = self.instances[0].get(f"/leads?limit=100{query}")
            found = {lead["email"]: lead["id"] for lead in page.json()["items"]}
            assert not stored.keys() & found.keys()
            stored |= found
            if not (link := re.search(r"after=([\w-]+)", page.headers.get("Link", ""))):
                return stored
            query = f"&after={link[1]}"

    def stop(self) -> None:
        """End all processes."""
        for process in (self._dispatcher, self._nginx):
            process.terminate()
            process.wait()
        for instance in self.instances:
            instance.stop()
        self.postgres.remove()
        self._redis.kill()


def main() -> None:
    """Run the service, the load and the failures, and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=120)
    parser.add_argument("--rate", type=int, default=200)
    options = parser.parse_args()
    cluster = Cluster()
    receiver = cluster.receiver
    assert cluster.instances[0].post("/destinations", json={"kind": "webhook", "url": receiver.url}).status == 201

    load = Load(cluster.front, options.rate)
    sending = threading.Thread(target=load.run, args=(options.seconds,))
    sending.start()
    for failure in FAILURES:
        time.sleep(options.seconds / (len(FAILURES) + 2))
        began = time.monotonic()
        cluster.fail(failure)
        print(f"{failure}: {time.monotonic() - began:.1f} s", flush=True)
    sending.join()

    stored, total = cluster.leads(), cluster.instances[0].total()
    receiver.until(total, of=lambda: len({each.id for each in receiver.accepted()}))
    told = {each.body["data"]["id"] for each in receiver.accepted()}
    lost = [email for email, lead_id in load.acknowledged.items() if stored.get(email) != lead_id]
    print(dict(sorted(load.outcomes.items())))
    print(f"slowest request with its repetitions: {load.slowest:.1f} s")
    print(f"acknowledged {len(load.acknowledged)}, stored {len(stored)}, total {total}, lost {len(lost)}")
    print(f"leads that the receiver was not told of: {len(set(stored.values()) - told)}")
    print(f"requests to the receiver: {len(receiver.received)}")
    cluster.stop()


if __name__ == "__main__":
    main()
