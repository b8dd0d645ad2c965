"""The statements that read leads, each built once: building one costs more than running it."""

from collections.abc import Sequence
from functools import cache
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    BindParameter,
    ColumnElement,
    FunctionElement,
    Select,
    Text,
    TextClause,
    bindparam,
    cast,
    func,
    literal_column,
    select,
    text,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler

from leadapi.leads.models import Lead, LeadCount
from leadapi.storage.driver import Statement

leads = Lead.metadata.tables["leads"]
counts = LeadCount.metadata.tables["lead_counts"]

# What clients see of a lead, in the order they see it.
SHOWN = (
    "id",
    "full_name",
    "email",
    "company",
    "message",
    "source",
    "created_at",
    "status",
    "attributes",
    "updated_at",
)
shown = [*(leads.c[name] for name in SHOWN[:-1]), func.coalesce(leads.c.updated_at, leads.c.created_at)]


class TimeText(FunctionElement[str]):
    """A time as clients see it, written by the database."""

    inherit_cache = True
    type = Text()


@compiles(TimeText, "sqlite")
def _sqlite_time(element: TimeText, compiler: SQLCompiler, **options: Any) -> str:
    return f"replace(substr({compiler.process(element.clauses, **options)}, 1, 19), ' ', 'T') || 'Z'"


@compiles(TimeText, "postgresql")
def _postgresql_time(element: TimeText, compiler: SQLCompiler, **options: Any) -> str:
    time = compiler.process(element.clauses, **options)
    return f"""to_char({time} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')"""


# What clients see of a lead as text.
texts = {column.name: column for column in shown[:-1]} | {
    "created_at": TimeText(leads.c.created_at),
    "updated_at": TimeText(shown[-1]),
}


class LeadJson(ColumnElement[str]):
    """What clients see of a lead as JSON text, made by the database."""

    inherit_cache = True
    type = Text()


@compiles(LeadJson, "sqlite")
def _sqlite_json(_element: LeadJson, compiler: SQLCompiler, **options: Any) -> str:
    wire = texts | {"attributes": func.json(leads.c.attributes)}
    pairs = ", ".join(f"'{name}', {compiler.process(wire[name], **options)}" for name in SHOWN)
    return f"json_object({pairs})"


@compiles(LeadJson, "postgresql")
def _postgresql_json(_element: LeadJson, compiler: SQLCompiler, **options: Any) -> str:
    wire = texts | {"attributes": cast(leads.c.attributes, JSON)}
    columns = ", ".join(f"{compiler.process(wire[name], **options)} AS {name}" for name in SHOWN)
    return f"(SELECT row_to_json(lead)::text FROM (SELECT {columns}) AS lead)"  # noqa: S608  # only our own words


# The columns of a file of leads.
EXPORTED: dict[str, list[ColumnElement[Any]]] = {
    "csv": [texts[name] for name in SHOWN],
    "ndjson": [leads.c.id, LeadJson()],
}

# What can be asked for, and what it means.
FILTERS: dict[str, ColumnElement[bool]] = {
    "email_key": leads.c.email_key == bindparam("email_key"),
    "source": leads.c.source == bindparam("source"),
    "status": leads.c.status == bindparam("status"),
    "created_from": leads.c.created_at >= bindparam("created_from"),
    "created_to": leads.c.created_at <= bindparam("created_to"),
}


TIMES = ("created_from", "created_to")
# Whose number is kept.
KEPT: tuple[frozenset[str], ...] = (frozenset(), frozenset(["source"]), frozenset(["status"]))

# The fields that are given when a lead is stored.
GIVEN = ("full_name", "email", "email_key", "company", "message", "source", "attributes", "created_at")
# No row comes back where another lead has the address. Both databases know this clause by the same words.
inserting = (
    postgresql.insert(leads)
    .values({name: bindparam(f"new_{name}", type_=leads.c[name].type) for name in GIVEN})
    .on_conflict_do_nothing(index_elements=["email_key"])
    .returning(leads.c.id)
)

# On PostgreSQL, a lead can appear after one with a larger id: see migrations/count_triggers.py.
settled = Statement(select(func.settled_lead_id()))


def matching(filters: frozenset[str], columns: Sequence[ColumnElement[Any]], *, descending: bool) -> Select[Any]:
    """All that matches, in order. The parameters have the filters' names."""
    order = leads.c.id.desc() if descending else leads.c.id
    return select(*columns).where(*(FILTERS[name] for name in sorted(filters))).order_by(order)


