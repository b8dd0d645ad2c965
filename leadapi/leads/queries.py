"""The statements that read and write leads. Each is built once: building a statement costs more than running it."""

from collections.abc import Sequence
from functools import cache
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    BindParameter,
    Boolean,
    ColumnElement,
    FunctionElement,
    Select,
    Text,
    TextClause,
    bindparam,
    cast,
    delete,
    func,
    literal,
    literal_column,
    select,
    text,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler

from leadapi.events import service as events
from leadapi.leads.models import MERGED, SHOWN, Lead, LeadCount
from leadapi.storage import UTCDateTime
from leadapi.storage.rows import RowsInsert, RowsUpdate

leads = Lead.metadata.tables["leads"]
counts = LeadCount.metadata.tables["lead_counts"]


class TimeText(FunctionElement[str]):
    """A time as clients see it: RFC 3339 in UTC, to the second."""

    inherit_cache = True
    type = Text()


@compiles(TimeText, "sqlite")
def _sqlite_time(element: TimeText, compiler: SQLCompiler, **options: Any) -> str:
    return f"replace(substr({compiler.process(element.clauses, **options)}, 1, 19), ' ', 'T') || 'Z'"


@compiles(TimeText, "postgresql")
def _postgresql_time(element: TimeText, compiler: SQLCompiler, **options: Any) -> str:
    time = compiler.process(element.clauses, **options)
    return f"""to_char({time} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')"""


# The fields of a lead as text, in the order in which clients see them.
texts: dict[str, ColumnElement[Any]] = {name: leads.c[name] for name in SHOWN} | {
    "created_at": TimeText(leads.c.created_at),
    "updated_at": TimeText(func.coalesce(leads.c.updated_at, leads.c.created_at)),
}


class LeadJson(FunctionElement[str]):
    """The one renderer of a lead: the JSON text that clients see, written by the database."""

    # A custom element without a cache key would be compiled on every execution.
    inherit_cache = True
    type = Text()
    name = "lead_json"


@compiles(LeadJson, "sqlite")
def _sqlite_json(_element: LeadJson, compiler: SQLCompiler, **options: Any) -> str:
    fields = texts | {"attributes": func.json(leads.c.attributes)}
    pairs = ", ".join(f"'{name}', {compiler.process(field, **options)}" for name, field in fields.items())
    return f"json_object({pairs})"


@compiles(LeadJson, "postgresql")
def _postgresql_json(_element: LeadJson, compiler: SQLCompiler, **options: Any) -> str:
    fields = texts | {"attributes": cast(leads.c.attributes, JSON)}
    columns = ", ".join(f"{compiler.process(field, **options)} AS {name}" for name, field in fields.items())
    return f"(SELECT row_to_json(lead)::text FROM (SELECT {columns}) AS lead)"  # noqa: S608  # names of our own columns


lead_json = LeadJson().label("json")

# The columns of each format of an export.
EXPORTED: dict[str, list[ColumnElement[Any]]] = {"csv": list(texts.values()), "ndjson": [lead_json]}

# The filters of lists and exports, by the names of their parameters.
FILTERS: dict[str, ColumnElement[bool]] = {
    "email_key": leads.c.email_key == bindparam("email_key"),
    "source": leads.c.source == bindparam("source"),
    "status": leads.c.status == bindparam("status"),
    "created_from": leads.c.created_at >= bindparam("created_from"),
    "created_to": leads.c.created_at <= bindparam("created_to"),
}


TIMES = ("created_from", "created_to")
# The combinations of filters whose totals are kept by triggers.
KEPT: tuple[frozenset[str], ...] = (frozenset(), frozenset(["source"]), frozenset(["status"]))

# On PostgreSQL, a lead can appear after a lead with a larger id: see migrations/count_triggers.py.
settled = select(func.settled_lead_id())


def matching(filters: frozenset[str], columns: Sequence[ColumnElement[Any]], *, descending: bool) -> Select[Any]:
    """The leads that match, by id. The parameters have the names of the filters."""
    order = leads.c.id.desc() if descending else leads.c.id
    return select(*columns).select_from(leads).where(*(FILTERS[name] for name in sorted(filters))).order_by(order)


