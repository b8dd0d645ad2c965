"""Leads that come in, one or many: stored where they are new, and where not, treated as their sender prefers."""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

import orjson
from sqlalchemy.engine import Row
from sqlalchemy.exc import OperationalError

from leadapi.events import service as events
from leadapi.leads import queries, service
from leadapi.leads.emails import email_key
from leadapi.leads.errors import EmailTaken, TooManyAttributes
from leadapi.leads.merging import Difference, columns, differences
from leadapi.leads.representations import ShownLead, dump, show, show_sent
from leadapi.quarantine import service as quarantine
from leadapi.storage.database import begin_write, db, now
from leadapi.storage.write_queue import WriteLockUnavailable

MERGE = "merge-duplicates"
IGNORE = "ignore-duplicates"

# How often it is tried, where others erase or lock what is being stored.
TRIES = 5
# PostgreSQL's deadlock_detected: two who store many leads waited for each other, and this one gave way.
DEADLOCK = "40P01"

NewLead = Mapping[str, Any]

Result = TypeVar("Result")

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Capture:
    """What became of a lead that came in."""

    # As it is now; None where it was refused.
    lead: ShownLead | None
    created: bool = False
    refusal: EmailTaken | TooManyAttributes | None = None
    # Why it is in the quarantine, under the id that is shown, and there is no such lead.
    caught: str | None = None


class LeadGone(Exception):
    """A lead whose address was taken was erased before it could be changed."""


def capture_lead(
    new_lead: NewLead,
    *,
    resolution: str | None = None,
    actor: str | None = None,
    may_read: bool = False,
    never_refuse: bool = False,
    caught: str | None = None,
) -> Capture:
    """Store a lead, or treat it as a repeat.

    :param new_lead: what `service.create_lead` takes.
    :param resolution: `MERGE`, `IGNORE`, or None to refuse a repeat.
    :param actor: the id of the key that does it.
    :param may_read: whether a refusal may say which lead has the address, and a repeat show more of it than was sent.
    :param never_refuse: whether attributes that are too many for the lead are only kept in its history.
    :param caught: why it is put into the quarantine, and only looks as if it were stored; None for what is let in.
    :raises EmailTaken: a lead with this address exists, and there is no resolution.
    :raises TooManyAttributes: after the merge it would have more of them than are kept.
    """
    if resolution is None and caught is None:
        return Capture(service.create_lead(**new_lead, actor=actor, tell_which=may_read), created=True)
    (capture,) = capture_leads(
        [new_lead],
        resolution=resolution,
        actor=actor,
        may_read=may_read,
        never_refuse=never_refuse,
        caught=[caught],
    )
    if capture.refusal:
        raise capture.refusal
    return capture


def capture_leads(
    new_leads: Sequence[NewLead],
    *,
    resolution: str | None = None,
    actor: str | None = None,
    may_read: bool = True,
    never_refuse: bool = False,
    caught: Sequence[str | None] = (),
) -> list[Capture]:
    """Store many leads in one transaction, and say of each, in their order, what became of it.

    One that is refused keeps no other one from being stored. Two with one address are treated as
    if the second came later. The number of statements is the same for any number of leads.

    :param new_leads: each what `service.create_lead` takes.
    :param resolution: `MERGE`, `IGNORE`, or None to refuse repeats.
    :param actor: the id of the key that does it.
    :param may_read: whether a repeat may show more of the lead than was sent.
    :param never_refuse: see `capture_lead`.
    :param caught: of each, see `capture_lead`; may be left out where all are let in.
    """
    if not new_leads:
        return []
    reasons = caught or [None] * len(new_leads)
    judged = list(zip(new_leads, reasons, strict=True))
    let_in = [lead for lead, reason in judged if not reason]
    suspects = [(lead, reason) for lead, reason in judged if reason]

    def store() -> list[Capture]:
        begin_write()
        stored = iter(_capture(let_in, resolution, actor, may_read, never_refuse) if let_in else ())
        kept = iter(_catch(suspects) if suspects else ())
        captures = [next(kept if reason else stored) for reason in reasons]
        db.session.commit()
        return captures

    captures = try_again(store)
    for capture in captures:
        if capture.caught and capture.lead:
            logger.info("lead.caught", extra={"quarantine_id": capture.lead.id, "reason": capture.caught})
    return captures


def try_again(act: Callable[[], Result], *, waits: bool = False) -> Result:
    """Do what is one transaction, and from its beginning again as long as others are in its way.

    :param waits: whether it can also wait for longer than a request may, for others who write.
    """
    for _ in range(TRIES - 1):
        try:
            return act()
        except (LeadGone, OperationalError, WriteLockUnavailable) as exc:
            db.session.rollback()
            deadlock = isinstance(exc, OperationalError) and getattr(exc.orig, "sqlstate", None) == DEADLOCK
            if not (deadlock or isinstance(exc, LeadGone) or (waits and isinstance(exc, WriteLockUnavailable))):
                raise
    return act()


