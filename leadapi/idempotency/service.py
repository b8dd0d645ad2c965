"""Stores the first answer to an idempotency key, in the transaction of the change that it answers."""

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import BigInteger, BindParameter, Connection, bindparam, delete, insert, select, update
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import OperationalError

from leadapi import storage
from leadapi.idempotency.errors import KeyReused, RequestRunning
from leadapi.idempotency.models import IdempotencyLead, IdempotencyRecord

# One new key in eight purges up to 50 expired answers, so the table shrinks.
PURGE_ONE_IN = 8
MAX_PURGED = 50
# PostgreSQL's lock_not_available: the first request with the key has held its row for longer than lock_timeout.
LOCK_NOT_AVAILABLE = "55P03"

_records = IdempotencyRecord.metadata.tables["idempotency_records"]
_leads = IdempotencyLead.metadata.tables["idempotency_leads"]
_of_key = _records.c.key_hash == bindparam("of_key")
# PostgreSQL's INSERT is valid in SQLite, too. It returns no row where a valid answer to the key is stored. PostgreSQL
# waits here for another request with the same key; SQLite has one writer at a time.
_new = postgresql.insert(_records).values({name: bindparam(name) for name in ("key_hash", "fingerprint", "expires_at")})
_claim = _new.on_conflict_do_update(
    index_elements=["key_hash"],
    set_={"fingerprint": _new.excluded.fingerprint, "expires_at": _new.excluded.expires_at},
    where=_records.c.expires_at <= bindparam("now"),
    # The status is not null where the key had an answer that has expired.
).returning(_records.c.status)
_find = select(_records.c.fingerprint, _records.c.status, _records.c.headers, _records.c.body).where(_of_key)
_store = (
    update(_records).where(_of_key).values({name: bindparam(name) for name in ("status", "headers", "body", "lead_id")})
)
_unlink = delete(_leads).where(_leads.c.key_hash == bindparam("of_key"))
_link = insert(_leads)
_expired = select(_records.c.key_hash).where(_records.c.expires_at <= bindparam("now"))
_purge = delete(_records).where(
    _records.c.key_hash.in_(
        _expired.order_by(_records.c.expires_at).limit(MAX_PURGED).with_for_update(skip_locked=True)
    )
)
_erased: BindParameter[Any] = bindparam("lead_ids", expanding=True)
_of_leads = select(_leads.c.key_hash).where(_leads.c.lead_id.in_(_erased))
# Two statements: PostgreSQL scans the whole table for an OR with a sub-select.
_erase_single = delete(_records).where(_records.c.lead_id.in_(_erased))
_erase_shared = delete(_records).where(_records.c.key_hash.in_(_of_leads))
_reassign = update(_records).where(_records.c.lead_id == bindparam("before")).values(lead_id=bindparam("after"))
_moved = select(bindparam("after", type_=BigInteger), _leads.c.key_hash).where(_leads.c.lead_id == bindparam("before"))
# An answer with several leads may show the other lead already.
_add = postgresql.insert(_leads).from_select(["lead_id", "key_hash"], _moved).on_conflict_do_nothing()


@dataclass(frozen=True)
class Answer:
    """An answer to a request."""

    status: int
    headers: Sequence[Sequence[str]]
    body: str
    # The ids of the leads that the body shows.
    lead_ids: Sequence[int] = ()
    replayed: bool = False


def fingerprint(*parts: bytes) -> str:
    """A digest that two requests have in common if they ask for the same."""
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


@storage.retries_deadlocks
def answer_once(
    act: Callable[[Connection], Answer], *, key: str, caller: str | None, fingerprint: str, hours: int
) -> Answer:
    """Carry out a request unless it was carried out before under this key; return the first answer.

    :param act: carries it out, in the transaction that it is given. If it raises, nothing is written and the key
        stays unused.
    :param caller: the id of the caller's API key. All callers without an API key share one namespace of keys; the
        fingerprint keeps them from getting each other's answers.
    :param fingerprint: see `fingerprint`.
    :param hours: how long the answer is kept.
    :raises KeyReused: another request was made under this key.
    :raises RequestRunning: the first request with this key did not end in time.
    """
    now = int(time.time())
    key_hash = hashlib.sha256(f"{caller or ''}\0{key}".encode()).hexdigest()
    with storage.write() as tx:
        if int(key_hash[:8], 16) % PURGE_ONE_IN == 0:
            tx.execute(_purge, {"now": now})
        expires_at = now + hours * 3600
        if _claim_key(tx, {"key_hash": key_hash, "fingerprint": fingerprint, "expires_at": expires_at, "now": now}):
            answer = act(tx)
            _store_answer(tx, key_hash, answer)
            return answer
        kept = tx.execute(_find, {"of_key": key_hash}).one()
    if kept.fingerprint != fingerprint:
        raise KeyReused
    return Answer(kept.status, orjson.loads(kept.headers), kept.body, replayed=True)


def erase_records(tx: Connection, *lead_ids: int) -> None:
    """Delete every answer that shows one of these leads, as part of the transaction `tx`.

    The key can then be used again: the same request with it counts as a new one.
    """
    for statement in (_erase_single, _erase_shared):
        tx.execute(statement, {"lead_ids": lead_ids})


def reassign_records(tx: Connection, before: int, after: int) -> None:
    """Let the answers that show one lead be erased with another one, as part of the transaction `tx`.

    :param before: the id that is in the answers.
    :param after: the lead that it has become.
    """
    for statement in (_reassign, _add):
        tx.execute(statement, {"before": before, "after": after})


def _claim_key(tx: Connection, claim: Mapping[str, str | int]) -> bool:
    """Reserve the key for this request; return False if a valid answer is stored under it."""
    try:
        claimed = tx.execute(_claim, claim).one_or_none()
    except OperationalError as exc:
        if getattr(exc.orig, "sqlstate", None) == LOCK_NOT_AVAILABLE:
            raise RequestRunning from exc
        raise
    if claimed and claimed.status is not None:
        # The new answer need not show the leads of the expired one.
        tx.execute(_unlink, {"of_key": claim["key_hash"]})
    return claimed is not None


def _store_answer(tx: Connection, key_hash: str, answer: Answer) -> None:
    ids = sorted(set(answer.lead_ids))
    values = {
        "of_key": key_hash,
        "status": answer.status,
        "headers": orjson.dumps(answer.headers).decode(),
        "body": answer.body,
        "lead_id": ids[0] if len(ids) == 1 else None,
    }
    tx.execute(_store, values)
    if len(ids) > 1:
        tx.execute(_link, [{"lead_id": lead_id, "key_hash": key_hash} for lead_id in ids])
