"""Stores a new lead together with the event that tells of it, straight on the driver: nothing is asked more often."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Text, bindparam, func, literal, select

from leadapi.events import service as events
from leadapi.leads import queries
from leadapi.leads.representations import ShownLead, dump, fields_of
from leadapi.storage.database import UTCDateTime
from leadapi.storage.driver import DriverConnection, Row, Statement

_time = bindparam("new_created_at", type_=UTCDateTime)
_actor = bindparam("actor", type_=Text)
_rest = bindparam("rest", type_=Text)

# SQLite takes one after the other, and they cost no round trip.
_insert = Statement(queries.inserting)
_lead_id = bindparam("lead_id", type_=queries.leads.c.id.type)
_tell = Statement(
    events.telling(select(_lead_id, literal(events.CREATED, Text), _time, _actor, bindparam("data", type_=Text)))
)
# On PostgreSQL they are one statement, which is a transaction of its own: one round trip for all.
_new = queries.inserting.cte("new")
_data = func.concat(literal('{"id":', Text), _new.c.id, _rest)
_told = events.telling(select(_new.c.id, literal(events.CREATED, Text), _time, _actor, _data)).cte("told")
_insert_and_tell = Statement(select(_new.c.id).add_cte(_told))


def store(values: Mapping[str, Any], actor: str | None) -> ShownLead | None:
    """The lead with these values, as it is shown, or None where another one has the address.

    :param values: those of `queries.GIVEN`.
    :raises leadapi.storage.write_queue.WriteLockUnavailable: others have been writing for too long.
    """
    time = values["created_at"]
    shown = {**values, "id": 0, "status": "new", "updated_at": time}
    # Its JSON is known but for the id, which the database gives.
    rest = dump(fields_of([shown[name] for name in queries.SHOWN])).removeprefix(b'{"id":0')
    parameters = {f"new_{name}": value for name, value in values.items()}
    told = {"new_created_at": time, "actor": actor}
    with DriverConnection() as connection:
        connection.begin_write()
        if connection.dialect.name == "sqlite":
            rows = connection.run(_insert, parameters)
            lead = _shown(rows, rest)
            if lead:
                connection.run(_tell, {**told, "lead_id": lead.id, "data": lead.json.decode()})
        else:
            rows = connection.run(_insert_and_tell, {**parameters, **told, "rest": rest.decode()})
            lead = _shown(rows, rest)
        if lead:
            connection.commit()
    return lead


def _shown(rows: Sequence[Row], rest: bytes) -> ShownLead | None:
    return ShownLead(rows[0][0], b'{"id":%d%b' % (rows[0][0], rest)) if rows else None
