"""The text of a key: lk_<public id>_<secret><checksum>

| part | characters | what |
|---|---|---|
| public id | 12 of a-z and 0-9 | names the key in lists and in the log |
| secret | 43 of A-Z, a-z and 0-9 | 256 bits of chance |
| checksum | 6 of A-Z, a-z and 0-9 | CRC-32 of all before it |

A letter mistyped, two swapped or a piece lost are recognised without asking the database. The text
has only characters that are themselves in URLs, headers and shells, and a double click takes all of it.
"""

import hashlib
import re
import secrets
import string
import zlib
from dataclasses import dataclass

LETTERS = string.digits + string.ascii_uppercase + string.ascii_lowercase
ID_LETTERS = string.digits + string.ascii_lowercase
SECRET_BITS = 256

_shape = re.compile(r"lk_([0-9a-z]{12})_([0-9A-Za-z]{43})([0-9A-Za-z]{6})")


@dataclass(frozen=True)
class KeyText:
    """A key in its parts."""

    key_id: str
    # Never to be stored, logged or shown, except once to who made the key.
    secret: str

    def __str__(self) -> str:
        text = f"lk_{self.key_id}_{self.secret}"
        return text + _checksum(text)

    def __repr__(self) -> str:
        return f"KeyText({self.key_id})"

    @property
    def secret_hash(self) -> bytes:
        """What is stored of the secret. It is long and random, so a fast hash tells nothing about it."""
        return hashlib.sha256(self.secret.encode()).digest()


def make_key() -> KeyText:
    """A new key."""
    key_id = "".join(secrets.choice(ID_LETTERS) for _ in range(12))
    return KeyText(key_id, _digits(secrets.randbits(SECRET_BITS), 43))


def read_key(text: str) -> KeyText | None:
    """The parts of a key; None when the text is none, or was not copied exactly."""
    found = _shape.fullmatch(text)
    if found is None or _checksum(text[: -len(found[3])]) != found[3]:
        return None
    return KeyText(found[1], found[2])


def _checksum(text: str) -> str:
    return _digits(zlib.crc32(text.encode()), 6)


def _digits(number: int, length: int) -> str:
    digits = []
    for _ in range(length):
        number, digit = divmod(number, len(LETTERS))
        digits.append(LETTERS[digit])
    return "".join(reversed(digits))