def _catch(suspects: Sequence[tuple[NewLead, str]]) -> list[Capture]:
    """Put leads into the quarantine, each for its reason, and show them as if they were new, whoever has the address.

    Their ids are true ones, which nothing else gets: of two that are caught, each has its own, and no
    lead that comes later is where this one seems to be.
    """
    time = now()
    for statement in queries.reserving[db.engine.dialect.name]:
        reserved = db.session.execute(statement, {"number": len(suspects)})
    captures, rows = [], []
    for (new_lead, reason), lead_id in zip(suspects, reserved.scalars().all(), strict=True):
        captures.append(Capture(show_sent(lead_id, new_lead, time), created=True, caught=reason))
        key = email_key(new_lead["email"])
        rows.append(quarantine.suspect(lead_id, new_lead, email_key=key, reason=reason, time=time))
    quarantine.keep(rows)
    return captures


def _capture(
    new_leads: Sequence[NewLead], resolution: str | None, actor: str | None, may_read: bool, never_refuse: bool
) -> list[Capture]:
    time = now()
    keys = [email_key(lead["email"]) for lead in new_leads]
    new = _insert(new_leads, keys, time)
    leads = _Leads(time, () if resolution is None else _lock(set(keys) - new.keys()))
    captures, happened = [], []
    for new_lead, key in zip(new_leads, keys, strict=True):
        if row := new.pop(key, None):
            lead = leads.add(key, row)
            captures.append(Capture(lead, created=True))
            happened.append(events.event(lead_id=lead.id, type=events.CREATED, time=time, actor=actor, data=lead.json))
        elif resolution is None:
            captures.append(Capture(None, refusal=EmailTaken()))
        else:
            try:
                lead, difference = leads.change(key, new_lead if resolution == MERGE else {}, what_fits=never_refuse)
            except TooManyAttributes as exc:
                captures.append(Capture(None, refusal=exc))
                continue
            # Anybody can send an address, and must not learn what others have sent with it.
            captures.append(Capture(lead if may_read else show_sent(lead.id, new_lead, time)))
            data = orjson.dumps({"resolution": resolution, "sent": new_lead, "changes": difference})
            happened.append(events.event(lead_id=lead.id, type=events.REPEATED, time=time, actor=actor, data=data))
    if leads.changed:
        db.session.execute(queries.rewriting(db.engine.dialect.name), leads.changed)
    events.record(happened)
    return captures


def _insert(new_leads: Sequence[NewLead], keys: Sequence[str], time: datetime) -> dict[str, Row[Any]]:
    """Store the first of each address that is free. From the address's key to the row."""
    none = {"company": None, "message": None, "source": None}
    values: dict[str, dict[str, Any]] = {}
    for new_lead, key in zip(new_leads, keys, strict=True):
        attributes = orjson.dumps(new_lead.get("attributes") or {}).decode()
        values.setdefault(key, {**none, **new_lead, "email_key": key, "attributes": attributes, "created_at": time})
    rows = db.session.execute(queries.capturing(db.engine.dialect.name), list(values.values())).all()
    return {row.email_key: row for row in rows}


def _lock(keys: set[str]) -> Sequence[Row[Any]]:
    """The leads that have these addresses; nobody else changes them until the transaction ends."""
    rows = db.session.execute(queries.locked_by_key, {"keys": sorted(keys)}).all() if keys else []
    if len(rows) < len(keys):
        raise LeadGone
    return rows


class _Leads:
    """Leads as one new one after the other leaves them, until they are written."""

    def __init__(self, time: datetime, rows: Iterable[Row[Any]]) -> None:
        self._time = time
        self._rows = {row.email_key: row for row in rows}
        self._states: dict[str, dict[str, Any]] = {}
        self._changed: set[str] = set()

    def add(self, key: str, row: Row[Any]) -> ShownLead:
        """One that has just been stored."""
        self._rows[key] = row
        return show(row)

    def change(self, key: str, new_lead: NewLead, *, what_fits: bool) -> tuple[ShownLead, Difference]:
        """Let what is given and not null overwrite what is there."""
        if key not in self._states:
            self._states[key] = orjson.loads(show(self._rows[key]).json)
        state = self._states[key]
        given = {name: value for name, value in new_lead.items() if value is not None}
        difference = differences(state, given, what_fits=what_fits)
        if difference:
            self._changed.add(key)
            state |= {name: change["to"] for name, change in difference.items()} | {"updated_at": self._time}
        return ShownLead(state["id"], dump(state)), difference

    @property
    def changed(self) -> list[dict[str, Any]]:
        """The columns of those that are other than they were."""
        names = (*queries.REWRITTEN, "updated_at")
        return [
            columns({name: self._states[key][name] for name in names}) | {"created_at": self._time}
            for key in sorted(self._changed)
        ]
