"""What can be done with leads."""

from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import Select, bindparam, delete, update
from sqlalchemy.engine import Result
from sqlalchemy.engine import Row as SessionRow
from sqlalchemy.exc import IntegrityError

from leadapi.events import service as events
from leadapi.idempotency import service as idempotency
from leadapi.leads import queries
from leadapi.leads.emails import email_key
from leadapi.leads.errors import EmailTaken, LeadChanged, LeadMissing
from leadapi.leads.merging import columns, differences
from leadapi.leads.representations import ShownLead, show
from leadapi.leads.storing import store
from leadapi.quarantine import service as quarantine
from leadapi.storage import driver
from leadapi.storage.database import begin_write, db, now, scrub, violated
from leadapi.storage.driver import DriverConnection, Row, Statement

_update = update(queries.leads).where(queries.leads.c.id == bindparam("lead_id")).returning(*queries.shown)
_delete = delete(queries.leads).where(queries.leads.c.id == bindparam("lead_id"))

# How many rows an export reads at a time. The largest leads have 100 kB each, and are there several times
# while they are written. More rows at a time are not faster.
CHUNK = 100


@dataclass(frozen=True)
class LeadPage:
    """Some of the leads that match, in order and as JSON, and how many match in all."""

    total: int
    items: list[str]
    # The id after which the next page begins; None on the last page.
    next_after: int | None


@dataclass(frozen=True)
class LeadExport:
    """Rows of `queries.EXPORTED`, read as they are taken, from one snapshot and in constant memory."""

    chunks: Iterator[Sequence[Sequence[Any]]]
    # Gives the connection back, which is done already where all was taken, and lets SQLite forget
    # what was erased meanwhile.
    close: Callable[[], None]


def create_lead(
    *,
    full_name: str,
    email: str,
    company: str | None = None,
    message: str | None = None,
    source: str | None = None,
    attributes: Mapping[str, str] | None = None,
    actor: str | None = None,
    tell_which: bool = False,
) -> ShownLead:
    """Store a new lead and return it.

    :param email: an address as `emails.normalize_email` returns it.
    :param actor: the id of the key that does it.
    :param tell_which: whether a refusal may say which lead has the address.
    :raises EmailTaken: a lead with this address exists, perhaps in another spelling.
    """
    key = email_key(email)
    values = {
        "full_name": full_name,
        "email": email,
        "email_key": key,
        "company": company,
        "message": message,
        "source": source,
        "attributes": orjson.dumps(attributes or {}).decode(),
        "created_at": now(),
    }
    # The database decides, so two requests at once cannot both win.
    lead = store(values, actor)
    if lead is None:
        raise EmailTaken(_id_of(key) if tell_which else None)
    return lead


def list_leads(
    *, limit: int, offset: int = 0, after: int | None = None, descending: bool = False, **filters: Any
) -> LeadPage:
    """A page of the leads that match, by id.

    :param limit: how many, at most.
    :param offset: how many to leave out first.
    :param after: the id after which, in the given order, the page begins.
    :param descending: newest first.
    :param filters: see `export_leads`.
    """
    values = _values(filters)
    names = frozenset(values)
    # Of an address there is one lead at most, and no page after it on which another could be missed.
    bounded = not descending and "email_key" not in names and db.engine.dialect.name != "sqlite"
    # One more than asked for tells whether there is a next page.
    bounds = {"limit": limit + 1, "offset": offset, "after": after}
    statement = queries.page(names, descending=descending, after=after is not None, until=bounded)
    rows = (_read_settled if bounded else driver.read)(statement, values | bounds)
    total = rows[0][-1] if rows else driver.read(queries.total(names), values)[0][0]
    return LeadPage(total, [row[1] for row in rows[:limit]], rows[limit - 1][0] if len(rows) > limit else None)


def export_leads(*, file_format: str, descending: bool = False, **filters: Any) -> LeadExport:
    """All leads that match, as they are at this moment.

    :param file_format: one of `queries.EXPORTED`.
    :param filters: any of `email` (as `emails.normalize_email` returns it), `source`,
        `status`, and `created_from` and `created_to` (aware times, both included).
    """
    values = _values(filters)
    statement = queries.matching(frozenset(values), queries.EXPORTED[file_format], descending=descending)
    # Kept, because the rows are read after the request, whose app is gone then.
    engine = db.engine
    with ExitStack() as stack:
        # A connection of its own: the session ends with the request.
        connection = stack.enter_context(engine.connect().execution_options(yield_per=CHUNK))
        rows = stack.enter_context(closing(connection.execute(statement, values)))
        resources = stack.pop_all()

    def close() -> None:
        resources.close()
        scrub(engine)

    return LeadExport(_taking(rows, resources), close)


def show_lead(lead_id: int, *, expected: Container[str] | None = None) -> ShownLead:
    """The lead with this id.

    :param expected: the tags of the states that will do, see `ShownLead.tag`; None for any.
    :raises LeadMissing: there is none.
    :raises LeadChanged: it is in another state.
    """
    return _expected(_row(queries.one, lead_id), expected)


