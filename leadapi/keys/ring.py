"""Validates keys, with a cache of a few seconds before the database."""

import hmac
import time
from dataclasses import dataclass
from datetime import UTC, datetime

from leadapi.keys import service
from leadapi.keys.errors import KeyRefused
from leadapi.keys.service import StoredKey
from leadapi.keys.texts import read_key

# A query for each request would cost more than all other checks. A revoked key stays valid for this long.
REMEMBERED_SECONDS = 5.0
MOST_REMEMBERED = 1000

# The hash to compare the secret of an unknown key with.
NOTHING = bytes(32)


@dataclass
class _Seen:
    key: StoredKey
    until: float
    use_is_due: bool


class KeyRing:
    """The keys that this process has read in the last seconds."""

    def __init__(self, remembered_seconds: float = REMEMBERED_SECONDS) -> None:
        self._remembered_seconds = remembered_seconds
        self._seen: dict[str, _Seen] = {}

    def identify(self, text: str) -> StoredKey:
        """The stored key with this text.

        :raises KeyRefused: it is not valid now.
        """
        given = read_key(text)
        if given is None:
            raise KeyRefused("malformed")
        seen = self._seen.get(given.key_id)
        if seen is None or seen.until < time.monotonic():
            found = service.find_key(given)
            seen = self._remember(found) if found else None
        # Compare in any case, so that an unknown id takes as long as a known one.
        is_secret = hmac.compare_digest(given.secret_hash, seen.key.secret_hash if seen else NOTHING)
        if seen is None or not is_secret:
            raise KeyRefused("unknown")
        if seen.key.revoked:
            raise KeyRefused("revoked", given.key_id)
        if seen.key.expires_at is not None and seen.key.expires_at <= datetime.now(UTC):
            raise KeyRefused("expired", given.key_id)
        return seen.key

    def take_due_use(self, key_id: str) -> bool:
        """Whether the caller is to record the use of this key. At most one caller is, until the key is read again."""
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
