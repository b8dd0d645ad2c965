"""API keys: create, list, revoke, look up and check; and the caller that a key stands for."""

import hmac
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Row, bindparam, func, insert, or_, select, update

from leadapi import storage
from leadapi.keys.errors import KeyRefused, KeyUnknown
from leadapi.keys.models import ApiKey
from leadapi.keys.texts import KeyText, make_key, read_key

# Only admin includes other scopes: a key with `write` cannot read.
SCOPES = {
    "capture": "capture leads",
    "read": "look at leads",
    "write": "change and erase leads",
    "admin": "everything",
}
ALL = frozenset(SCOPES)

# The time of last use is stored at most once a minute, and only if the write lock is free at once.
USE_NOTED_EVERY = timedelta(minutes=1)
USE_PATIENCE_SECONDS = 0.1

# The hash to compare the secret of an unknown key with.
NO_HASH = bytes(32)

_keys = ApiKey.metadata.tables["api_keys"]
_find = select(_keys).where(_keys.c.id == bindparam("key_id"))
_names = select(_keys.c.id, _keys.c.name).where(_keys.c.id.in_(bindparam("ids", expanding=True)))
# A request that is storing the last use of the same key at this moment does so for this one, too.
_note_use = (
    update(_keys)
    .where(
        _keys.c.id.in_(
            select(_keys.c.id)
            .where(_keys.c.id == bindparam("key_id"))
            .where(or_(_keys.c.last_used_at.is_(None), _keys.c.last_used_at < bindparam("before")))
            .with_for_update(skip_locked=True)
        )
    )
    .values(last_used_at=bindparam("now"))
)


_all = select(_keys).order_by(_keys.c.created_at, _keys.c.id)
_insert = insert(_keys)
_revoke = (
    update(_keys)
    .where(_keys.c.id == bindparam("key_id"))
    .values(revoked_at=func.coalesce(_keys.c.revoked_at, bindparam("now", type_=_keys.c.revoked_at.type)))
)


@dataclass(frozen=True)
class Caller:
    """The sender of a request, or the operator at a command line.

    :param key_id: the id of the caller's API key; None without a key.
    :param scopes: some of SCOPES.
    :param is_visitor: whether the request is an HTML form: its repeats are merged and never refused.
    :param announces: whether destinations are told of what the caller does.
    """

    key_id: str | None
    scopes: frozenset[str]
    is_visitor: bool = False
    announces: bool = True

    def may(self, scope: str) -> bool:
        """Whether the caller has a scope."""
        return scope in self.scopes

    @property
    def is_anonymous(self) -> bool:
        """Whether the caller is a stranger without a key. With AUTH=off nobody is: everybody may do everything."""
        return self.key_id is None and self.scopes != ALL


# The caller of every request where AUTH=off, and of every command.
OPERATOR = Caller(None, ALL)


@dataclass(frozen=True)
class StoredKey:
    """A key as the database has it."""

    key_id: str
    name: str
    secret_hash: bytes
    scopes: frozenset[str]
    expires_at: datetime | None
    revoked: bool
    # Whether the time of last use should be stored: see `note_use`.
    use_is_due: bool

    def check(self) -> None:
        """Do nothing if the key is valid now.

        :raises KeyRefused: it is revoked or expired.
        """
        if self.revoked:
            raise KeyRefused("revoked", self.key_id)
        if self.expires_at is not None and self.expires_at <= datetime.now(UTC):
            raise KeyRefused("expired", self.key_id)


@dataclass(frozen=True)
class NewKey:
    """A key that was just created. Its text is not stored anywhere."""

    key_id: str
    text: str


def create_key(*, name: str, scopes: Iterable[str], expires_at: datetime | None = None) -> NewKey:
    """Store a new key.

    :param name: a name for people, at most 100 characters.
    :param scopes: some of SCOPES.
    """
    key = make_key()
    values = {
        "id": key.key_id,
        "name": name,
        "secret_hash": key.secret_hash,
        "scopes": " ".join(scope for scope in SCOPES if scope in set(scopes)),
        "created_at": storage.now(),
        "expires_at": expires_at,
    }
    with storage.write() as tx:
        tx.execute(_insert, values)
    return NewKey(key.key_id, str(key))


def list_keys() -> Sequence[Row[Any]]:
    """All keys, revoked and expired ones too, oldest first: rows of `ApiKey`."""
    with storage.read() as connection:
        return connection.execute(_all).all()


def revoke_key(key_id: str) -> None:
    """Make a key invalid. A key that is revoked already keeps the time of its revocation.

    :raises KeyUnknown: there is no key with this id.
    """
    with storage.write() as tx:
        if not tx.execute(_revoke, {"key_id": key_id, "now": storage.now()}).rowcount:
            raise KeyUnknown


def find_key(key_id: str) -> StoredKey | None:
    """The key with this public id, valid or not; None if there is none."""
    with storage.read() as connection:
        row = connection.execute(_find, {"key_id": key_id}).one_or_none()
    if row is None:
        return None
    scopes = frozenset(row.scopes.split())
    return StoredKey(
        key_id=key_id,
        name=row.name,
        secret_hash=row.secret_hash,
        scopes=ALL if "admin" in scopes else scopes,
        expires_at=row.expires_at,
        revoked=row.revoked_at is not None,
        use_is_due=row.last_used_at is None or row.last_used_at < datetime.now(UTC) - USE_NOTED_EVERY,
    )


def check_key(given: KeyText, key: StoredKey | None) -> StoredKey:
    """The stored key, if the given one is it and valid now.

    :raises KeyRefused: it is not.
    """
    # Compared in any case, so that an unknown id takes no less time.
    is_secret = hmac.compare_digest(given.secret_hash, key.secret_hash if key else NO_HASH)
    if key is None or not is_secret:
        raise KeyRefused("unknown")
    key.check()
    return key


def identify_key(text: str) -> StoredKey:
    """The key with this text, read from the database.

    :raises KeyRefused: it is not valid now.
    """
    given = read_key(text)
    if given is None:
        raise KeyRefused("malformed")
    return check_key(given, find_key(given.key_id))


def name_keys(ids: Collection[str]) -> Mapping[str, str]:
    """The names of keys, by id; revoked and expired ones too."""
    if not ids:
        return {}
    with storage.read() as connection:
        return {row.id: row.name for row in connection.execute(_names, {"ids": sorted(ids)})}


def note_use(key_id: str) -> None:
    """Store that a key was used just now, unless a use within the last minute is stored already.

    :raises sqlalchemy.exc.SQLAlchemyError: the database cannot do it now.
    :raises leadapi.storage.WriteLockUnavailable: the write lock was not free within `USE_PATIENCE_SECONDS`.
    """
    time = storage.now()
    with storage.write(patience=USE_PATIENCE_SECONDS) as tx:
        tx.execute(_note_use, {"key_id": key_id, "now": time, "before": time - USE_NOTED_EVERY})
