"""The statements that read leads, each built once: building one costs more than running it."""

from functools import cache
from typing import Any

from sqlalchemy import BigInteger, BindParameter, ColumnElement, Select, bindparam, cast, func, literal, select

from leadapi.leads.models import Lead, LeadCount

leads = Lead.metadata.tables["leads"]
counts = LeadCount.metadata.tables["lead_counts"]

# What clients see of a lead, in the order they see it.
SHOWN = ("id", "full_name", "email", "company", "message", "source", "created_at")
shown = [leads.c[name] for name in SHOWN]

# What can be asked for, and what it means.
FILTERS: dict[str, ColumnElement[bool]] = {
    "email_key": leads.c.email_key == bindparam("email_key"),
    "source": leads.c.source == bindparam("source"),
    "created_from": leads.c.created_at >= bindparam("created_from"),
    "created_to": leads.c.created_at <= bindparam("created_to"),
}


@cache
def matching(filters: frozenset[str], *, descending: bool) -> Select[Any]:
    """All that matches, in order. The parameters have the filters' names."""
    order = leads.c.id.desc() if descending else leads.c.id
    return select(*shown).where(*(FILTERS[name] for name in sorted(filters))).order_by(order)


# On PostgreSQL, a lead can appear after one with a larger id: see migration 0002.
settled = select(func.settled_lead_id())


@cache
def page(filters: frozenset[str], *, descending: bool, after: bool, until: bool) -> Select[Any]:
    """Some of what matches, and at the end of each row the total of it, of the same moment."""
    statement = matching(filters, descending=descending)
    if until:
        last: BindParameter[int] = bindparam("until")
        statement = statement.where(leads.c.id <= last)
    if after:
        cursor: BindParameter[int] = bindparam("after")
        statement = statement.where(leads.c.id < cursor if descending else leads.c.id > cursor)
    return statement.add_columns(total(filters).scalar_subquery()).limit(bindparam("limit")).offset(bindparam("offset"))


@cache
def total(filters: frozenset[str]) -> Select[Any]:
    """How many match. Kept for all leads and for those of one source, counted for the rest."""
    if filters <= {"source"}:
        source: BindParameter[str] = bindparam("source")
        counted = "source:" + source if filters else literal("")
        # PostgreSQL's sum of whole numbers is a decimal.
        number = cast(func.coalesce(func.sum(counts.c.number), 0), BigInteger)
        return select(number).where(counts.c.counted == counted)
    return select(func.count()).select_from(leads).where(*(FILTERS[name] for name in sorted(filters)))
