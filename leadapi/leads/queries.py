"""The statements that read and write leads. Each is built once: building a statement costs more than running it."""

from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    BindParameter,
    Boolean,
    ColumnElement,
    FunctionElement,
    Integer,
    Select,
    Text,
    TextClause,
    any_,
    bindparam,
    cast,
    column,
    delete,
    func,
    insert,
    literal,
    literal_column,
    null,
    or_,
    select,
    text,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler

from leadapi.events import service as events
from leadapi.leads.models import MERGED, SHOWN, Lead, LeadCount, LeadSearch
from leadapi.storage import UTCDateTime
from leadapi.storage.rows import RowsInsert, RowsUpdate, records

leads = Lead.metadata.tables["leads"]
counts = LeadCount.metadata.tables["lead_counts"]
searched = LeadSearch.metadata.tables["lead_search"]
# The time of the last change as clients see it: updated_at is null until then. An index serves this expression.
changed_at: ColumnElement[datetime] = func.coalesce(leads.c.updated_at, leads.c.created_at)


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
    "updated_at": TimeText(changed_at),
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
EXPORTED: dict[str, tuple[ColumnElement[Any], ...]] = {"csv": tuple(texts.values()), "ndjson": (lead_json,)}

# The filters of lists and exports, by the names of their parameters.
FILTERS: dict[str, ColumnElement[bool]] = {
    "email_key": leads.c.email_key == bindparam("email_key"),
    "source": leads.c.source == bindparam("source"),
    "status": leads.c.status == bindparam("status"),
    "created_from": leads.c.created_at >= bindparam("created_from"),
    "created_to": leads.c.created_at <= bindparam("created_to"),
    "updated_from": changed_at >= bindparam("updated_from", type_=UTCDateTime),
}
TIMES = ("created_from", "created_to", "updated_from")
# The combinations of filters whose totals are kept by triggers.
KEPT: tuple[frozenset[str], ...] = (frozenset(), frozenset(["source"]), frozenset(["status"]))
_mark = select(counts.c.number).where(counts.c.counted == literal_column("'mark'"))
# The largest possible id. Without an upper bound, PostgreSQL expects a third of the table after the mark.
_end = select(literal_column(str(2**63 - 1), BigInteger))
# The leads that are not in the kept totals.
AFTER_MARK = (leads.c.id > _mark.scalar_subquery(), leads.c.id <= _end.scalar_subquery())
# How many statements are kept. With the number of words, there are more combinations than would fit into memory.
STATEMENTS = 512
ONLY_ID: tuple[ColumnElement[Any], ...] = (leads.c.id,)

# On PostgreSQL, a lead can appear after a lead with a larger id: see migrations/count_triggers.py.
settled = select(func.settled_lead_id())


def matching(filters: frozenset[str], columns: tuple[ColumnElement[Any], ...], *, sort: str, words: int) -> Select[Any]:
    """The leads that match.

    :param filters: the names of `FILTERS`, which are also those of the parameters.
    :param sort: `id` or `updated_at`, or one of them with a minus for the reverse order.
    :param words: the number of words to be searched; their parameters are those of `search.patterns`.
    """
    return _matching(filters, columns, words).order_by(*_order(_keys(sort), sort))


@lru_cache(STATEMENTS)
def page(filters: frozenset[str], *, sort: str, after: bool, words: int, dialect: str) -> Select[Any]:
    """A page of the leads that match: id, JSON, the total at the same moment, and the time of the last change.

    The time is null in the order of the ids, where nobody needs it.

    :param after: whether the page begins after a position: the parameters `after`, the id of a lead, and, in the
        order of the last change, `after_time`, the time of its last change.
    """
    if words and dialect == "postgresql":
        return _search_page(filters, sort, after=after, words=words)
    keys = _keys(sort)
    if words:
        # SQLite keeps the rows of the CTE, so one scan gives the total and the page.
        found = _matching(filters, keys, words).cte("found")
        number = select(func.count()).select_from(found)
        chosen, keys = select(found.c.id), tuple(found.c)
    else:
        number = total(filters, words=0)
        chosen = _matching(filters, ONLY_ID, words=0)
    if after:
        chosen = chosen.where(*_after(keys, sort))
    shown = _shown(number.scalar_subquery(), sort)
    if words or (sort.endswith("id") and not filters.isdisjoint(TIMES)):
        # `id + 0` keeps the database from walking the index of the ids: it would read all leads before the first
        # match.
        *first, lead_id = keys
        chosen = chosen.order_by(*_order([*first, lead_id + literal_column("0")], sort))
        chosen = chosen.limit(bindparam("limit")).offset(bindparam("offset"))
        return select(*shown).where(leads.c.id.in_(chosen)).order_by(*_order(_keys(sort), sort))
    statement = chosen.with_only_columns(*shown).order_by(*_order(keys, sort))
    return statement.limit(bindparam("limit")).offset(bindparam("offset"))


def _search_page(filters: frozenset[str], sort: str, *, after: bool, words: int) -> Select[Any]:
    """A page of a search on PostgreSQL: two aggregates of one scan take less time there than reading a CTE twice."""
    found = _matching(filters, _keys(sort), words).subquery("found")
    keys = tuple(found.c)
    ids: ColumnElement[Any] = func.array_agg(found.c.id).aggregate_order_by(*_order(keys, sort))
    if after:
        ids = ids.filter(*_after(keys, sort))
    every = select(func.count().label("total"), ids.label("ids")).select_from(found).subquery("every")
    # A subscript has 32 bits, and no array has so many elements.
    offset = cast(func.least(bindparam("offset", type_=BigInteger), 2**30), Integer)
    chosen = every.c.ids[offset + 1 : offset + bindparam("limit", type_=Integer)]
    return select(*_shown(every.c.total, sort)).where(leads.c.id == any_(chosen)).order_by(*_order(_keys(sort), sort))


