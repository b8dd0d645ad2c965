"""Keeps the first answer to a key, in the transaction of what it answers, and finds it again."""

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import BigInteger, BindParameter, bindparam, delete, insert, or_, select, update
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import OperationalError

from leadapi.idempotency.errors import KeyReused, RequestRunning
from leadapi.idempotency.models import IdempotencyLead, IdempotencyRecord
from leadapi.storage.database import db, one_transaction
from leadapi.storage.driver import DriverConnection, Row, Statement

# One new key in so many takes away what has expired, and at most so much; so more goes than comes.
SWEPT_BY_ONE_IN = 8
MOST_SWEPT = 50
# PostgreSQL's lock_not_available: the first request with the key has its row for longer than one waits.
LOCKED = "55P03"

_records = IdempotencyRecord.metadata.tables["idempotency_records"]
_leads = IdempotencyLead.metadata.tables["idempotency_leads"]
_new = postgresql.insert(_records)
# No row comes back where there is an answer to this key. Both databases know this clause by the same
# words. PostgreSQL waits here for another request with the same key; SQLite has one writer at a time.
_claim = Statement(
    _new.on_conflict_do_update(
        index_elements=["key_hash"],
        set_={"fingerprint": _new.excluded.fingerprint, "expires_at": _new.excluded.expires_at},
        where=_records.c.expires_at <= bindparam("now"),
        # The status is there where the key had an answer that has expired.
    ).returning(_records.c.status),
    ["key_hash", "fingerprint", "expires_at"],
)
_find = Statement(
    select(_records.c.fingerprint, _records.c.status, _records.c.headers, _records.c.body).where(
        _records.c.key_hash == bindparam("key_hash")
    )
)
_keep = Statement(
    update(_records)
    .where(_records.c.key_hash == bindparam("key_hash"))
    .values({name: bindparam(name) for name in ("status", "headers", "body", "lead_id")})
    .returning(_records.c.status)
)
_unlink = Statement(delete(_leads).where(_leads.c.key_hash == bindparam("key_hash")).returning(_leads.c.lead_id))
_expired = select(_records.c.key_hash).where(_records.c.expires_at <= bindparam("now"))
_sweep = Statement(
    delete(_records)
    .where(
        _records.c.key_hash.in_(
            _expired.order_by(_records.c.expires_at).limit(MOST_SWEPT).with_for_update(skip_locked=True)
        )
    )
    .returning(_records.c.status)
)
_erased: BindParameter[Any] = bindparam("lead_ids", expanding=True)
_of_leads = select(_leads.c.key_hash).where(_leads.c.lead_id.in_(_erased))
_erase = delete(_records).where(or_(_records.c.lead_id.in_(_erased), _records.c.key_hash.in_(_of_leads)))
_rename = update(_records).where(_records.c.lead_id == bindparam("before")).values(lead_id=bindparam("after"))
_moved = select(bindparam("after", type_=BigInteger), _leads.c.key_hash).where(_leads.c.lead_id == bindparam("before"))
# An answer with several leads may show the other one already. Both databases know this clause by the same words.
_add = postgresql.insert(_leads).from_select(["lead_id", "key_hash"], _moved).on_conflict_do_nothing()


@dataclass(frozen=True)
class Answer:
    """What a request was answered."""

    status: int
    headers: Sequence[Sequence[str]]
    body: str
    # Of the leads that it shows.
    lead_ids: Sequence[int] = ()
    replayed: bool = False


def fingerprint(*parts: bytes) -> str:
    """What all requests have in common that ask for the same."""
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def answer_once(act: Callable[[], Answer], *, key: str, caller: str | None, fingerprint: str, hours: int) -> Answer:
    """Do something, unless it was done before under this key; return how it was answered then.

    :param act: does it. All it writes is one transaction with the record of its answer. If it
        raises, nothing is written, and the key is free again.
    :param caller: the id of the caller's API key. All who have none are one caller, so a key of
        theirs is as good as the chance in it; and nobody gets an answer without asking the same.
    :param fingerprint: see `fingerprint`.
    :param hours: how long the answer is kept.
    :raises KeyReused: something else was asked for under this key.
    :raises RequestRunning: the first request with this key did not end in time.
    """
    now = int(time.time())
    key_hash = hashlib.sha256(f"{caller or ''}\0{key}".encode()).hexdigest()
    with one_transaction(), DriverConnection() as connection:
        if int(key_hash[:8], 16) % SWEPT_BY_ONE_IN == 0:
            connection.run(_sweep, {"now": now})
        claim = {"key_hash": key_hash, "fingerprint": fingerprint}
        if _is_first(connection, {**claim, "now": now, "expires_at": now + hours * 3600}):
            answer = act()
            _store(connection, key_hash, answer)
            return answer
        (kept,) = connection.run(_find, {"key_hash": key_hash})
    return _again(kept, fingerprint)


def erase_records(*lead_ids: int) -> None:
    """Forget every answer that shows one of these leads. It is part of the caller's transaction.

    The key is then free: the same request with it counts as a new one.
    """
    db.session.execute(_erase, {"lead_ids": lead_ids})


def hand_over_records(before: int, after: int) -> None:
    """Let the answers that show one lead be erased with another one, in the caller's transaction.

    :param before: the id that is in the answers.
    :param after: the lead that it has become.
    """
    for statement in (_rename, _add):
        db.session.execute(statement, {"before": before, "after": after})


def _is_first(connection: DriverConnection, claim: Mapping[str, str | int]) -> bool:
    try:
        claimed = connection.run(_claim, claim)
    except OperationalError as exc:
        if getattr(exc.orig, "sqlstate", None) == LOCKED:
            raise RequestRunning from exc
        raise
    if claimed and claimed[0][0] is not None:
        # The leads of the expired answer need not be in the one that takes its place.
        connection.run(_unlink, {"key_hash": claim["key_hash"]})
    return bool(claimed)


def _store(connection: DriverConnection, key_hash: str, answer: Answer) -> None:
    ids = answer.lead_ids
    values = {
        "key_hash": key_hash,
        "status": answer.status,
        "headers": orjson.dumps(answer.headers).decode(),
        "body": answer.body,
        "lead_id": ids[0] if len(ids) == 1 else None,
    }
    connection.run(_keep, values)
    if len(ids) > 1:
        rows = [{"lead_id": lead_id, "key_hash": key_hash} for lead_id in sorted(set(ids))]
        db.session.execute(insert(_leads), rows)
        db.session.commit()


def _again(kept: Row, fingerprint: str) -> Answer:
    told, status, headers, body = kept
    if told != fingerprint:
        raise KeyReused
    return Answer(status, orjson.loads(headers), body, replayed=True)
