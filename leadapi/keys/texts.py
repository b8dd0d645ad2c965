"""The text of a key: lk_<public id>_<secret><checksum>

| part | characters | meaning |
|---|---|---|
| public id | 12 of a-z and 0-9 | names the key in lists and in the log |
| secret | 43 of A-Z, a-z and 0-9 | 256 random bits |
| checksum | 6 of A-Z, a-z and 0-9 | CRC-32 of the rest |

The checksum detects mistyped, swapped and missing characters without a query. The characters need no escaping in URLs,
headers and shells, and a double click selects the whole key.
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
    """The parts of a key."""

    key_id: str
    # Never stored or logged, and shown only once, when the key is created.
    secret: str

    def __str__(self) -> str:
        text = f"lk_{self.key_id}_{self.secret}"
        return text + _checksum(text)

    def __repr__(self) -> str:
        return f"KeyText({self.key_id})"

    @property
    def secret_hash(self) -> bytes:
        """The stored form of the secret. The secret has 256 random bits, so a fast hash is enough."""
        return hashlib.sha256(self.secret.encode()).digest()


def make_key() -> KeyText:
    """A new key."""
    key_id = "".join(secrets.choice(ID_LETTERS) for _ in range(12))
    return KeyText(key_id, _digits(secrets.randbits(SECRET_BITS), 43))


def read_key(text: str) -> KeyText | None:
    """The parts of a key; None if the format or the checksum is wrong."""
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
