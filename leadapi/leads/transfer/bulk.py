"""The statements that store very many leads, each as fast as its database can: a thousand rows at a time.

They run in the session's transaction. The caller begins and commits it.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

import orjson
from sqlalchemy import bindparam, select, text, update

from leadapi.events import service as events
from leadapi.leads import queries
from leadapi.leads.emails import email_key
from leadapi.leads.queries import leads
from leadapi.storage.database import db

COLUMNS = (
    *("full_name", "email", "email_key", "company", "message", "source"),
    *("created_at", "status", "attributes", "updated_at"),
)
# What a repeat may overwrite: a row of a file may say what became of its lead, too.
REWRITTEN = (*queries.REWRITTEN, "status")
# Each row changes a page of every index, somewhere. So these stay in memory (24 MiB), and go to the
# disk less often (at 40 MB of log), and what could be needed for undoing one row needs no file.
SQLITE_PRAGMAS = ("cache_size = -24576", "wal_autocheckpoint = 10000", "temp_store = MEMORY")

# One row of `COLUMNS`.
Values = tuple[str | None, ...]


def values_of(lead: Mapping[str, Any], time: str) -> Values:
    """What a new lead is stored as.

    :param lead: what `checks.check` returns.
    :param time: what `instant` made of the time it is stored at, if it does not say when it was created.
    """
    email = lead["email"]
    attributes = lead.get("attributes")
    created, updated = lead.get("created_at"), lead.get("updated_at")
    # What was changed was there.
    moment = created or updated
    return (
        lead["full_name"],
        email,
        email_key(email),
        lead.get("company"),
        lead.get("message"),
        lead.get("source"),
        time if moment is None else instant(moment),
        lead.get("status", "new"),
        orjson.dumps(attributes).decode() if attributes else "{}",
        instant(updated) if updated else None,
    )


def instant(moment: datetime) -> str:
    """A time as both databases take it, in UTC and without a zone."""
    return f"{moment.astimezone(UTC).isoformat(' ')[:19]}.000000"


def prepare() -> None:
    """Make the process's only connection ready for a lot of rows. Call it outside of a transaction."""
    if db.engine.dialect.name == "sqlite":
        # Straight from the pool, because one of these cannot be set within a transaction.
        with closing(db.engine.raw_connection()) as connection:
            for pragma in SQLITE_PRAGMAS:
                connection.cursor().execute(f"PRAGMA {pragma}")


def insert_leads(rows: Sequence[Values], time: str) -> set[str]:
    """Store those whose address is free, with the event that tells so; return their `email_key`.

    :param rows: no two with one `email_key`.
    """
    return _insert[db.engine.dialect.name](rows, time) if rows else set()


def _insert_sqlite(rows: Sequence[Values], time: str) -> set[str]:
    connection = db.session.connection()
    # Nobody else writes meanwhile, so the new ones are those with a larger id than any before.
    last = connection.exec_driver_sql("SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'leads'").scalar()
    # From a table in memory, because one statement for all costs half of one for each.
    connection.exec_driver_sql(f"CREATE TEMPORARY TABLE given ({_NAMES})")
    connection.exec_driver_sql(_SQLITE_GIVEN, list(rows))
    connection.exec_driver_sql(_SQLITE_LEADS)
    connection.exec_driver_sql("DROP TABLE temp.given")
    stored = connection.exec_driver_sql("SELECT email_key FROM leads WHERE id > ?", (last,))
    keys = set(stored.scalars())
    connection.exec_driver_sql(_SQLITE_EVENTS, (events.CREATED, time, last))
    return keys


def _insert_postgresql(rows: Sequence[Values], time: str) -> set[str]:
    connection = db.session.connection()
    stored = connection.exec_driver_sql(_POSTGRESQL_LEADS, tuple(map(list, zip(*rows, strict=True)))).all()
    connection.exec_driver_sql(_POSTGRESQL_EVENTS, (events.CREATED, time, [row.id for row in stored]))
    return {row.email_key for row in stored}


