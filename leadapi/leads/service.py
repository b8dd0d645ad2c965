"""Read, change and erase leads. New leads come in through captures.py."""

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
from leadapi.keys.service import Caller
from leadapi.leads import queries, search
from leadapi.leads.emails import email_key
from leadapi.leads.erasure import erase_leads as erase_leads  # noqa: PLC0414  # other features erase leads, too
from leadapi.leads.errors import EmailTaken, LeadChanged, LeadMissing
from leadapi.leads.merging import changed_row, differences, left_out
from leadapi.leads.models import SEARCHED, SHOWN
from leadapi.leads.paging import Position, read_page, read_settled
from leadapi.leads.representations import EXAMPLE as EXAMPLE  # noqa: PLC0414  # destinations send it as a test
from leadapi.leads.representations import ShownLead, shown
from leadapi.leads.unchanged import find_unchanged as find_unchanged  # noqa: PLC0414  # the retention asks for it
from leadapi.leads.unchanged import lock_unchanged as lock_unchanged  # noqa: PLC0414  # the same
from leadapi.quarantine import service as quarantine

# How many rows an export reads at a time. The largest leads have 100 kB each, and several copies of them exist
# while they are written. Larger pieces are not faster.
EXPORT_ROWS = 100

Condition = Callable[[str], bool]


@dataclass(frozen=True)
class LeadPage:
    """Some of the leads that match, in order and as JSON, and how many match in all."""

    total: int
    items: list[str]
    # The position after which the next page begins; None on the last page.
    next_after: Position | None


@dataclass(frozen=True)
class LeadExport:
    """Rows of `queries.EXPORTED`, read from one snapshot while they are taken, in constant memory."""

    chunks: Iterator[Sequence[Sequence[Any]]]
    # Returns the connection to the pool. It is to be called in any case.
    close: Callable[[], None]


def list_leads(
    *, limit: int, offset: int = 0, after: Position | None = None, sort: str = "id", **filters: Any
) -> LeadPage:
    """A page of the leads that match.

    :param limit: how many, at most.
    :param offset: how many to leave out first.
    :param after: the position after which, in the given order, the page begins.
    :param sort: see `queries.matching`.
    :param filters: see `export_leads`.
    :raises LeadsUnsettled: a transaction that stores leads on this page has been open for too long.
    """
    words = search.patterns(filters.pop("q", None))
    values = _values(filters)
    names = frozenset(values)
    lead_id, time = after or (None, None)
    # One row more than asked for tells whether there is a next page.
    values |= words | {"limit": limit + 1, "offset": offset, "after": lead_id, "after_time": time}
    with storage.read() as connection:
        dialect = connection.dialect.name
        statement = queries.page(names, sort=sort, after=after is not None, words=len(words), dialect=dialect)
        if words:
            storage.plan_for_values(connection)
        # In another order, later leads need not come last. Newest first, they appear on pages that the walk has passed.
        read_rows = read_settled if sort == "id" and dialect == "postgresql" else read_page
        rows, next_after = read_rows(connection, statement, values)
        count = queries.total(names, words=len(words))
        total = rows[0][2] if rows else connection.execute(count, values).scalar_one()
    return LeadPage(total, [row[1] for row in rows], next_after)


def export_leads(*, file_format: str, sort: str = "id", **filters: Any) -> LeadExport:
    """All leads that match, as they are at this moment.

    :param file_format: one of `queries.EXPORTED`.
    :param sort: see `queries.matching`.
    :param filters: any of `email` (as `emails.normalize_email` returns it), `source`, `status`, `q` (words as in
        `search.patterns`), and `created_from`, `created_to` and `updated_from` (aware times, included).
    :raises leadapi.storage.StreamsBusy: too many exports are running in this process.
    """
    words = search.patterns(filters.pop("q", None))
    values = _values(filters)
    columns = queries.EXPORTED[file_format]
    statement = queries.matching(frozenset(values), columns, sort=sort, words=len(words))
    values |= words
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
            difference = differences(state, changes, drop_excess=not by.may("read"))
            time = storage.now()
            data: dict[str, Any] = {"changes": difference}
            if rest := left_out(state, difference, changes):
                data["left_out"] = rest
            if difference or rest:
                text = orjson.dumps(data).decode()
                event = NewEvent(lead_id=lead_id, type=events.UPDATED, created_at=time, actor=by.key_id, data=text)
                events.record(tx, [event])
            if not difference:
                return lead
            state |= {name: change["to"] for name, change in difference.items()} | {"updated_at": time}
            changed = changed_row(state, time)
            queries.updating.execute(tx, [changed])
            if not difference.keys().isdisjoint(SEARCHED):
                queries.store_texts.execute(tx, [changed])
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
    """Erase one lead: see `erase_leads`.

    :param condition: see `show_lead`.
    :raises LeadMissing: there is no lead with this id.
    :raises LeadChanged: the condition does not hold.
    """
    with storage.write() as tx:
        _locked(tx, lead_id, condition)
        erase_leads(tx, [lead_id], by=by)
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


def _id_of(key: str) -> int | None:
    """The id of the lead with this address; None if it was erased meanwhile."""
    with storage.read() as connection:
        return connection.execute(queries.id_of, {"email_key": key}).scalar_one_or_none()
