"""What was caught: kept apart for some time, where it can be looked at and taken out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import orjson
from sqlalchemy import BindParameter, Select, bindparam, delete, insert, select, update

from leadapi.idempotency import service as idempotency
from leadapi.quarantine.errors import SuspectMissing
from leadapi.quarantine.models import Suspect
from leadapi.storage.database import db, now

# Why something is caught.
HONEYPOT = "honeypot"
FILL_TIME = "fill_time"

KEPT = timedelta(days=30)
# Then the oldest go: a flood must not fill the disk.
MOST_KEPT = 10_000
# What comes takes away as many of those that are over, and at most so many more.
MOST_SWEPT = 50

_suspects = Suspect.metadata.tables["quarantine"]
_of_address = select(_suspects.c.id).where(_suspects.c.email_key == bindparam("email_key"))
_since = _suspects.c.created_at > bindparam("since")
_most: BindParameter[int] = bindparam("most")
# What another one is taking away already is left to it.
_swept = select(_suspects.c.id).limit(_most).with_for_update(skip_locked=True)
_expired = _swept.where(~_since).order_by(_suspects.c.created_at)
_oldest_kept = select(_suspects.c.id).order_by(_suspects.c.id.desc()).offset(MOST_KEPT - 1).limit(1)
_surplus = _swept.where(_suspects.c.id < _oldest_kept.scalar_subquery()).order_by(_suspects.c.id)
_delete = delete(_suspects).where(_suspects.c.id.in_(bindparam("ids", expanding=True)))
_follow = update(_suspects).where(_suspects.c.email_key == bindparam("before")).values(email_key=bindparam("after"))
_page = (
    select(_suspects.c.id, _suspects.c.created_at, _suspects.c.reason, _suspects.c.lead)
    .where(_since)
    .order_by(_suspects.c.id.desc())
    .limit(bindparam("limit"))
)
_one = (
    select(_suspects.c.lead)
    .where(_suspects.c.id == bindparam("id"), _since)
    # Nobody else takes it meanwhile.
    .with_for_update()
)


@dataclass(frozen=True)
class Caught:
    """Something in the quarantine."""

    id: int
    time: datetime
    reason: str
    # What was sent, from field to value.
    lead: Mapping[str, Any]


def suspect(suspect_id: int, lead: Mapping[str, Any], *, email_key: str, reason: str, time: datetime) -> dict[str, Any]:
    """What `keep` takes.

    :param suspect_id: the id that is answered; no lead may ever get it.
    :param lead: what was sent, from field to value.
    """
    row = {"id": suspect_id, "created_at": time, "reason": reason, "email_key": email_key}
    return row | {"lead": orjson.dumps(lead).decode()}


def keep(suspects: Sequence[dict[str, Any]]) -> None:
    """Put these into the quarantine, in the running transaction. The caller commits.

    What is too old, or too many, goes: a part of it that is larger than what comes.
    """
    db.session.execute(insert(_suspects), suspects)
    values = {"since": now() - KEPT, "most": len(suspects) + MOST_SWEPT}
    for doomed in (_expired, _surplus):
        _remove(doomed, **values)


def list_caught(*, limit: int) -> list[Caught]:
    """What is in the quarantine, the newest first.

    :param limit: how many, at most.
    """
    rows = db.session.execute(_page, {"limit": limit, "since": now() - KEPT})
    return [Caught(row.id, row.created_at, row.reason, orjson.loads(row.lead)) for row in rows]


def take_out(suspect_id: int) -> dict[str, Any]:
    """Take something out of the quarantine in the running transaction, and return what was sent. The caller commits.

    :raises SuspectMissing: it is not there, or has been for too long.
    """
    row = db.session.execute(_one, {"id": suspect_id, "since": now() - KEPT}).one_or_none()
    if row is None:
        raise SuspectMissing
    db.session.execute(_delete, {"ids": [suspect_id]})
    lead: dict[str, Any] = orjson.loads(row.lead)
    return lead


def forget(email_key: str) -> None:
    """Take away all that came from an address, in the running transaction. The caller commits."""
    _remove(_of_address, email_key=email_key)


def follow(before: str, after: str) -> None:
    """Let what came from one address be forgotten with another one, in the running transaction. The caller commits."""
    db.session.execute(_follow, {"before": before, "after": after})


def _remove(doomed: Select[Any], **values: Any) -> None:
    """Take away these, and the answers that show them."""
    ids: Sequence[int] = db.session.scalars(doomed, values).all()
    if ids:
        db.session.execute(_delete, {"ids": ids})
        idempotency.erase_records(*ids)