@cache
def page(filters: frozenset[str], *, descending: bool, after: bool) -> Select[Any]:
    """A page of the leads that match: the id and the JSON of each, and the total at the same moment."""
    columns = [leads.c.id, lead_json, total(filters).scalar_subquery().label("total")]
    by_time = not filters.isdisjoint(TIMES)
    statement = matching(filters, [leads.c.id] if by_time else columns, descending=descending)
    if after:
        cursor: BindParameter[int] = bindparam("after")
        statement = statement.where(leads.c.id < cursor if descending else leads.c.id > cursor)
    statement = statement.limit(bindparam("limit")).offset(bindparam("offset"))
    if by_time:
        # An ORDER BY that no index serves. By id, a database would scan the leads from the first one, although
        # perhaps only the last ones match.
        order = leads.c.id + literal_column("0")
        chosen = statement.order_by(None).order_by(order.desc() if descending else order)
        statement = matching(frozenset(), columns, descending=descending).where(leads.c.id.in_(chosen))
    return statement


@cache
def total(filters: frozenset[str]) -> Select[Any]:
    """The number of leads that match."""
    counting = select(func.count()).select_from(leads).where(*(FILTERS[name] for name in sorted(filters)))
    if filters not in KEPT:
        return counting
    # The number up to the mark, and a count of the leads after it: see LeadCount.
    counted: ColumnElement[str] = literal_column("''", Text)
    for name in filters:
        wanted: BindParameter[str] = bindparam(name)
        counted = literal_column(f"'{name}:'", Text).concat(wanted)
    # PostgreSQL's sum of integers is a numeric.
    number = cast(func.coalesce(func.sum(counts.c.number), 0), BigInteger)
    kept = select(number).where(counts.c.counted == counted)
    mark = select(counts.c.number).where(counts.c.counted == literal_column("'mark'"))
    # The largest possible id. Without an upper bound, PostgreSQL expects a third of the table after the mark.
    end = select(literal_column(str(2**63 - 1), BigInteger))
    since = counting.where(leads.c.id > mark.scalar_subquery(), leads.c.id <= end.scalar_subquery())
    return select(kept.scalar_subquery() + since.scalar_subquery())


one = select(lead_json).where(leads.c.id == bindparam("lead_id"))
id_of = select(leads.c.id).where(leads.c.email_key == bindparam("email_key"))
# The rows stay locked until the transaction ends. SQLite ignores FOR UPDATE and has one writer at a time.
locked = select(leads.c.id, leads.c.email_key, lead_json).with_for_update()
locked_by_id = locked.where(leads.c.id == bindparam("lead_id"))
# One order for all transactions, so that two of them do not wait for each other.
locked_by_key = locked.where(leads.c.email_key.in_(bindparam("keys", expanding=True))).order_by(leads.c.id)

STORED = tuple(column.name for column in leads.c if column.name != "id")
# A lead whose address is taken is left out.
inserting = RowsInsert(leads, STORED, conflict="email_key", returning=[leads.c.id, leads.c.email_key, lead_json])
_time: BindParameter[str] = bindparam("time", type_=Text)
_created = literal(events.CREATED, Text)
_actor: BindParameter[str] = bindparam("actor", type_=Text)
_announced: BindParameter[bool] = bindparam("announced", type_=Boolean)
# The events of inserted leads, on SQLite: it has one writer at a time, and a new id is larger than all before.
record_inserted = events.recording(
    select(leads.c.id, _created, _time, _actor, lead_json, _announced)
    .where(leads.c.id >= bindparam("first"))
    .order_by(leads.c.id)
)
# On PostgreSQL, the insert and its events are one statement: one round trip (.github/decisions/0005).
_new = inserting.statements["postgresql"].cte("new")
insert_and_record = select(_new.c.id, _new.c.email_key, _new.c.json).add_cte(
    events.recording(select(_new.c.id, _created, cast(_time, UTCDateTime), _actor, _new.c.json, _announced)).cte(
        "recorded"
    )
)
updating = RowsUpdate(leads, [*MERGED, "email_key", "updated_at"])
ids_by_key = select(leads.c.id, leads.c.email_key).where(leads.c.email_key.in_(bindparam("keys", expanding=True)))
erasing = delete(leads).where(leads.c.id == bindparam("lead_id"))

# Reserve `number` ids, which no lead gets then; the last statement returns them. SQLite has no row for a table in
# sqlite_sequence before the first insert.
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

# Concurrent writers of PostgreSQL can leave rows with the number 0 for sources that no lead has any more.
_emptied = select(counts.c.counted).group_by(counts.c.counted).having(func.sum(counts.c.number) == 0).subquery()
sweep = select(func.take_from_lead_count(_emptied.c.counted, 0)).where(_emptied.c.counted.startswith("source:"))
