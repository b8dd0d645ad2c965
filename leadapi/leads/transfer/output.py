"""Write a file so that it appears only when it is complete."""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from leadapi.storage.commands import exit_on_signals


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
        with exit_on_signals(), os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink()
        raise
