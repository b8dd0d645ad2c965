"""The one way in: new leads from requests, forms, batches, files and the quarantine are stored here."""

import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Any, NamedTuple

import orjson
from sqlalchemy import Connection

from leadapi import storage
from leadapi.events import service as events
from leadapi.events.service import NewEvent
from leadapi.idempotency import service as idempotency
from leadapi.keys.service import Caller
from leadapi.leads import queries
from leadapi.leads.emails import email_key
from leadapi.leads.errors import EmailTaken, TooManyAttributes
from leadapi.leads.merging import Difference, changed_row, differences
from leadapi.leads.models import MERGED
from leadapi.leads.representations import ShownLead, echo, shown
from leadapi.leads.search import search_text
from leadapi.quarantine import service as quarantine
from leadapi.storage.rows import parameters, time_text

# What to do with a repeat, a new lead whose address is stored already. Otherwise it is refused.
MERGE = "merge-duplicates"
IGNORE = "ignore-duplicates"

# How often an insert is tried while other transactions erase the lead that has the address.
ATTEMPTS = 5
# The caller of a release. Like a visitor's form, it is never refused for what is stored, and never replaces a stored
# address. It has `read`, because the operator sees the stored lead.
RELEASER = Caller(None, frozenset(["read"]), is_visitor=True)

logger = logging.getLogger(__name__)


class NewLead(NamedTuple):
    """A lead that came in.

    :param fields: some of `models.SENT`, valid as the schema leaves them; from a file, some of `models.IMPORTED`.
    :param caught: the reason for which it goes into the quarantine; None if it is let in.
    :param left_out: text of a form that the fields have no room for, by its name; it is kept in the history.
    """

    fields: Mapping[str, Any]
    caught: str | None = None
    left_out: Mapping[str, str] = MappingProxyType({})


class Capture(NamedTuple):
    """The outcome for a new lead.

    :param lead: the lead as its sender may see it; None if it was refused.
    :param refusal: why it was refused.
    :param caught: the reason for which it is in the quarantine, under the id that its sender sees.
    """

    lead: ShownLead | None
    created: bool = False
    refusal: EmailTaken | TooManyAttributes | None = None
    caught: str | None = None


@storage.retries_deadlocks
def capture(
    new_leads: Sequence[NewLead], *, by: Caller, on_repeat: str | None = None, within: Connection | None = None
) -> list[Capture]:
    """Store new leads, or treat repeats as asked, in one transaction. The outcomes are in the order of the leads.

    A refused lead keeps no other one from being stored. Of two leads with one address, the second is a repeat.
    The number of statements does not depend on the number of leads, except that each repeated lead with more than
    `events.MAX_REPEATED` events takes one more.

    :param by: the caller. Only a caller with the scope `read` sees stored data in an outcome. A visitor's form, and
        a caller without `read`, are never refused for what is stored already: attributes beyond the limits are then
        kept in the history only. An anonymous caller never changes the spelling of a stored address.
    :param on_repeat: `MERGE`, `IGNORE`, or None to refuse repeats.
    :param within: an open transaction to take part in; see `storage.write`.
    """
    if not new_leads:
        return []
    keys = [email_key(new.fields["email"]) for new in new_leads]
    let_in = [(new, key) for new, key in zip(new_leads, keys, strict=True) if not new.caught]
    quarantined = [(new, key) for new, key in zip(new_leads, keys, strict=True) if new.caught]
    # Then nothing but `queries.insert_and_record` writes.
    one_statement = on_repeat is None and not quarantined and not any(new.left_out for new in new_leads)
    time = storage.now()
    with storage.write(within, one_statement=one_statement) as tx:
        stored = iter(_store(tx, let_in, by, on_repeat, time))
        caught = iter(_quarantine(tx, quarantined, time))
        outcomes = [next(caught if new.caught else stored) for new in new_leads]
    for outcome in outcomes:
        if outcome.caught and outcome.lead:
            logger.info("lead.quarantined", extra={"quarantine_id": outcome.lead.id, "reason": outcome.caught})
    return outcomes