@cache
def page(filters: frozenset[str], *, descending: bool, after: bool, until: bool) -> Statement:
    """Some of what matches: of each the id, what is shown, and the total of the same moment."""
    columns = [leads.c.id, LeadJson(), _total(filters).scalar_subquery()]
    by_time = not filters.isdisjoint(TIMES)
    statement = matching(filters, [leads.c.id] if by_time else columns, descending=descending)
    if until:
        last: BindParameter[int] = bindparam("until")
        statement = statement.where(leads.c.id <= last)
    if after:
        cursor: BindParameter[int] = bindparam("after")
        statement = statement.where(leads.c.id < cursor if descending else leads.c.id > cursor)
    statement = statement.limit(bindparam("limit")).offset(bindparam("offset"))
    if by_time:
        # In an order that no index has: else a database would look at one lead after the other in the order
        # of the ids, though it may be only the last ones that match.
        order = leads.c.id + literal_column("0")
        chosen = statement.order_by(None).order_by(order.desc() if descending else order)
        statement = matching(frozenset(), columns, descending=descending).where(leads.c.id.in_(chosen))
    return Statement(statement)


@cache
def total(filters: frozenset[str]) -> Statement:
    """How many match."""
    return Statement(_total(filters))


def _total(filters: frozenset[str]) -> Select[Any]:
    counting = select(func.count()).select_from(leads).where(*(FILTERS[name] for name in sorted(filters)))
    if filters not in KEPT:
        return counting
    # What is kept, and what has come since: see LeadCount.
    counted: ColumnElement[str] = literal_column("''", Text)
    for name in filters:
        wanted: BindParameter[str] = bindparam(name)
        counted = literal_column(f"'{name}:'", Text).concat(wanted)
    # PostgreSQL's sum of whole numbers is a decimal.
    number = cast(func.coalesce(func.sum(counts.c.number), 0), BigInteger)
    kept = select(number).where(counts.c.counted == counted)
    mark = select(counts.c.number).where(counts.c.counted == literal_column("'mark'"))
    # The largest id there is. Without an end, PostgreSQL would expect a third of the table after the mark.
    end = select(literal_column(str(2**63 - 1), BigInteger))
    since = counting.where(leads.c.id > mark.scalar_subquery(), leads.c.id <= end.scalar_subquery())
    return select(kept.scalar_subquery() + since.scalar_subquery())


# One lead, for a transaction that changes it: PostgreSQL lets no other one change it meanwhile.
locked: Select[Any] = select(*shown, leads.c.email_key).where(leads.c.id == bindparam("lead_id")).with_for_update()
one: Select[Any] = select(*shown).where(leads.c.id == bindparam("lead_id"))
id_of = Statement(select(leads.c.id).where(leads.c.email_key == bindparam("email_key")))
locked_by_key: Select[Any] = (
    select(*shown, leads.c.email_key)
    .where(leads.c.email_key.in_(bindparam("keys", expanding=True)))
    # In one order, so that two who do this do not wait for each other.
    .order_by(leads.c.id)
    .with_for_update()
)

# Both databases have this insert, and SQLAlchemy has it once for each.
INSERT: dict[str, Any] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}
# What a repeat may overwrite.
REWRITTEN = ("full_name", "email", "company", "message", "source", "attributes")


@cache
def capturing(dialect: str) -> Any:
    """Store those of many leads whose address is free, in their order. It returns them with their `email_key`."""
    statement = INSERT[dialect](leads).on_conflict_do_nothing(index_elements=["email_key"])
    return statement.returning(*shown, leads.c.email_key)


@cache
def rewriting(dialect: str) -> Any:
    """Write many leads anew, which are there: one statement, while updates would be one for each."""
    statement = INSERT[dialect](leads)
    values = {name: statement.excluded[name] for name in (*REWRITTEN, "updated_at")}
    # What is returned is not needed, but makes SQLAlchemy send all rows in one statement.
    return statement.on_conflict_do_update(index_elements=["email_key"], set_=values).returning(leads.c.id)


# Together these take so many of the next ids, which no lead gets then, and return them. Before the
# first lead, SQLite does not count yet.
reserving: dict[str, list[TextClause]] = {
    "sqlite": [
        text(
            "INSERT INTO sqlite_sequence (name, seq) SELECT 'leads', 0"
            " WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = 'leads')"
        ),
        text("UPDATE sqlite_sequence SET seq = seq + :number WHERE name = 'leads'"),
        text(
            "WITH RECURSIVE taken (id, rest) AS (SELECT seq, :number - 1 FROM sqlite_sequence WHERE name = 'leads'"
            " UNION ALL SELECT id - 1, rest - 1 FROM taken WHERE rest > 0) SELECT id FROM taken ORDER BY id"
        ),
    ],
    "postgresql": [text("SELECT nextval('leads_id_seq') FROM generate_series(1, :number)")],
}

# Delete the rows that PostgreSQL's concurrent writers have left of sources that no lead has any more: see
# migrations/count_triggers.py.
_emptied = select(counts.c.counted).group_by(counts.c.counted).having(func.sum(counts.c.number) == 0).subquery()
sweep = select(func.take_from_lead_count(_emptied.c.counted, 0)).where(_emptied.c.counted.startswith("source:"))
