"""What can be done with leads."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy.engine import Result

from leadapi import driver
from leadapi.database import db
from leadapi.driver import DriverConnection, Row, Statement
from leadapi.leads import queries
from leadapi.leads.emails import email_key
from leadapi.leads.errors import EmailTaken

# How many rows an export reads at a time.
CHUNK = 1000


@dataclass(frozen=True)
class ShownLead:
    """A lead as clients see it."""

    id: int
    json: str


@dataclass(frozen=True)
class LeadPage:
    """Some of the leads that match, in order and as JSON, and how many match in all."""

    total: int
    items: list[str]
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
) -> ShownLead:
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
    # The database decides, so two requests at once cannot both win.
    rows = driver.write(queries.insert, values)
    if not rows:
        raise EmailTaken
    return ShownLead(*rows[0])


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
    bounded = not descending and db.engine.dialect.name != "sqlite"
    # One more than asked for tells whether there is a next page.
    bounds = {"limit": limit + 1, "offset": offset, "after": after}
    statement = queries.page(names, descending=descending, after=after is not None, until=bounded)
    rows = (_read_settled if bounded else driver.read)(statement, values | bounds)
    total = rows[0][-1] if rows else driver.read(queries.total(names), values)[0][0]
    return LeadPage(total, [row[1] for row in rows[:limit]], rows[limit - 1][0] if len(rows) > limit else None)


def export_leads(*, descending: bool = False, **filters: Any) -> LeadExport:
    """All leads that match, as they are at this moment.

    :param filters: any of `email` (as `emails.normalize_email` returns it), `source`, and
        `created_from` and `created_to` (aware times, both included).
    """
    values = _values(filters)
    statement = queries.matching(frozenset(values), queries.shown, descending=descending)
    with ExitStack() as stack:
        # A connection of its own: the session ends with the request, and the rows are read after it.
        connection = stack.enter_context(db.engine.connect().execution_options(yield_per=CHUNK))
        rows = stack.enter_context(closing(connection.execute(statement, values)))
        resources = stack.pop_all()
    return LeadExport(_taking(rows, resources), resources.close)


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