def _shown(total: ColumnElement[Any], sort: str) -> tuple[ColumnElement[Any], ...]:
    time = changed_at if sort.endswith("updated_at") else null()
    return leads.c.id, lead_json, total.label("total"), time


def _matching(filters: frozenset[str], columns: tuple[ColumnElement[Any], ...], words: int) -> Select[Any]:
    conditions = [FILTERS[name] for name in sorted(filters)]
    if not words:
        return select(*columns).select_from(leads).where(*conditions)
    conditions += [searched.c.search_text.like(bindparam(f"word_{place}"), escape="\\") for place in range(words)]
    if columns is ONLY_ID and not filters:
        return select(searched.c.lead_id.label("id")).where(*conditions)
    return select(*columns).select_from(leads.join(searched, searched.c.lead_id == leads.c.id)).where(*conditions)


def _keys(sort: str) -> tuple[ColumnElement[Any], ...]:
    return (changed_at.label("changed_at"), leads.c.id) if sort.endswith("updated_at") else ONLY_ID


def _order(keys: Sequence[ColumnElement[Any]], sort: str) -> list[ColumnElement[Any]]:
    return [key.desc() for key in keys] if sort.startswith("-") else list(keys)


def _after(keys: Sequence[ColumnElement[Any]], sort: str) -> list[ColumnElement[bool]]:
    descending = sort.startswith("-")
    *first, lead_id = keys
    edge: BindParameter[int] = bindparam("after")
    beyond = lead_id < edge if descending else lead_id > edge
    if not first:
        return [beyond]
    (time,) = first
    edge_time = bindparam("after_time", type_=UTCDateTime)
    # The first condition is one that SQLite uses an index for.
    if descending:
        return [time <= edge_time, or_(time < edge_time, beyond)]
    return [time >= edge_time, or_(time > edge_time, beyond)]


@lru_cache(STATEMENTS)
def total(filters: frozenset[str], *, words: int) -> Select[Any]:
    """The number of leads that match."""
    if words or filters not in KEPT:
        return select(func.count()).select_from(_matching(filters, ONLY_ID, words).subquery())
    counting = select(func.count()).select_from(leads).where(*(FILTERS[name] for name in sorted(filters)))
    # The number up to the mark, and a count of the leads after it: see LeadCount.
    counted: ColumnElement[str] = literal_column("''", Text)
    for name in filters:
        wanted: BindParameter[str] = bindparam(name)
        counted = literal_column(f"'{name}:'", Text).concat(wanted)
    # PostgreSQL's sum of integers is a numeric.
    number = cast(func.coalesce(func.sum(counts.c.number), 0), BigInteger)
    kept = select(number).where(counts.c.counted == counted)
    return select(kept.scalar_subquery() + counting.where(*AFTER_MARK).scalar_subquery())


one = select(lead_json).where(leads.c.id == bindparam("lead_id"))
id_of = select(leads.c.id).where(leads.c.email_key == bindparam("email_key"))
# The rows stay locked until the transaction ends. SQLite ignores FOR UPDATE and has one writer at a time.
locked = select(leads.c.id, leads.c.email_key, lead_json).with_for_update()
locked_by_id = locked.where(leads.c.id == bindparam("lead_id"))
# One order for all transactions, so that two of them do not wait for each other.
locked_by_key = locked.where(leads.c.email_key.in_(bindparam("keys", expanding=True))).order_by(leads.c.id)

STORED = tuple(column.name for column in leads.c if column.name != "id")
TEXTS = ("lead_id", "search_text")
# A lead whose address is taken is left out.
inserting = RowsInsert(leads, STORED, conflict="email_key", returning=[leads.c.id, leads.c.email_key])
store_texts = RowsInsert(searched, TEXTS, conflict="lead_id", replaced=["search_text"])
_time: BindParameter[str] = bindparam("time", type_=Text)
_created = literal(events.CREATED, Text)
_actor: BindParameter[str] = bindparam("actor", type_=Text)
_announced: BindParameter[bool] = bindparam("announced", type_=Boolean)
# Records that leads were created, and returns the leads. Only for SQLite: it has one writer at a time, and a new id is
# larger than all before.
record_new = events.recording(
    select(leads.c.id, _created, _time, _actor, lead_json, _announced)
    .where(leads.c.id >= bindparam("first"))
    .order_by(leads.c.id)
).returning(events.events.c.lead_id, events.events.c.data)
# On PostgreSQL, leads, their texts and their events are inserted by one statement: one round trip
# (.github/decisions/0005).
_new = inserting.statements["postgresql"].returning(lead_json).cte("new")
# The parameter has whole rows, so also their texts.
_given = records([column("email_key", Text), column("search_text", Text)])["postgresql"].subquery("given")
_texts = select(_new.c.id, _given.c.search_text).join_from(_given, _new, _new.c.email_key == _given.c.email_key)
_recorded = select(_new.c.id, _created, cast(_time, UTCDateTime), _actor, _new.c.json, _announced)
insert_and_record = select(_new.c.id, _new.c.email_key, _new.c.json).add_cte(
    insert(searched).from_select(TEXTS, _texts).cte("texts"), events.recording(_recorded).cte("recorded")
)
updating = RowsUpdate(leads, [*MERGED, "email_key", "updated_at"])
ids_by_key = select(leads.c.id, leads.c.email_key).where(leads.c.email_key.in_(bindparam("keys", expanding=True)))
_of_ids = leads.c.id.in_(bindparam("lead_ids", expanding=True))
locked_keys = select(leads.c.id, leads.c.email_key).where(_of_ids).order_by(leads.c.id).with_for_update()
erasing = delete(leads).where(_of_ids)

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