def change_lead(
    lead_id: int,
    changes: Mapping[str, Any],
    *,
    expected: Container[str] | None = None,
    actor: str | None = None,
    tell_which: bool = False,
) -> ShownLead:
    """Change some fields of a lead and return it.

    :param changes: from field to value. `attributes` are merged into those there are: None takes
        one away, and None instead of them takes all away (RFC 7396).
    :param expected: the tags of the states it may be changed in; None for any.
    :param actor: the id of the key that does it.
    :param tell_which: whether a refusal may say which lead has the address.
    :raises LeadMissing: there is no lead with this id.
    :raises LeadChanged: it is in another state.
    :raises EmailTaken: another lead has the address.
    :raises TooManyAttributes: it would have more of them than are kept.
    """
    begin_write()
    row = _row(queries.locked, lead_id)
    lead = _expected(row, expected)
    difference = differences(orjson.loads(lead.json), changes)
    if not difference:
        return lead
    time = now()
    values = columns({name: change["to"] for name, change in difference.items()}) | {"updated_at": time}
    try:
        lead = show(db.session.execute(_update.values(values), {"lead_id": lead_id}).one())
    except IntegrityError as exc:
        db.session.rollback()
        # The database decides, so two requests at once cannot both win. But it may have refused
        # for another reason: only name the one that is really there.
        if violated(exc) != "uq_leads_email_key":
            raise
        raise EmailTaken(_id_of(values["email_key"]) if tell_which else None) from exc
    if row.email_key != values.get("email_key", row.email_key):
        # What was caught so far came from the same person, who may be erased later.
        quarantine.follow(row.email_key, values["email_key"])
    data = orjson.dumps({"changes": difference})
    events.record([events.event(lead_id=lead_id, type=events.UPDATED, time=time, actor=actor, data=data)])
    db.session.commit()
    return lead


def erase_lead(lead_id: int, *, expected: Container[str] | None = None, actor: str | None = None) -> None:
    """Take a person out of everything that is kept. That lead N was erased, when and by which key stays.

    :param expected: the tags of the states it may be erased in; None for any.
    :param actor: the id of the key that does it.
    :raises LeadMissing: there is no lead with this id.
    :raises LeadChanged: it is in another state.
    """
    begin_write()
    row = _row(queries.locked, lead_id)
    _expected(row, expected)
    events.forget(lead_id)
    idempotency.erase_records(lead_id)
    quarantine.forget(row.email_key)
    db.session.execute(_delete, {"lead_id": lead_id})
    if db.engine.dialect.name == "postgresql":
        db.session.execute(queries.sweep)
    events.record([events.event(lead_id=lead_id, type=events.ERASED, time=now(), actor=actor)])
    db.session.commit()
    scrub(db.engine)


def list_events(lead_id: int, **part: Any) -> events.EventPage:
    """A page of a lead's history, oldest first; of an erased one, that it was erased.

    :param part: see `leadapi.events.service.list_events`.
    :raises LeadMissing: there never was a lead with this id.
    """
    page = events.list_events(lead_id, **part)
    if not page.total:
        show_lead(lead_id)
    return page


def _taking(rows: Result[Any], resources: ExitStack) -> Iterator[Sequence[Sequence[Any]]]:
    with resources:
        yield from rows.partitions()


def _read_settled(statement: Statement, values: dict[str, Any]) -> list[Row]:
    """The rows up to the first lead that may still appear: a reader who follows the pages must not pass it.

    What is settled stays so. Hence what was known before serves a page that is full, and only the
    pages at the end of the list have to ask.
    """
    with DriverConnection() as connection:
        known = connection.memory.get("settled", 0)
        rows = connection.run(statement, values | {"until": known})
        if len(rows) < values["limit"]:
            settled = connection.memory["settled"] = connection.run(queries.settled, {})[0][0]
            if settled != known:
                rows = connection.run(statement, values | {"until": settled})
    return rows


def _values(filters: dict[str, Any]) -> dict[str, Any]:
    """The parameters of a statement: an address is looked for by its key."""
    if "email" in filters:
        filters["email_key"] = email_key(filters.pop("email"))
    return filters


def _row(statement: Select[Any], lead_id: int) -> SessionRow[Any]:
    row = db.session.execute(statement, {"lead_id": lead_id}).one_or_none()
    if row is None:
        raise LeadMissing
    return row


def _expected(row: SessionRow[Any], expected: Container[str] | None) -> ShownLead:
    lead = show(row)
    if expected is not None and lead.tag not in expected:
        raise LeadChanged
    return lead


def _id_of(key: str) -> int | None:
    """The id of the lead with this address; None where it was erased meanwhile."""
    rows = driver.read(queries.id_of, {"email_key": key})
    return rows[0][0] if rows else None
