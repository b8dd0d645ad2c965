"""Validates keys, with a cache of a few seconds before the database."""

import time
from dataclasses import dataclass

from leadapi.keys import service
from leadapi.keys.errors import KeyRefused
from leadapi.keys.service import StoredKey, check_key
from leadapi.keys.texts import KeyText, read_key

# A query for each request would cost more than all other checks. A revoked key stays valid for this long.
REMEMBERED_SECONDS = 5.0
MAX_REMEMBERED = 1000


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

    def recall(self, text: str) -> StoredKey:
        """A key that was valid when this process read it last, and is valid now.

        :raises KeyRefused: it is not, or this process has not read it.
        """
        given = read_key(text)
        seen = self._seen.get(given.key_id) if given else None
        if given is None or seen is None:
            raise KeyRefused("unknown")
        key = check_key(given, seen.key)
        return key if time.monotonic() < seen.until else self._read(given)

    def identify(self, text: str) -> StoredKey:
        """A key that is valid now.

        :raises KeyRefused: it is not valid now.
        """
        given = read_key(text)
        if given is None:
            raise KeyRefused("malformed")
        seen = self._seen.get(given.key_id)
        return check_key(given, seen.key) if seen and time.monotonic() < seen.until else self._read(given)

    def take_due_use(self, key_id: str) -> bool:
        """Return whether the use of this key must be recorded: True once for each time that the key is read."""
        seen = self._seen.get(key_id)
        if seen is None or not seen.use_is_due:
            return False
        seen.use_is_due = False
        return True

    def _read(self, given: KeyText) -> StoredKey:
        key = service.find_key(given.key_id)
        if key is not None:
            if len(self._seen) >= MAX_REMEMBERED:
                self._seen.clear()
            self._seen[key.key_id] = _Seen(key, time.monotonic() + self._remembered_seconds, key.use_is_due)
        return check_key(given, key)
