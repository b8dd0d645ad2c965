"""Tells whether a key is valid, and remembers for some seconds what the database said of it."""

import hmac
import time
from dataclasses import dataclass
from datetime import UTC, datetime

from leadapi.keys import service
from leadapi.keys.errors import KeyRefused
from leadapi.keys.service import StoredKey
from leadapi.keys.texts import read_key

# Asking the database each time would cost a request more than everything else that guards it. A key
# that is revoked may be used for this long.
REMEMBERED_SECONDS = 5.0
MOST_REMEMBERED = 1000

# What the secret of an unknown key is compared with.
NOTHING = bytes(32)


@dataclass
class _Seen:
    key: StoredKey
    until: float
    use_is_due: bool


class KeyRing:
    """The keys that were shown to this process lately."""

    def __init__(self, remembered_seconds: float = REMEMBERED_SECONDS) -> None:
        self._remembered_seconds = remembered_seconds
        self._seen: dict[str, _Seen] = {}

    def identify(self, text: str) -> StoredKey:
        """What is known of a key that is valid now.

        :raises KeyRefused: it is not.
        """
        given = read_key(text)
        if given is None:
            raise KeyRefused("malformed")
        seen = self._seen.get(given.key_id)
        if seen is None or seen.until < time.monotonic():
            found = service.find_key(given)
            seen = self._remember(found) if found else None
        # Compared in any case, so that an unknown id takes no less time.
        is_secret = hmac.compare_digest(given.secret_hash, seen.key.secret_hash if seen else NOTHING)
        if seen is None or not is_secret:
            raise KeyRefused("unknown")
        if seen.key.revoked:
            raise KeyRefused("revoked", given.key_id)
        if seen.key.expires_at is not None and seen.key.expires_at <= datetime.now(UTC):
            raise KeyRefused("expired", given.key_id)
        return seen.key

    def take_due_use(self, key_id: str) -> bool:
        """Whether to note that this key was used; the caller then tries to, and nobody else until it is read again."""
        seen = self._seen.get(key_id)
        if seen is None or not seen.use_is_due:
            return False
        seen.use_is_due = False
        return True

    def _remember(self, key: StoredKey) -> _Seen:
        if len(self._seen) >= MOST_REMEMBERED:
            self._seen.clear()
        seen = _Seen(key, time.monotonic() + self._remembered_seconds, key.use_is_due)
        self._seen[key.key_id] = seen
        return seen
