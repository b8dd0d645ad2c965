"""Counts that are kept instead of counted, and the indexes of the filters."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

# What is counted: '' is every lead, 'source:x' those from the source x. See leads/models.py.
SQLITE = """
CREATE TRIGGER count_new_lead AFTER INSERT ON leads BEGIN
    INSERT INTO lead_counts (counted, number)
        SELECT 'source:' || NEW.source, 0 WHERE NEW.source IS NOT NULL
        AND NOT EXISTS (SELECT 1 FROM lead_counts WHERE counted = 'source:' || NEW.source);
    UPDATE lead_counts SET number = number + 1 WHERE counted = '';
    UPDATE lead_counts SET number = number + 1 WHERE counted = 'source:' || NEW.source;
END;
CREATE TRIGGER count_deleted_lead AFTER DELETE ON leads BEGIN
    UPDATE lead_counts SET number = number - 1 WHERE counted = '';
    UPDATE lead_counts SET number = number - 1 WHERE counted = 'source:' || OLD.source;
    DELETE FROM lead_counts WHERE counted = 'source:' || OLD.source AND number = 0;
END;
CREATE TRIGGER count_moved_lead AFTER UPDATE OF source ON leads WHEN OLD.source IS NOT NEW.source BEGIN
    INSERT INTO lead_counts (counted, number)
        SELECT 'source:' || NEW.source, 0 WHERE NEW.source IS NOT NULL
        AND NOT EXISTS (SELECT 1 FROM lead_counts WHERE counted = 'source:' || NEW.source);
    UPDATE lead_counts SET number = number + 1 WHERE counted = 'source:' || NEW.source;
    UPDATE lead_counts SET number = number - 1 WHERE counted = 'source:' || OLD.source;
    DELETE FROM lead_counts WHERE counted = 'source:' || OLD.source AND number = 0;
END;
"""

POSTGRESQL = """
-- Ids are given in order, but transactions end in any order: a lead can appear after one with a larger
-- id. So each transaction, before its first id, takes a lock that names a number below it. Who reads
-- the leads oldest first stops below the least of these numbers, and misses nothing.
CREATE FUNCTION announce_new_leads() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    low bigint;
BEGIN
    -- Once in a transaction, because the table of locks is small. Both end with the transaction.
    IF coalesce(current_setting('leadapi.announced', true), '') = '' THEN
        SELECT CASE WHEN is_called THEN last_value ELSE last_value - 1 END INTO low FROM leads_id_seq;
        PERFORM pg_advisory_xact_lock_shared((1::bigint << 62) + low);
        PERFORM set_config('leadapi.announced', 'yes', true);
    END IF;
    RETURN NULL;
END $$;

-- The largest id below which no lead can appear any more. To be asked for before the leads are read,
-- in a statement of its own.
CREATE FUNCTION settled_lead_id() RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    given bigint;
    low bigint;
BEGIN
    -- In this order: who is not among the locks yet will get an id above the one given last. Rows that
    -- somebody copied in with ids of their own may be above that.
    SELECT greatest(last_value, (SELECT max(id) FROM leads)) INTO given FROM leads_id_seq;
    SELECT min(((classid::bigint - (1 << 30)) << 32) + objid::bigint) INTO low FROM pg_locks
        WHERE locktype = 'advisory' AND objsubid = 1 AND classid::bigint >= 1 << 30
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database());
    RETURN least(given, low);
END $$;

CREATE TRIGGER announce_new_leads BEFORE INSERT ON leads
    FOR EACH STATEMENT EXECUTE FUNCTION announce_new_leads();