@storage.retries_deadlocks
def release(item_id: int) -> Capture:
    """Take an item out of the quarantine and capture it as a form: a lead with its address is merged with it.

    A new lead gets a new id, although its sender saw another one: clients that follow the list are past that id.

    :raises leadapi.quarantine.errors.QuarantinedLeadMissing: there is no such item.
    """
    with storage.write() as tx:
        sent = quarantine.pop(tx, item_id)
        left_out = sent.pop("left_out", {})
        (outcome,) = capture([NewLead(sent, left_out=left_out)], by=RELEASER, on_repeat=MERGE, within=tx)
        if outcome.lead:
            idempotency.reassign_records(tx, item_id, outcome.lead.id)
    return outcome


def _store(
    tx: Connection, new_leads: Sequence[tuple[NewLead, str]], by: Caller, on_repeat: str | None, time: datetime
) -> list[Capture]:
    if not new_leads:
        return []
    firsts: dict[str, NewLead] = {}
    for new, key in new_leads:
        firsts.setdefault(key, new)
    created, existing = _insert_or_lock(tx, firsts, by, time, lock=on_repeat is not None)
    refused = firsts.keys() - created.keys() if on_repeat is None else ()
    # A caller without `read` does not learn which lead has the address.
    taken = _ids_of(tx, refused) if refused and by.may("read") else {}
    states = _States(created | existing, time)
    outcomes: list[Capture] = []
    happened: list[NewEvent] = []
    pending = dict(created)
    for new, key in new_leads:
        if lead := pending.pop(key, None):
            outcomes.append(Capture(lead, created=True))
        elif on_repeat is None:
            outcomes.append(Capture(None, refusal=EmailTaken(taken.get(key))))
        else:
            given = _given(new, by) if on_repeat == MERGE else {}
            try:
                lead, difference = states.change(key, given, drop_excess=by.is_visitor or not by.may("read"))
            except TooManyAttributes as exc:
                outcomes.append(Capture(None, refusal=exc))
                continue
            outcomes.append(Capture(lead if by.may("read") else echo(lead.id, new.fields, time)))
            data = {"resolution": on_repeat, "sent": new.fields, "changes": difference}
            if new.left_out:
                data["left_out"] = new.left_out
            happened.append(
                _event(events.REPEATED, lead.id, by, time, orjson.dumps(data, option=orjson.OPT_UTC_Z).decode())
            )
    if states.changed:
        queries.updating.execute(tx, states.changed)
        queries.store_texts.execute(tx, states.changed)
    if happened:
        events.record(tx, happened)
    return outcomes


def _insert_or_lock(
    tx: Connection, new_leads: Mapping[str, NewLead], by: Caller, time: datetime, *, lock: bool
) -> tuple[dict[str, ShownLead], dict[str, ShownLead]]:
    """Insert the leads whose address is free, with their events; lock the stored leads that have the other addresses.

    :param new_leads: by the key of the address.
    :return: the inserted and the locked leads, by the key of the address.
    """
    inserted: dict[str, ShownLead] = {}
    locked: dict[str, ShownLead] = {}
    missing = set(new_leads)
    for _ in range(ATTEMPTS):
        inserted |= _insert(tx, {key: new for key, new in new_leads.items() if key in missing}, by, time)
        missing -= inserted.keys()
        if lock and missing:
            locked |= _by_key(tx.execute(queries.locked_by_key, {"keys": sorted(missing)}))
            missing -= locked.keys()
        # An address is still missing if another transaction erased its lead between the two statements.
        if not lock or not missing:
            return inserted, locked
    raise storage.WriteLockUnavailable("other transactions keep erasing the lead")


def _insert(tx: Connection, new_leads: Mapping[str, NewLead], by: Caller, time: datetime) -> dict[str, ShownLead]:
    """Insert leads whose address is free, and record that they were created.

    :param new_leads: by the key of the address.
    :return: the inserted leads, by the key of the address.
    """
    left_out = any(new.left_out for new in new_leads.values())
    event = {"time": time_text(time), "actor": by.key_id, "announced": by.announces}
    rows = {key: _row(new, key, time) for key, new in new_leads.items()}
    if tx.dialect.name == "postgresql" and not left_out:
        values = event | parameters(tx, queries.STORED, list(rows.values()))
        return _by_key(tx.execute(queries.insert_and_record, values).all())
    keys: dict[int, str] = {}
    texts = []
    inserted: Sequence[Any] = queries.inserting.execute(tx, list(rows.values())).all()
    for lead_id, key in inserted:
        keys[lead_id] = key
        texts.append({"lead_id": lead_id, "search_text": rows[key]["search_text"]})
    if not keys:
        return {}
    queries.store_texts.execute(tx, texts)
    if not left_out:
        # On SQLite: PostgreSQL has inserted all by one statement.
        recorded = tx.execute(queries.record_new, event | {"first": min(keys)}).all()
        return {keys[lead_id]: ShownLead(lead_id, json) for lead_id, json in recorded}
    # The lock holds nobody up: no other transaction sees these leads yet.
    created = _by_key(tx.execute(queries.locked_by_key, {"keys": sorted(keys.values())}))
    data = {key: _with_left_out(lead, new_leads[key]) for key, lead in created.items()}
    events.record(tx, [_event(events.CREATED, lead.id, by, time, data[key]) for key, lead in created.items()])
    return created


