"""The SQL of the triggers that make the events table the outbox, as it is in force on both databases.

An event and the deliveries that it causes are written in one transaction: a trigger adds a delivery for each
destination that wants the event. So no event is lost between its commit and its delivery, whatever dies, and code that
records events does not know about destinations. See .github/decisions/0006-deliveries-by-trigger.md.

When an event is deleted (its lead is erased, or the lead has too many repeats), its deliveries are cancelled, and the
answers of receivers are deleted, because an answer may quote the lead.

A migration that rebuilds the table `events` in Alembic's batch mode must call `create`: SQLite drops the triggers.
"""

from sqlalchemy import Connection

# The destinations that want the event NEW. An erasure goes to all sources, because the lead's source is gone with it.
# Tests of one destination (lead.test) are not for the others.
_WANTED = """
    destinations.enabled AND NEW.type <> 'lead.test'
    AND EXISTS (SELECT 1 FROM {events} WHERE value IN (NEW.type, 'lead.*'))
    AND (
        destinations.sources IS NULL OR NEW.type = 'lead.erased'
        OR (SELECT source FROM leads WHERE id = NEW.lead_id) IN (SELECT value FROM {sources})
    )
"""
_ENQUEUE = """
    INSERT INTO deliveries (event_id, destination_id, lead_id, type, state, due_at)
    SELECT NEW.id, destinations.id, NEW.lead_id, NEW.type, 'due', NEW.created_at FROM destinations WHERE {wanted};
"""
_CANCEL = """
    UPDATE deliveries SET
        excerpt = NULL,
        lease = NULL,
        state = CASE state WHEN 'due' THEN 'cancelled' ELSE state END
    WHERE event_id = OLD.id;
"""

_sqlite_wanted = _WANTED.format(events="json_each(destinations.events)", sources="json_each(destinations.sources)")
SQLITE = (
    "DROP TRIGGER IF EXISTS enqueue_deliveries",
    "DROP TRIGGER IF EXISTS cancel_deliveries",
    f"""CREATE TRIGGER enqueue_deliveries AFTER INSERT ON events WHEN NEW.announced BEGIN
        {_ENQUEUE.format(wanted=_sqlite_wanted)}
    END""",
    f"CREATE TRIGGER cancel_deliveries AFTER DELETE ON events BEGIN {_CANCEL} END",
)

_postgresql_wanted = _WANTED.format(
    events="json_array_elements_text(destinations.events::json) AS value",
    sources="json_array_elements_text(destinations.sources::json) AS value",
)
POSTGRESQL = f"""
DROP TRIGGER IF EXISTS enqueue_deliveries ON events;
DROP TRIGGER IF EXISTS cancel_deliveries ON events;

CREATE OR REPLACE FUNCTION enqueue_deliveries() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    {_ENQUEUE.format(wanted=_postgresql_wanted)}
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION cancel_deliveries() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    {_CANCEL}
    RETURN NULL;
END $$;

CREATE TRIGGER enqueue_deliveries AFTER INSERT ON events FOR EACH ROW
    WHEN (NEW.announced) EXECUTE FUNCTION enqueue_deliveries();
CREATE TRIGGER cancel_deliveries AFTER DELETE ON events FOR EACH ROW EXECUTE FUNCTION cancel_deliveries();
"""


def create(connection: Connection) -> None:
    """Create the triggers and their functions; any version that exists is replaced."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(POSTGRESQL)
        return
    for statement in SQLITE:
        connection.exec_driver_sql(statement)
