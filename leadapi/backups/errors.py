"""The errors of backups, in business words."""

from pathlib import Path


class NotABackup(Exception):
    """A file is no database of leadapi that can be restored.

    :param reason: the rest of a sentence that begins with the path.
    """

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path} {reason}.")