def _with_left_out(lead: ShownLead, new: NewLead) -> str:
    """The data of the event of a new lead: the lead, and the text that it has no room for."""
    if not new.left_out:
        return lead.json
    return orjson.dumps(lead.fields | {"left_out": new.left_out}).decode()


def _row(new: NewLead, key: str, time: datetime) -> dict[str, Any]:
    fields = new.fields
    # A file may give times: a lead that was changed existed before.
    created_at = fields.get("created_at") or fields.get("updated_at") or time
    attributes = orjson.dumps(fields.get("attributes") or {}).decode()
    row = {"status": "new", **fields, "email_key": key, "attributes": attributes, "created_at": created_at}
    row["search_text"] = search_text(fields)
    return row


def _by_key(rows: Iterable[Any]) -> dict[str, ShownLead]:
    return {key: ShownLead(lead_id, json) for lead_id, key, json in rows}


def _ids_of(tx: Connection, keys: Collection[str]) -> dict[str, int]:
    """The ids of the leads that have these addresses, by the key of the address."""
    return {row.email_key: row.id for row in tx.execute(queries.ids_by_key, {"keys": sorted(keys)})}


def _given(new: NewLead, by: Caller) -> dict[str, Any]:
    """The fields that a merge overwrites: those that are given and not null."""
    given = {name: value for name, value in new.fields.items() if name in MERGED and value is not None}
    if by.is_anonymous:
        del given["email"]
    return given


def _quarantine(tx: Connection, quarantined: Sequence[tuple[NewLead, str]], time: datetime) -> list[Capture]:
    """Put leads into the quarantine; their senders see them as if they were stored, whoever has the address.

    Their ids come from the sequence of the leads, so that each caught lead has its own and no later lead gets it.
    """
    if not quarantined:
        return []
    for statement in queries.reserving[tx.dialect.name]:
        reserved = tx.execute(statement, {"number": len(quarantined)})
    outcomes, items = [], []
    for (new, key), lead_id in zip(quarantined, reserved.scalars().all(), strict=True):
        reason = new.caught or ""
        outcomes.append(Capture(echo(lead_id, new.fields, time), created=True, caught=reason))
        sent = {**new.fields, "left_out": dict(new.left_out)} if new.left_out else new.fields
        items.append(quarantine.NewQuarantinedLead(lead_id, sent, key, reason, time))
    quarantine.add(tx, items)
    return outcomes


def _event(type: str, lead_id: int, by: Caller, time: datetime, data: str) -> NewEvent:  # noqa: A002  # the column's name
    return NewEvent(lead_id=lead_id, type=type, created_at=time, actor=by.key_id, data=data, announced=by.announces)


class _States:
    """Stored leads as one repeat after the other changes them, before they are written back."""

    def __init__(self, leads: Mapping[str, ShownLead], time: datetime) -> None:
        self._leads = leads
        self._time = time
        self._states: dict[str, dict[str, Any]] = {}
        self._changed: set[str] = set()

    def change(self, key: str, given: Mapping[str, Any], *, drop_excess: bool) -> tuple[ShownLead, Difference]:
        """Overwrite fields of the lead that has this address.

        :raises TooManyAttributes: see `differences`.
        """
        state = self._states.setdefault(key, self._leads[key].fields)
        difference = differences(state, given, drop_excess=drop_excess)
        if difference:
            self._changed.add(key)
            state |= {name: change["to"] for name, change in difference.items()} | {"updated_at": self._time}
        return shown(state), difference

    @property
    def changed(self) -> list[dict[str, Any]]:
        """The rows of `queries.updating` and `queries.store_texts` for the changed leads."""
        return [changed_row(self._states[key], self._time) for key in sorted(self._changed)]
