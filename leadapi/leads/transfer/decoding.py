"""Find the encoding of a file, before its rows are read."""

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from typing import BinaryIO

from leadapi.leads.transfer.errors import UnreadableFile

# Byte order marks, which override `--encoding`.
MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
PART = 2**20

_multi_byte = re.compile(r"[^\x00-\x7f\udc80-\udcff]")


@dataclass(frozen=True)
class Content:
    """The encoding of a file, the notice if it was guessed, and a digest of the bytes."""

    encoding: str
    notice: str | None
    digest: bytes


def examine(file: BinaryIO, encoding: str | None) -> Content:
    """Read a file to its end, which proves that it can be decoded.

    :param encoding: of a file without a byte order mark; None for UTF-8 or windows-1252.
    :raises UnreadableFile: the file is not in the encoding.
    """
    file.seek(0)
    start = file.read(8)
    mark = next((name for mark, name in MARKS.items() if start.startswith(mark)), None)
    name = mark or codecs.lookup(encoding or "utf-8").name
    notice = None
    invalid = _find_invalid_byte(file, name)
    if invalid is not None and not mark and not encoding:
        name = "cp1252"
        if _has_multi_byte(file) or _find_invalid_byte(file, name) is not None:
            raise UnreadableFile(
                f"The file is neither UTF-8 (see byte {invalid}, counted from 0) nor windows-1252. Save it as UTF-8, or"
                " name its encoding, such as --encoding cp437."
            )
        notice = "The file is not UTF-8. It is read as windows-1252; name another encoding with --encoding."
    elif invalid is not None:
        shown = "UTF-8" if name.startswith("utf-8") else name
        raise UnreadableFile(
            f"The file is not {shown}: see byte {invalid}, counted from 0. Save it as UTF-8, or name its encoding, such"
            " as --encoding cp1252."
        )
    digest = blake2b(digest_size=32)
    for part in _parts(file):
        digest.update(part)
    return Content(name, notice, digest.digest())


def _parts(file: BinaryIO) -> Iterator[bytes]:
    file.seek(0)
    while part := file.read(PART):
        yield part


def _find_invalid_byte(file: BinaryIO, encoding: str) -> int | None:
    """The position of the first byte that cannot be decoded."""
    decoder = codecs.getincrementaldecoder(encoding)()
    position = 0
    try:
        for part in _parts(file):
            position += len(part)
            decoder.decode(part)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError as exc:
        # The object of the error is the end of what was read.
        return position - len(exc.object) + exc.start
    except UnicodeError:
        return position
    return None


def _has_multi_byte(file: BinaryIO) -> bool:
    """Whether the file contains a valid sequence of several bytes of UTF-8."""
    decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
    return any(_multi_byte.search(decoder.decode(part)) for part in _parts(file))
