"""Creates, lists, revokes and finds keys."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import bindparam, or_, select, update

from leadapi.keys.errors import KeyUnknown
from leadapi.keys.models import ApiKey
from leadapi.keys.texts import KeyText, make_key
from leadapi.storage.database import begin_write, db, now

# The scopes and what they allow. Only admin includes others: write does not include read.
SCOPES = {
    "capture": "capture leads",
    "read": "look at leads",
    "write": "change and erase leads",
    "admin": "everything",
}
ALL = frozenset(SCOPES)

# A use is recorded at most this often, and only if the write lock is free within this time.
USE_NOTED_EVERY = timedelta(minutes=1)
USE_PATIENCE_SECONDS = 0.1

_keys = ApiKey.metadata.tables["api_keys"]
_find = select(_keys.c.secret_hash, _keys.c.scopes, _keys.c.expires_at, _keys.c.revoked_at, _keys.c.last_used_at).where(
    _keys.c.id == bindparam("key_id")
)
# If another process holds the row, it is recording a use of the same key.
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
    """A key as it is stored."""

    key_id: str
    secret_hash: bytes
    scopes: frozenset[str]
    expires_at: datetime | None
    revoked: bool
    # Whether a use should be recorded: see `note_use`.
    use_is_due: bool


@dataclass(frozen=True)
class NewKey:
    """A new key. Its text is not stored."""

    key_id: str
    text: str


def create_key(*, name: str, scopes: Iterable[str], expires_at: datetime | None = None) -> NewKey:
    """Store a new key.

    :param name: at most 100 characters.
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
    """All keys, including expired and revoked ones, oldest first."""
    return db.session.scalars(select(ApiKey).order_by(ApiKey.created_at, ApiKey.id)).all()


def revoke_key(key_id: str) -> None:
    """Revoke a key. A key that is already revoked stays as it is.

    :raises KeyUnknown: there is none with this id.
    """
    begin_write()
    key = db.session.get(ApiKey, key_id)
    if key is None:
        raise KeyUnknown
    key.revoked_at = key.revoked_at or now()
    db.session.commit()


def find_key(text: KeyText) -> StoredKey | None:
    """The stored key with this public id, or None.

    It uses its own connection, because the session's transaction belongs to the view.
    """
    with db.engine.connect() as connection:
        row = connection.execute(_find, {"key_id": text.key_id}).one_or_none()
    if row is None:
        return None
    # admin is expanded here, so that callers only check for one scope.
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
    """Record that a key was used now, unless a use was recorded within a minute.

    :raises sqlalchemy.exc.SQLAlchemyError: the database cannot do it now.
    :raises leadapi.storage.write_queue.WriteLockUnavailable: the write lock stayed taken.
    """
    time = now()
    options = {"writes": True, "patience": USE_PATIENCE_SECONDS}
    with db.engine.connect().execution_options(**options) as connection, connection.begin():
        connection.execute(_note_use, {"key_id": key_id, "now": time, "before": time - USE_NOTED_EVERY})
