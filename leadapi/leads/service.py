"""Read, change and erase leads. New leads come in through captures.py."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import Connection, Row
from sqlalchemy.exc import IntegrityError

from leadapi import storage
from leadapi.events import service as events
from leadapi.events.service import EventPage, NewEvent, StoredEvent
from leadapi.idempotency import service as idempotency
from leadapi.keys.service import Caller
from leadapi.leads import queries
from leadapi.leads.emails import email_key
from leadapi.leads.errors import EmailTaken, LeadChanged, LeadMissing, LeadsUnsettled
from leadapi.leads.merging import changed_row, differences, left_out
from leadapi.leads.models import SHOWN
from leadapi.leads.representations import EXAMPLE as EXAMPLE  # noqa: PLC0414  # destinations send it as a test
from leadapi.leads.representations import ShownLead, shown
from leadapi.quarantine import service as quarantine

# How many rows an export reads at a time. The largest leads have 100 kB each, and several copies of them exist
# while they are written. Larger pieces are not faster.
EXPORT_ROWS = 100
# How long a page waits at most for transactions that may still store leads on it, and how often it asks.
SETTLE_SECONDS = 2
ASK_SECONDS = 0.02

Condition = Callable[[str], bool]
# Rows of `queries.page`: id, JSON, total. They are unpacked by position, because access by name costs half as much as
# the query.
PageRows = Sequence[Row[int, str, int]]


@dataclass(frozen=True)
class LeadPage:
    """Some of the leads that match, in order and as JSON, and how many match in all."""

    total: int
    items: list[str]
    # The id after which the next page begins; None on the last page.
    next_after: int | None


@dataclass(frozen=True)
class LeadExport:
    """Rows of `queries.EXPORTED`, read from one snapshot while they are taken, in constant memory."""

    chunks: Iterator[Sequence[Sequence[Any]]]
    # Returns the connection to the pool. It is to be called in any case.
    close: Callable[[], None]


def list_leads(
    *, limit: int, offset: int = 0, after: int | None = None, descending: bool = False, **filters: Any
) -> LeadPage:
    """A page of the leads that match, by id.

    :param limit: how many, at most.
    :param offset: how many to leave out first.
    :param after: the id after which, in the given order, the page begins.
    :param descending: newest first.
    :param filters: see `export_leads`.
    :raises LeadsUnsettled: a transaction that stores leads on this page has been open for too long.
    """
    values = _values(filters)
    names = frozenset(values)
    # One row more than asked for tells whether there is a next page.
    values |= {"limit": limit + 1, "offset": offset, "after": after}
    statement = queries.page(names, descending=descending, after=after is not None)
    with storage.read() as connection:
        # Newest first, later leads appear on pages that the walk has passed in any case.
        read_rows = _read_rows if descending or storage.db.engine.dialect.name == "sqlite" else _read_settled
        rows, next_after = read_rows(connection, statement, values)
        total = rows[0][2] if rows else connection.execute(queries.total(names), values).scalar_one()
    return LeadPage(total, [json for _, json, _ in rows], next_after)


def export_leads(*, file_format: str, descending: bool = False, **filters: Any) -> LeadExport:
    """All leads that match, as they are at this moment.

    :param file_format: one of `queries.EXPORTED`.
    :param filters: any of `email` (as `emails.normalize_email` returns it), `source`, `status`, and `created_from`
        and `created_to` (aware times, both included).
    :raises leadapi.storage.StreamsBusy: too many exports are running in this process.
    """
    values = _values(filters)
    statement = queries.matching(frozenset(values), queries.EXPORTED[file_format], descending=descending)
    # The rows are read after the request, when the app context is gone.
    engine = storage.db.engine
    with ExitStack() as stack:
        connection = stack.enter_context(storage.stream(EXPORT_ROWS))
        rows = stack.enter_context(closing(connection.execute(statement, values)))
        resources = stack.pop_all()

    def close() -> None:
        resources.close()
        # An erasure during the export may have left pages in SQLite's log that the export was still using.
        storage.checkpoint(engine)

    return LeadExport(rows.partitions(), close)


def show_lead(lead_id: int, *, condition: Condition | None = None) -> ShownLead:
    """The lead with this id.

    :param condition: whether the caller accepts the lead in its state, given its JSON; None to accept any.
    :raises LeadMissing: there is no lead with this id.
    :raises LeadChanged: the condition does not hold.
    """
    with storage.read() as connection:
        json = connection.execute(queries.one, {"lead_id": lead_id}).scalar_one_or_none()
    if json is None:
        raise LeadMissing
    return _checked(ShownLead(lead_id, json), condition)


@storage.retries_deadlocks
def change_lead(lead_id: int, changes: dict[str, Any], *, by: Caller, condition: Condition | None = None) -> ShownLead:
    """Change some fields of a lead and return it.

    :param changes: from field to value; see `merging.differences`.
    :param by: the caller. Without the scope `read`, attributes beyond the limits are kept in the event only, instead
        of refused.
    :param condition: see `show_lead`.
    :raises LeadMissing: there is no lead with this id.
    :raises LeadChanged: the condition does not hold.
    :raises EmailTaken: another lead has the address.
    :raises TooManyAttributes: the lead would have more attributes than are kept.
    """
    try:
        with storage.write() as tx:
            row, lead = _locked(tx, lead_id, condition)
            state = lead.fields
            difference = differences(state, changes, what_fits=not by.may("read"))
            data: dict[str, Any] = {"changes": difference}
            if rest := left_out(state, difference, changes):
                data["left_out"] = rest
            if difference or rest:
                events.record(tx, [_event(events.UPDATED, lead_id, by, orjson.dumps(data).decode())])
            if not difference:
                return lead
            changed_at = storage.now()
            state |= {name: change["to"] for name, change in difference.items()} | {"updated_at": changed_at}
            changed = changed_row(state, changed_at)
            queries.updating.execute(tx, [changed])
            if row.email_key != changed["email_key"]:
                # Quarantined items of the old address came from the same person and are erased with the lead.
                quarantine.change_address(tx, row.email_key, changed["email_key"])
    except IntegrityError as exc:
        if storage.violated(exc) != "uq_leads_email_key":
            raise
        raise EmailTaken(_id_of(email_key(changes["email"])) if by.may("read") else None) from exc
    return shown(state)


@storage.retries_deadlocks
def erase_lead(lead_id: int, *, by: Caller, condition: Condition | None = None) -> None:
    """Delete a person's data from every table. The history keeps that the lead was erased, when, and by which key.

    :param condition: see `show_lead`.
    :raises LeadMissing: there is no lead with this id.
    :raises LeadChanged: the condition does not hold.
    """
    with storage.write() as tx:
        row, _ = _locked(tx, lead_id, condition)
        earlier = _earlier_keys(tx, lead_id)
        events.erase(tx, lead_id)
        idempotency.erase_records(tx, lead_id)
        quarantine.erase(tx, [row.email_key, *earlier])
        tx.execute(queries.erasing, {"lead_id": lead_id})
        if tx.dialect.name == "postgresql":
            tx.execute(queries.sweep)
        events.record(tx, [_event(events.ERASED, lead_id, by)])
    storage.checkpoint(storage.db.engine)


def lead_at(tx: Connection, event: StoredEvent) -> dict[str, Any] | None:
    """The visible fields of a lead as they were right after an event that created, repeated or updated it.

    :return: None if the lead was erased meanwhile.
    """
    if event.type == events.CREATED:
        return {name: event.data[name] for name in SHOWN if name in event.data}
    json = tx.execute(queries.one, {"lead_id": event.lead_id}).scalar_one_or_none()
    if json is None:
        return None
    lead = ShownLead(event.lead_id, json).fields
    later = events.changes_after(tx, event)
    for change in later:
        lead |= {name: values["from"] for name, values in change.data["changes"].items()}
    if later:
        last = events.last_change(tx, event)
        lead["updated_at"] = f"{last.time:%Y-%m-%dT%H:%M:%SZ}" if last else lead["created_at"]
    return lead


def list_events(lead_id: int, **part: Any) -> EventPage:
    """A page of a lead's history, oldest first. The history of an erased lead says that it was erased.

    :param part: see `leadapi.events.service.list_events`.
    :raises LeadMissing: there never was a lead with this id.
    """
    page = events.list_events(lead_id, **part)
    if not page.total:
        show_lead(lead_id)
    return page


def _read_rows(connection: Connection, statement: Any, values: dict[str, Any]) -> tuple[PageRows, int | None]:
    """The rows of a page, and the id after which the next page begins."""
    rows = connection.execute(statement, values).all()
    most = values["limit"] - 1
    return rows[:most], rows[most - 1][0] if len(rows) > most else None


def _read_settled(connection: Connection, statement: Any, values: dict[str, Any]) -> tuple[PageRows, int | None]:
    """The same on PostgreSQL, where a lead can appear after leads with larger ids.

    A walk over the pages must not pass an id that an open transaction may still use. So a page with a next page ends
    at a settled id, and waits for the transactions that keep it from being full: clients that count offsets expect
    full pages. The last page shows everything.

    :raises LeadsUnsettled: none of its rows is settled in time.
    """
    deadline = time.monotonic() + SETTLE_SECONDS
    # A settled id stays settled. It has to be read before the rows: leads up to it may have appeared since.
    settled = connection.info.get("settled", 0)
    while True:
        rows, next_after = _read_rows(connection, statement, values)
        if next_after is None or next_after <= settled:
            return rows, next_after
        if time.monotonic() >= deadline:
            break
        settled = connection.info["settled"] = _wait_until_settled(connection, next_after, deadline)
    rows = [row for row in rows if row.id <= settled]
    if not rows:
        raise LeadsUnsettled
    return rows, rows[-1].id


def _wait_until_settled(connection: Connection, lead_id: int, deadline: float) -> int:
    """The largest settled id, once it is as large as asked for or the time is over."""
    while True:
        settled: int = connection.execute(queries.settled).scalar_one()
        if settled >= lead_id or time.monotonic() >= deadline:
            return settled
        time.sleep(ASK_SECONDS)


def _earlier_keys(tx: Connection, lead_id: int) -> set[str]:
    """The keys of the addresses that a lead had before and that no other lead has now.

    Items that were quarantined before a change of address have followed it. Items that were quarantined with the old
    address since then came from the same person, unless another lead has the address.
    """
    changes = events.find_data(tx, lead_id, type=events.UPDATED, part='"email":{')
    keys = {email_key(data["changes"]["email"]["from"]) for data in changes if "email" in data["changes"]}
    taken = tx.execute(queries.ids_by_key, {"keys": sorted(keys)}).all() if keys else ()
    return keys - {row.email_key for row in taken if row.id != lead_id}


def _values(filters: dict[str, Any]) -> dict[str, Any]:
    """The parameters of the filters: an address is looked up by its key."""
    values = dict(filters)
    if "email" in values:
        values["email_key"] = email_key(values.pop("email"))
    return values


def _locked(tx: Connection, lead_id: int, condition: Condition | None) -> tuple[Row[Any], ShownLead]:
    row = tx.execute(queries.locked_by_id, {"lead_id": lead_id}).one_or_none()
    if row is None:
        raise LeadMissing
    return row, _checked(ShownLead(lead_id, row.json), condition)


def _checked(lead: ShownLead, condition: Condition | None) -> ShownLead:
    if condition is not None and not condition(lead.json):
        raise LeadChanged
    return lead


def _event(type: str, lead_id: int, by: Caller, data: str = "{}") -> NewEvent:  # noqa: A002  # the column's name
    return NewEvent(lead_id=lead_id, type=type, created_at=storage.now(), actor=by.key_id, data=data)


def _id_of(key: str) -> int | None:
    """The id of the lead with this address; None if it was erased meanwhile."""
    with storage.read() as connection:
        return connection.execute(queries.id_of, {"email_key": key}).scalar_one_or_none()
