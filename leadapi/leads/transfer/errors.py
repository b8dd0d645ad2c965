"""What can be wrong with a file that is imported; each message is a sentence for the person who imports it."""

from pathlib import Path


class UnreadableFile(Exception):
    """The file is not of the expected format or encoding."""


class UnknownColumn(Exception):
    """The fields that the columns stand for are not known."""


class RowError(Exception):
    """A row is not a lead; the message names every field that is wrong."""


class FileExists(Exception):
    """The file for refused rows exists already."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path} is there already. Remove it, or name another file with --refused.")


class ImportRunning(Exception):
    """Another process imports the same file."""

    def __str__(self) -> str:
        return "Another import of this file is at work, or was started over."
