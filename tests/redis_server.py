"""A real Redis on a free port, without persistence."""

import signal
import socket
import subprocess

from servers import free_port


class RedisServer:
    """A running Redis."""

    def __init__(self) -> None:
        self.port = free_port()
        self.url = f"redis://:{self.PASSWORD}@127.0.0.1:{self.port}/0"
        self.start()

    # A word that no log may contain, see run_log.py.
    PASSWORD = "zebedee-secret"

    def start(self) -> None:
        """Start an empty Redis and wait until it answers."""
        options = ["--port", str(self.port), "--save", "", "--bind", "127.0.0.1", "--requirepass", self.PASSWORD]
        self._process = subprocess.Popen(
            ["redis-server", *options, "--loglevel", "notice"], stdout=subprocess.PIPE, text=True
        )
        for line in self._process.stdout or ():
            if "Ready to accept connections" in line:
                break
        with socket.create_connection(("127.0.0.1", self.port)) as connection:
            connection.sendall(b"PING\r\n")
            assert connection.recv(1)

    def kill(self) -> None:
        """Send SIGKILL."""
        self._process.kill()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def silence(self) -> None:
        """Suspend the process: its port stays open, but it does not answer."""
        self._process.send_signal(signal.SIGSTOP)