-- A writer takes any row of its count that no other transaction holds, or adds one, so writers never
-- wait for each other here. The rows of a count together are its number.
CREATE FUNCTION add_to_lead_count(what text, more bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    UPDATE lead_counts SET number = number + more WHERE slot =
        (SELECT slot FROM lead_counts WHERE counted = what LIMIT 1 FOR UPDATE SKIP LOCKED);
    IF NOT FOUND THEN
        INSERT INTO lead_counts (counted, number) VALUES (what, more);
    END IF;
END $$;

-- Nothing should be left of a source that no lead has any more. Rows that together are nothing can go
-- without changing a number; those that others hold are passed over, so nobody waits here either.
CREATE FUNCTION take_from_lead_count(what text, less bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    held bigint[];
    rest bigint;
BEGIN
    PERFORM add_to_lead_count(what, -less);
    SELECT array_agg(slot), sum(number) INTO held, rest FROM
        (SELECT slot, number FROM lead_counts WHERE counted = what FOR UPDATE SKIP LOCKED) AS free;
    IF rest = 0 THEN
        DELETE FROM lead_counts WHERE slot = ANY (held);
    END IF;
END $$;

CREATE FUNCTION count_leads() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    change record;
BEGIN
    FOR change IN
        SELECT '' AS counted, count(*) AS number FROM changed
        UNION ALL
        SELECT 'source:' || source, count(*) FROM changed WHERE source IS NOT NULL GROUP BY source
    LOOP
        CONTINUE WHEN change.number = 0;
        IF TG_OP = 'INSERT' THEN
            PERFORM add_to_lead_count(change.counted, change.number);
        ELSE
            PERFORM take_from_lead_count(change.counted, change.number);
        END IF;
    END LOOP;
    RETURN NULL;
END $$;

CREATE FUNCTION count_moved_lead() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.source IS NOT NULL THEN
        PERFORM take_from_lead_count('source:' || OLD.source, 1);
    END IF;
    IF NEW.source IS NOT NULL THEN
        PERFORM add_to_lead_count('source:' || NEW.source, 1);
    END IF;
    RETURN NULL;
END $$;

CREATE FUNCTION count_no_leads() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM lead_counts;
    RETURN NULL;
END $$;

CREATE TRIGGER count_new_leads AFTER INSERT ON leads
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION count_leads();
CREATE TRIGGER count_deleted_leads AFTER DELETE ON leads
    REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION count_leads();
CREATE TRIGGER count_moved_lead AFTER UPDATE OF source ON leads
    FOR EACH ROW WHEN (OLD.source IS DISTINCT FROM NEW.source) EXECUTE FUNCTION count_moved_lead();
CREATE TRIGGER count_no_leads AFTER TRUNCATE ON leads
    FOR EACH STATEMENT EXECUTE FUNCTION count_no_leads();
"""


def upgrade() -> None:
    """Move on; existing data is kept."""
    op.create_index("ix_leads_source_id", "leads", ["source", "id"])
    op.create_index("ix_leads_created_at_id", "leads", ["created_at", "id"])
    op.create_table(
        "lead_counts",
        sa.Column("slot", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("counted", sa.Text(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("slot", name="pk_lead_counts"),
        # Room in each page, so that a row changed again and again stays where it is.
        postgresql_with={"fillfactor": 50},
    )
    op.create_index("ix_lead_counts_counted", "lead_counts", ["counted"])

    # What is there already. Nobody writes meanwhile: the migration holds the table.
    if op.get_bind().dialect.name == "postgresql":
        op.execute("LOCK TABLE leads IN SHARE ROW EXCLUSIVE MODE")
    op.execute("INSERT INTO lead_counts (counted, number) SELECT '', count(*) FROM leads")
    op.execute(
        "INSERT INTO lead_counts (counted, number)"
        " SELECT 'source:' || source, count(*) FROM leads WHERE source IS NOT NULL GROUP BY source"
    )
    if op.get_bind().dialect.name == "postgresql":
        op.get_bind().exec_driver_sql(POSTGRESQL)
    else:
        for trigger in SQLITE.split("END;")[:-1]:
            op.get_bind().exec_driver_sql(f"{trigger}END")