_NAMES = ", ".join(COLUMNS)
_SQLITE_GIVEN = f"INSERT INTO given VALUES ({', '.join('?' * len(COLUMNS))})"  # noqa: S608  # names of our own
_SQLITE_LEADS = f"""
    INSERT INTO leads ({_NAMES}) SELECT * FROM given WHERE true ON CONFLICT (email_key) DO NOTHING
"""  # noqa: S608  # names of our own
_SQLITE_EVENTS = """
    INSERT INTO events (lead_id, type, created_at, data)
    SELECT id, ?, ?, json_object(
        'id', id, 'full_name', full_name, 'email', email, 'company', company, 'message', message,
        'source', source, 'created_at', replace(substr(created_at, 1, 19), ' ', 'T') || 'Z', 'status', status,
        'attributes', json(attributes),
        'updated_at', replace(substr(coalesce(updated_at, created_at), 1, 19), ' ', 'T') || 'Z'
    ) FROM leads WHERE id > ? ORDER BY id
"""
# One statement for all, because the triggers that count leads run once for each statement.
_POSTGRESQL_LEADS = f"""
    INSERT INTO leads ({_NAMES})
    SELECT full_name, email, email_key, company, message, source, created_at::timestamp AT TIME ZONE 'UTC',
        status, attributes, updated_at::timestamp AT TIME ZONE 'UTC'
    FROM unnest({", ".join(["%s::text[]"] * len(COLUMNS))}) AS given ({_NAMES})
    ON CONFLICT (email_key) DO NOTHING RETURNING id, email_key
"""  # noqa: S608  # names of our own
_SHOWN_TIME = """to_char({} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')"""
_POSTGRESQL_EVENTS = f"""
    INSERT INTO events (lead_id, type, created_at, data)
    SELECT id, %s, %s::timestamp AT TIME ZONE 'UTC', json_build_object(
        'id', id, 'full_name', full_name, 'email', email, 'company', company, 'message', message,
        'source', source, 'created_at', {_SHOWN_TIME.format("created_at")}, 'status', status,
        'attributes', attributes::json, 'updated_at', {_SHOWN_TIME.format("coalesce(updated_at, created_at)")}
    ) FROM leads WHERE id = ANY(%s) ORDER BY id
"""  # noqa: S608  # names of our own

_insert: Mapping[str, Callable[[Sequence[Values], str], set[str]]] = {
    "sqlite": _insert_sqlite,
    "postgresql": _insert_postgresql,
}

_locked = (
    select(leads.c.id, leads.c.email_key, *(leads.c[name] for name in REWRITTEN))
    .where(leads.c.email_key.in_(bindparam("keys", expanding=True)))
    # In one order, so that two who do this do not wait for each other.
    .order_by(leads.c.id)
    .with_for_update()
)
_rewrite = (
    update(leads)
    .where(leads.c.id == bindparam("lead_id"))
    .values({name: bindparam(f"new_{name}") for name in (*REWRITTEN, "email_key", "updated_at")})
)


def lock_leads(keys: Collection[str]) -> dict[str, dict[str, Any]]:
    """The leads with these addresses, by `email_key`. Nobody else changes them until the transaction ends."""
    rows = db.session.execute(_locked, {"keys": sorted(keys)}).mappings() if keys else ()
    return {row["email_key"]: {**row, "attributes": orjson.loads(row["attributes"])} for row in rows}


def rewrite_leads(states: Collection[Mapping[str, Any]], time: datetime) -> None:
    """Write leads as they have become.

    :param states: as `lock_leads` returns them.
    """
    if states:
        changed = [
            {f"new_{name}": state[name] for name in (*REWRITTEN, "email_key")}
            | {"new_attributes": orjson.dumps(state["attributes"]).decode()}
            | {"new_updated_at": time, "lead_id": state["id"]}
            for state in states
        ]
        db.session.connection().execute(_rewrite, changed)


def foresee(keys: set[str]) -> set[str]:
    """Which addresses would be free, if those asked about before had been stored. Rolling back forgets them."""
    connection = db.session.connection()
    # On disk, because there may be more than memory should hold; each connection sees its own only.
    connection.execute(text("CREATE TEMPORARY TABLE IF NOT EXISTS foreseen (email_key TEXT PRIMARY KEY)"))
    taken = set(connection.execute(_taken, {"keys": list(keys)}).scalars())
    taken |= set(connection.execute(_foreseen, {"keys": list(keys)}).scalars())
    free = keys - taken
    if free:
        connection.execute(text("INSERT INTO foreseen VALUES (:key)"), [{"key": key} for key in free])
    return free


_taken = select(leads.c.email_key).where(leads.c.email_key.in_(bindparam("keys", expanding=True)))
_foreseen = text("SELECT email_key FROM foreseen WHERE email_key IN :keys").bindparams(
    bindparam("keys", expanding=True)
)
