"""Write a file so that it appears only when it is complete."""

import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


@contextmanager
def open_output(path: Path | None) -> Iterator[IO[bytes]]:
    """A new file that replaces `path` when the block ends, and that only its owner can read; or standard output."""
    if path is None:
        yield sys.stdout.buffer
        return
    # A pipe or a device, such as /dev/stdout, must not be replaced by a file.
    if path.exists() and not path.is_file():
        with path.open("wb") as file:
            yield file
        return
    # Replace the target of a symbolic link, not the link.
    path = path.resolve()
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with _exit_on_signals(), os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink()
        raise


@contextmanager
def _exit_on_signals() -> Iterator[None]:
    """Raise SystemExit on SIGTERM and SIGHUP, so that the temporary file is removed."""
    numbers = [number for number in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(number) == signal.SIG_DFL]
    for number in numbers:
        signal.signal(number, lambda number, _frame: sys.exit(128 + number))
    try:
        yield
    finally:
        for number in numbers:
            signal.signal(number, signal.SIG_DFL)
