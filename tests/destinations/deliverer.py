"""Starts `flask deliver` as an operator does."""

import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

from servers import COVERAGE, ROOT


class Deliverer:
    """A running `flask deliver`.

    :param environ: its settings; the rest of its environment is empty.
    :param folder: its working directory.
    """

    def __init__(self, environ: dict[str, str], folder: Path, *arguments: str) -> None:
        self.lines: list[str] = []
        self._news = threading.Condition()
        inherited = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "flask", "--app", str(ROOT / "wsgi.py"), "deliver", *arguments],
            cwd=folder,
            env=inherited | COVERAGE | environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        for line in self.process.stdout or ():
            with self._news:
                self.lines.append(line.rstrip("\n"))
                self._news.notify_all()

    def until(self, said: str) -> None:
        """Wait until a regular expression matches in what it has printed."""
        with self._news:
            if not self._news.wait_for(lambda: re.search(said, "\n".join(self.lines)), timeout=30):
                raise AssertionError(f"it does not say {said}:\n" + "\n".join(self.lines))

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal; return the exit status."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        status = self.process.wait(timeout=30)
        self._reader.join(timeout=30)
        if self.process.stdout is not None:
            self.process.stdout.close()
        return status
