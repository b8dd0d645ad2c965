"""Starts leadapi as an operator would: gunicorn, its own processes, a real port."""

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson
import urllib3

ROOT = Path(__file__).parent.parent


class Server:
    """A running service.

    :param environ: its settings, on top of an otherwise empty environment.
    :param folder: its working directory.
    :param log: a file for its log, which is then not read here.
    """

    def __init__(self, environ: Mapping[str, str], folder: Path, *, log: Path | None = None) -> None:
        self.port = _free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.lines: list[str] = []
        self.pool = urllib3.PoolManager(maxsize=64, retries=False, timeout=urllib3.Timeout(30))
        self._listening = threading.Event()
        # The last two carry the measuring of test coverage into the server.
        names = ("PATH", "HOME", "COVERAGE_PROCESS_START", "COVERAGE_DATA")
        inherited = {name: os.environ[name] for name in names if name in os.environ}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "gunicorn", "-c", "python:leadapi.gunicorn", "wsgi:app"],
            cwd=folder,
            env=inherited | {"PYTHONPATH": str(ROOT), "PORT": str(self.port)} | dict(environ),
            stdout=log.open("w") if log else subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            # A process group of its own, so that a test can kill all of it at once.
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        if log:
            self.get("/health", retries=urllib3.Retry(connect=60, backoff_factor=0.1, backoff_max=0.2))
            return
        # A connection that comes early waits in the listening socket until a worker is there.
        if not self._listening.wait(timeout=30):
            self.kill()
            raise AssertionError("the server did not start:\n" + "\n".join(self.lines))

    def _read(self) -> None:
        for line in self.process.stdout or ():
            self.lines.append(line.rstrip("\n"))
            if "Listening at" in line:
                self._listening.set()
        self._listening.set()

    def get(self, path: str, **options: Any) -> urllib3.BaseHTTPResponse:
        """Send a GET request."""
        return self.pool.request("GET", self.url + path, **options)

    def post(self, path: str, json: Any = None, **options: Any) -> urllib3.BaseHTTPResponse:
        """Send a POST request with a JSON body."""
        return self.pool.request("POST", self.url + path, json=json, **options)

    def log(self) -> list[dict[str, Any]]:
        """The log so far."""
        return [orjson.loads(line) for line in list(self.lines)]

    def stop(self) -> int:
        """Ask it to stop, as an orchestrator does; return the exit status."""
        if self.process.poll() is None:
            self.process.terminate()
        return self._ended()

    def kill(self) -> None:
        """End every process at once, as a power failure would."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self._ended()

    def _ended(self) -> int:
        status = self.process.wait(timeout=30)
        self._reader.join(timeout=30)
        self.pool.clear()
        if self.process.stdout is not None:
            self.process.stdout.close()
        return status


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
