"""What can be done with keys."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import bindparam, or_, select, update

from leadapi.keys.errors import KeyUnknown
from leadapi.keys.models import ApiKey
from leadapi.keys.texts import KeyText, make_key
from leadapi.storage.database import begin_write, db, now

# What each scope lets its holder do. Only admin includes others: who may write may not read.
SCOPES = {
    "capture": "capture leads",
    "read": "look at leads",
    "write": "change and erase leads",
    "admin": "everything",
}
ALL = frozenset(SCOPES)

# A use is noted when the one noted last is older than this, and by who gets to write this soon.
USE_NOTED_EVERY = timedelta(minutes=1)
USE_PATIENCE_SECONDS = 0.1

_keys = ApiKey.metadata.tables["api_keys"]
_find = select(_keys.c.secret_hash, _keys.c.scopes, _keys.c.expires_at, _keys.c.revoked_at, _keys.c.last_used_at).where(
    _keys.c.id == bindparam("key_id")
)
# Whoever is noting a use of the same key right now notes this one, too.
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


@dataclass(frozen=True)
class StoredKey:
    """What a key opens, and until when."""

    key_id: str
    secret_hash: bytes
    scopes: frozenset[str]
    expires_at: datetime | None
    revoked: bool
    # Whether a use should be noted: see `note_use`.
    use_is_due: bool


@dataclass(frozen=True)
class NewKey:
    """A key that was just made. Its text cannot be had again."""

    key_id: str
    text: str


def create_key(*, name: str, scopes: Iterable[str], expires_at: datetime | None = None) -> NewKey:
    """Store a new key.

    :param name: what people call it, at most 100 characters.
    :param scopes: some of SCOPES.
    """
    key = make_key()
    begin_write()
    db.session.add(
        ApiKey(
            id=key.key_id,
            name=name,
            secret_hash=key.secret_hash,
            scopes=" ".join(scope for scope in SCOPES if scope in set(scopes)),
            created_at=now(),
            expires_at=expires_at,
        )
    )
    db.session.commit()
    return NewKey(key.key_id, str(key))


def list_keys() -> Sequence[ApiKey]:
    """All keys there ever were, oldest first."""
    return db.session.scalars(select(ApiKey).order_by(ApiKey.created_at, ApiKey.id)).all()


def revoke_key(key_id: str) -> None:
    """Let a key open nothing any more. A key that is revoked already stays as it is.

    :raises KeyUnknown: there is none with this id.
    """
    begin_write()
    key = db.session.get(ApiKey, key_id)
    if key is None:
        raise KeyUnknown
    key.revoked_at = key.revoked_at or now()
    db.session.commit()


def find_key(text: KeyText) -> StoredKey | None:
    """What is stored under the public id of a key; None if nothing is.

    On a connection of its own: the session's transaction belongs to what the request is for.
    """
    with db.engine.connect() as connection:
        row = connection.execute(_find, {"key_id": text.key_id}).one_or_none()
    if row is None:
        return None
    # Who may do everything has every scope, so that nobody has to think of it again.
    scopes = frozenset(row.scopes.split())
    return StoredKey(
        key_id=text.key_id,
        secret_hash=row.secret_hash,
        scopes=ALL if "admin" in scopes else scopes,
        expires_at=row.expires_at,
        revoked=row.revoked_at is not None,
        use_is_due=row.last_used_at is None or row.last_used_at < datetime.now(UTC) - USE_NOTED_EVERY,
    )


def note_use(key_id: str) -> None:
    """Store that a key was used just now, unless that was noted within a minute.

    :raises sqlalchemy.exc.SQLAlchemyError: the database cannot do it now.
    :raises leadapi.storage.write_queue.WriteLockUnavailable: others were writing for all the time this may take.
    """
    time = now()
    options = {"writes": True, "patience": USE_PATIENCE_SECONDS}
    with db.engine.connect().execution_options(**options) as connection, connection.begin():
        connection.execute(_note_use, {"key_id": key_id, "now": time, "before": time - USE_NOTED_EVERY})
