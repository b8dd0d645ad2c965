"""Starts leadapi as an operator does: gunicorn with its processes, on a real port."""

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from email import message_from_bytes
from email.message import Message
from http.client import HTTPResponse
from pathlib import Path
from typing import Any, TypeVar

import orjson
import urllib3

ROOT = Path(__file__).parent.parent
# What makes a process measure its coverage (see .ci/run). It then takes half a second longer to start, so the processes
# that tests start get it only where a test passes it on. pytest's first process keeps it: those that run the tests
# inherit it from there.
COVERAGE = {
    name: os.environ.pop(name)
    for name in ("COVERAGE_PROCESS_START", "COVERAGE_DATA")
    if name in os.environ and "PYTEST_XDIST_WORKER" in os.environ
}

Result = TypeVar("Result")


class Server:
    """A running service.

    :param environ: its settings, perhaps with `COVERAGE`; the rest of its environment is empty.
    :param folder: its working directory.
    :param arguments: the arguments of gunicorn, without the application.
    :param log: a file to write the log to; `lines` stays empty then.
    """

    def __init__(
        self,
        environ: Mapping[str, str],
        folder: Path,
        arguments: Sequence[str] = ("-c", "python:leadapi.gunicorn"),
        log: Path | None = None,
    ) -> None:
        self.port = int(environ.get("PORT") or free_port())
        self.url = f"http://127.0.0.1:{self.port}"
        self.lines: list[str] = []
        self.pool = self._new_pool()
        self._news = threading.Condition()
        self._listening = threading.Event()
        inherited = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        self._is_measured = "COVERAGE_PROCESS_START" in environ
        self.process = subprocess.Popen(
            [sys.executable, "-m", "gunicorn", *arguments, "wsgi:app"],
            cwd=folder,
            env=inherited | {"PYTHONPATH": str(ROOT), "PORT": str(self.port)} | dict(environ),
            stdout=log.open("w") if log else subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            # A new process group, so that a test can kill all its processes at once.
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        if log:
            self.get("/health", retries=urllib3.Retry(100, backoff_factor=0.1, backoff_max=0.2))
            return
        # The listening socket queues connections until a worker has started.
        if not self._listening.wait(timeout=30):
            self.kill()
            raise AssertionError("the server did not start:\n" + "\n".join(self.lines))

    def _new_pool(self) -> urllib3.HTTPConnectionPool:
        return urllib3.HTTPConnectionPool("127.0.0.1", self.port, urllib3.Timeout(30), maxsize=64, retries=False)

    def _read(self) -> None:
        for line in self.process.stdout or ():
            with self._news:
                self.lines.append(line.rstrip("\n"))
                self._news.notify_all()
            if "Listening at" in line:
                self._listening.set()
        self._listening.set()

    def get(self, path: str, **options: Any) -> urllib3.BaseHTTPResponse:
        """Send a GET request."""
        return self.pool.request("GET", path, **options)

    def post(self, path: str, json: Any = None, **options: Any) -> urllib3.BaseHTTPResponse:
        """Send a POST request with a JSON body."""
        return self.pool.request("POST", path, json=json, **options)

    def total(self) -> int:
        """How many leads there are."""
        total: int = self.get("/leads?limit=1").json()["total"]
        return total

    def log(self) -> list[dict[str, Any]]:
        """Parse the log written so far."""
        return [orjson.loads(line) for line in list(self.lines)]

    def until(self, said: str, times: int = 1) -> list[str]:
        """Wait until a regular expression matches this often in the log; return what its group matched."""

        def found() -> list[str]:
            return re.findall(said, "\n".join(self.lines))

        with self._news:
            if not self._news.wait_for(lambda: len(found()) >= times, timeout=30):
                raise AssertionError(f"the log does not say {said}:\n" + "\n".join(self.lines))
            return found()

    def connect(self) -> socket.socket:
        """Open a connection, to send bytes that an HTTP client would not send."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=30)

    def exchange(self, request: bytes) -> bytes:
        """Send bytes and no more on a connection of their own, and return all that comes back."""
        received = b""
        with self.connect() as connection, suppress(ConnectionError):
            connection.sendall(request)
            connection.shutdown(socket.SHUT_WR)
            while piece := connection.recv(65536):
                received += piece
        return received

    def with_each_worker(self, count: int, call: Callable[[], Result]) -> list[Result]:
        """Make one call for each of `count` workers while the other workers are suspended; return the results."""
        workers = {int(pid) for pid in self.until(r"Booting worker with pid: (\d+)", count)}
        results = []
        for worker in workers:
            others = workers - {worker}
            for other in others:
                os.kill(other, signal.SIGSTOP)
            # A kept-alive connection may belong to a suspended worker.
            self.pool.close()
            self.pool = self._new_pool()
            results.append(call())
            for other in others:
                os.kill(other, signal.SIGCONT)
        return results

    def stop(self) -> int:
        """Send SIGTERM, as an orchestrator does; return the exit status."""
        # Otherwise the server waits for requests on these connections.
        self.pool.close()
        if self.process.poll() is None:
            self.process.terminate()
        return self._ended()

    def quit(self) -> None:
        """Send SIGQUIT: requests are aborted, but each process still saves its coverage data."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGQUIT)
        try:
            self._ended()
        except subprocess.TimeoutExpired:
            self.kill()

    def end(self) -> None:
        """End at once, because an orderly stop takes a second or more."""
        # A killed process cannot write its coverage data.
        if self._is_measured:
            self.quit()
        else:
            self.kill()

    def kill(self) -> None:
        """Send SIGKILL to every process at once, as in a power failure."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self._ended()

    def _ended(self) -> int:
        status = self.process.wait(timeout=30)
        self._reader.join(timeout=30)
        self.pool.close()
        if self.process.stdout is not None:
            self.process.stdout.close()
        return status


def answer(connection: socket.socket) -> HTTPResponse:
    """Read the head of the next response on a connection; its body is still to be read."""
    response = HTTPResponse(connection)
    response.begin()
    return response


def responses(received: bytes) -> Iterator[tuple[int, Message, bytes]]:
    """The status, the headers and the body of each response in what a connection has received."""
    while received:
        head, _, received = received.partition(b"\r\n\r\n")
        line, _, fields = head.partition(b"\r\n")
        status, headers = int(line.split()[1]), message_from_bytes(fields)
        size = 0 if status in (204, 304) else int(headers["Content-Length"] or len(received))
        yield status, headers, received[:size]
        received = received[size:]


def at_once(count: int, call: Callable[[int], Result]) -> list[Result]:
    """Call a function with 0, 1, 2 … in `count` threads at the same moment; return the results in this order."""
    barrier = threading.Barrier(count)

    def wait_and_call(number: int) -> Result:
        barrier.wait()
        return call(number)

    with ThreadPoolExecutor(count) as threads:
        return list(threads.map(wait_and_call, range(count)))


def free_port() -> int:
    """A port on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_until_listening(port: int) -> None:
    """Wait until a program accepts connections on a port of this machine."""
    deadline = time.monotonic() + 30
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            assert time.monotonic() < deadline, f"nothing listens on port {port}"
            time.sleep(0.02)
        else:
            return
