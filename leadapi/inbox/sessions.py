"""Sessions of the inbox: a browser exchanges an API key for a random token, which the database has as a hash only."""

import hashlib
import secrets
from datetime import timedelta

from sqlalchemy import bindparam, delete, insert, select

from leadapi import storage
from leadapi.inbox.models import InboxSession
from leadapi.keys import service as keys
from leadapi.keys.errors import KeyRefused
from leadapi.keys.service import StoredKey

LIFETIME = timedelta(hours=12)
TOKEN_BYTES = 32

_sessions = InboxSession.metadata.tables["inbox_sessions"]
_insert = insert(_sessions)
_key_of = select(_sessions.c.key_id).where(
    _sessions.c.token_hash == bindparam("token_hash"), _sessions.c.expires_at > bindparam("now")
)
_delete = delete(_sessions).where(_sessions.c.token_hash == bindparam("hash_to_delete"))
_purge = delete(_sessions).where(_sessions.c.expires_at <= bindparam("now"))


def start_session(key: StoredKey, *, replaced: str) -> str:
    """Store a new session of a key and return its token. Sessions that have expired are deleted.

    :param replaced: the token of the browser's session until now, which ends; an empty text without one.
    """
    token = secrets.token_urlsafe(TOKEN_BYTES)
    now = storage.now()
    values = {
        "token_hash": _hash(token),
        "key_id": key.key_id,
        "created_at": now,
        "expires_at": now + LIFETIME,
    }
    with storage.write() as tx:
        tx.execute(_purge, {"now": now})
        tx.execute(_delete, {"hash_to_delete": _hash(replaced)})
        tx.execute(_insert, values)
    return token


def find_key(token: str) -> StoredKey | None:
    """The key of the session with this token; None if the session or its key is not valid any more."""
    with storage.read() as connection:
        key_id = connection.execute(_key_of, {"token_hash": _hash(token), "now": storage.now()}).scalar_one_or_none()
    key = keys.find_key(key_id) if key_id else None
    try:
        if key is not None:
            key.check()
    except KeyRefused:
        return None
    return key


def end_session(token: str) -> None:
    """Delete the session with this token, if there is one."""
    with storage.write() as tx:
        tx.execute(_delete, {"hash_to_delete": _hash(token)})


def _hash(token: str) -> bytes:
    """The token has 256 random bits, so a fast hash is enough."""
    return hashlib.sha256(token.encode()).digest()
