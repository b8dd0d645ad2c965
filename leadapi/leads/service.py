"""What can be done with leads."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import insert
from sqlalchemy.engine import Result, RowMapping
from sqlalchemy.exc import IntegrityError

from leadapi.database import begin_write, db, violated
from leadapi.leads import queries
from leadapi.leads.emails import email_key
from leadapi.leads.errors import EmailTaken

_insert = insert(queries.leads).returning(*queries.shown)

# How many rows an export reads at a time.
CHUNK = 1000


@dataclass(frozen=True)
class LeadPage:
    """Some of the leads that match, in order, and how many match in all."""

    total: int
    items: list[dict[str, Any]]
    # The id after which the next page begins; None on the last page.
    next_after: int | None


@dataclass(frozen=True)
class LeadExport:
    """Rows of `queries.SHOWN`, read as they are taken, from one snapshot and in constant memory."""

    chunks: Iterator[Sequence[Sequence[Any]]]
    # Gives the connection back. It need not be called where all was taken.
    close: Callable[[], None]


def create_lead(
    *,
    full_name: str,
    email: str,
    company: str | None = None,
    message: str | None = None,
    source: str | None = None,
) -> RowMapping:
    """Store a new lead and return it.

    :param email: an address as `emails.normalize_email` returns it.
    :raises EmailTaken: a lead with this address exists, perhaps in another spelling.
    """
    values = {
        "full_name": full_name,
        "email": email,
        "email_key": email_key(email),
        "company": company,
        "message": message,
        "source": source,
        # To the second, which is what is shown: a time that was read can be compared with one stored.
        "created_at": datetime.now(UTC).replace(microsecond=0),
    }
    begin_write()
    try:
        lead = db.session.execute(_insert, values).mappings().one()
    except IntegrityError as exc:
        db.session.rollback()
        # The database decides, so two requests at once cannot both win. But it may have
        # refused for another reason: only name the one that is really there.
        if violated(exc) == "uq_leads_email_key":
            raise EmailTaken from exc
        raise
    db.session.commit()
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
    # Oldest first, a reader who follows the pages must not pass a lead that is still to appear.
    until = None if descending else _settled()
    # One more than asked for tells whether there is a next page.
    bounds = {"limit": limit + 1, "offset": offset, "after": after, "until": until}
    statement = queries.page(names, descending=descending, after=after is not None, until=until is not None)
    rows = db.session.execute(statement, values | bounds).all()
    total = rows[0][-1] if rows else db.session.execute(queries.total(names), values).scalar_one()
    items = [dict(zip(queries.SHOWN, row, strict=False)) for row in rows[:limit]]
    return LeadPage(total, items, items[-1]["id"] if len(rows) > limit else None)


def export_leads(*, descending: bool = False, **filters: Any) -> LeadExport:
    """All leads that match, as they are at this moment.

    :param filters: any of `email` (as `emails.normalize_email` returns it), `source`, and
        `created_from` and `created_to` (aware times, both included).
    """
    values = _values(filters)
    statement = queries.matching(frozenset(values), descending=descending)
    with ExitStack() as stack:
        # A connection of its own: the session ends with the request, and the rows are read after it.
        connection = stack.enter_context(db.engine.connect().execution_options(yield_per=CHUNK))
        rows = stack.enter_context(closing(connection.execute(statement, values)))
        resources = stack.pop_all()
    return LeadExport(_taking(rows, resources), resources.close)


def _taking(rows: Result[Any], resources: ExitStack) -> Iterator[Sequence[Sequence[Any]]]:
    with resources:
        yield from rows.partitions()


def _settled() -> int | None:
    """The id up to which no lead can appear any more; None on SQLite, where they appear in order."""
    if db.engine.dialect.name == "sqlite":
        return None
    settled: int = db.session.execute(queries.settled).scalar_one()
    return settled


def _values(filters: dict[str, Any]) -> dict[str, Any]:
    """The parameters of a statement: an address is looked for by its key."""
    if "email" in filters:
        filters["email_key"] = email_key(filters.pop("email"))
    return filters
