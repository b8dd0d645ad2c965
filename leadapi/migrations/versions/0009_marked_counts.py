"""Counts that are kept up to a mark, so that a new lead need not touch them; of each status, too.

Up to the mark, a lead's id, leads are in the numbers of lead_counts. Those after it, some hundreds, are
counted when somebody asks. Now and then an insert moves the mark on, and adds to the numbers what it passes.
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"

MARK = "(SELECT number FROM lead_counts WHERE counted = 'mark')"

# What a lead at or below the mark adds to the numbers, and what it takes away again.
ADD = """
    INSERT INTO lead_counts (counted, number)
        SELECT counted, 0 FROM (SELECT 'source:' || NEW.source AS counted UNION ALL SELECT 'status:' || NEW.status)
        WHERE counted IS NOT NULL AND counted NOT IN (SELECT counted FROM lead_counts);
    UPDATE lead_counts SET number = number + 1
        WHERE counted IN ('', 'source:' || NEW.source, 'status:' || NEW.status);
"""
TAKE = """
    UPDATE lead_counts SET number = number - 1
        WHERE counted IN ('', 'source:' || OLD.source, 'status:' || OLD.status);
    DELETE FROM lead_counts
        WHERE counted IN ('source:' || OLD.source, 'status:' || OLD.status) AND number = 0;
"""
MOVED = (
    "AFTER UPDATE OF id, source, status ON leads"
    " WHEN (OLD.id <> NEW.id OR OLD.source IS NOT NEW.source OR OLD.status <> NEW.status)"
)
# Not the new lead itself: after the mark had passed it, it would be taken for one that was copied in.
PASSED = f"FROM leads WHERE id > {MARK} AND id < NEW.id"
ADDED = f"""
    SELECT '' AS counted, count(*) AS number {PASSED}
    UNION ALL SELECT 'source:' || source, count(*) {PASSED} AND source IS NOT NULL GROUP BY source
    UNION ALL SELECT 'status:' || status, count(*) {PASSED} GROUP BY status
"""
SQLITE = [
    "DROP TRIGGER count_new_lead",
    "DROP TRIGGER count_deleted_lead",
    "DROP TRIGGER count_moved_lead",
    f"CREATE TRIGGER count_early_lead AFTER INSERT ON leads WHEN NEW.id <= {MARK} BEGIN {ADD} END",
    f"CREATE TRIGGER count_deleted_lead AFTER DELETE ON leads WHEN OLD.id <= {MARK} BEGIN {TAKE} END",
    f"CREATE TRIGGER count_left_lead {MOVED} AND OLD.id <= {MARK} BEGIN {TAKE} END",
    f"CREATE TRIGGER count_joined_lead {MOVED} AND NEW.id <= {MARK} BEGIN {ADD} END",
    f"""CREATE TRIGGER move_mark AFTER INSERT ON leads WHEN NEW.id > {MARK} + 256 BEGIN
        INSERT INTO lead_counts (counted, number)
            SELECT counted, 0 FROM ({ADDED}) WHERE counted NOT IN (SELECT counted FROM lead_counts);
        UPDATE lead_counts SET number = lead_counts.number + added.number
            FROM ({ADDED}) AS added WHERE lead_counts.counted = added.counted;
        UPDATE lead_counts SET number = NEW.id - 1 WHERE counted = 'mark';
    END""",  # noqa: S608  # words of our own
]

POSTGRESQL = """
DROP TRIGGER count_new_leads ON leads;
DROP TRIGGER count_deleted_leads ON leads;
DROP TRIGGER count_moved_lead ON leads;
DROP FUNCTION count_leads;

-- As before, and it remembers the number, below which a transaction draws no id.
CREATE OR REPLACE FUNCTION announce_new_leads() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    low bigint;
    done text;
BEGIN
    -- Expressions instead of queries, which would cost more than what they do.
    IF coalesce(current_setting('leadapi.announced', true), '') = '' THEN
        low := coalesce(pg_sequence_last_value('leads_id_seq'), 0);
        done := pg_advisory_xact_lock_shared((1::bigint << 62) + low)::text;
        done := set_config('leadapi.announced', low::text, true);
    END IF;
    RETURN NULL;
END $$;

-- The mark, which then stays where it is until the transaction ends: of a lead that is not after it,
-- everybody must agree whether it is in the numbers. Who moves the mark does so at the end of a
-- transaction and waits for nobody, so nobody waits here for longer than that takes.
CREATE FUNCTION held_mark() RETURNS bigint LANGUAGE sql AS $$
    SELECT number FROM lead_counts WHERE counted = 'mark' FOR SHARE
$$;

-- As before, and of the rows that nobody else holds one is left, so that there are never many more than
-- writers at work.
CREATE OR REPLACE FUNCTION take_from_lead_count(what text, less bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    held bigint[];
    rest bigint;
BEGIN
    PERFORM add_to_lead_count(what, -less);
    SELECT array_agg(slot), sum(number) INTO held, rest FROM
        (SELECT slot, number FROM lead_counts WHERE counted = what FOR UPDATE SKIP LOCKED) AS free;
    IF rest = 0 THEN
        DELETE FROM lead_counts WHERE slot = ANY (held);
    ELSIF cardinality(held) > 1 THEN
        UPDATE lead_counts SET number = rest WHERE slot = held[1];
        DELETE FROM lead_counts WHERE slot = ANY (held[2:]);
    END IF;
END $$;

-- The numbers that a lead is in.
CREATE FUNCTION counts_of(source text, status text) RETURNS text[] LANGUAGE sql IMMUTABLE AS $$
    SELECT array_remove(ARRAY['', 'source:' || source, 'status:' || status], NULL)
$$;

-- A lead that somebody copied in with an id of its own.
CREATE FUNCTION count_early_lead() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.id <= held_mark() THEN
        PERFORM add_to_lead_count(counted, 1) FROM unnest(counts_of(NEW.source, NEW.status)) AS counted;
    END IF;
    RETURN NULL;
END $$;

CREATE FUNCTION count_deleted_leads() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    mark bigint := held_mark();
    change record;
BEGIN
    FOR change IN
        SELECT counted, count(*) AS number FROM changed, unnest(counts_of(source, status)) AS counted
            WHERE id <= mark GROUP BY counted
    LOOP
        PERFORM take_from_lead_count(change.counted, change.number);
    END LOOP;
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION count_moved_lead() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    mark bigint := held_mark();
    before text[] := '{}';
    after text[] := '{}';
BEGIN
    IF OLD.id <= mark THEN
        before := counts_of(OLD.source, OLD.status);
    END IF;
    IF NEW.id <= mark THEN
        after := counts_of(NEW.source, NEW.status);
    END IF;
    PERFORM take_from_lead_count(counted, 1) FROM unnest(before) AS counted WHERE counted <> ALL (after);
    PERFORM add_to_lead_count(counted, 1) FROM unnest(after) AS counted WHERE counted <> ALL (before);
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION count_no_leads() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM lead_counts WHERE counted <> 'mark';
    UPDATE lead_counts SET number = 0 WHERE counted = 'mark';
    RETURN NULL;
END $$;

-- The mark goes as far as no lead can appear any more but by a transaction that sees all its own leads,
-- this one. It does not pass an id above the last one given: whoever is given that would not know.
CREATE FUNCTION move_mark() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    mark bigint;
    given bigint;
    low bigint;
    change record;
BEGIN
    -- In any other, a transaction does not see what was committed after it began.
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RETURN NULL;
    END IF;
    SELECT number INTO mark FROM lead_counts WHERE counted = 'mark' FOR UPDATE SKIP LOCKED;
    -- In this order: who is not among the locks yet will be given an id above the one given last.
    given := pg_sequence_last_value('leads_id_seq');
    SELECT min(((classid::bigint - (1 << 30)) << 32) + objid::bigint) INTO low FROM pg_locks
        WHERE locktype = 'advisory' AND objsubid = 1 AND classid::bigint >= 1 << 30 AND pid <> pg_backend_pid()
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database());
    low := least(given, low);
    -- Somebody else is at it, or was.
    IF mark IS NULL OR low <= mark THEN
        RETURN NULL;
    END IF;
    FOR change IN
        SELECT counted, count(*) AS number FROM leads, unnest(counts_of(source, status)) AS counted
            WHERE id > mark AND id <= low GROUP BY counted
    LOOP
        PERFORM add_to_lead_count(change.counted, change.number);
    END LOOP;
    UPDATE lead_counts SET number = low WHERE counted = 'mark';
    RETURN NULL;
END $$;

CREATE TRIGGER count_early_lead AFTER INSERT ON leads FOR EACH ROW
    WHEN (NEW.id <= nullif(current_setting('leadapi.announced', true), '')::bigint)
    EXECUTE FUNCTION count_early_lead();
CREATE TRIGGER count_deleted_leads AFTER DELETE ON leads
    REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION count_deleted_leads();
CREATE TRIGGER count_moved_lead AFTER UPDATE OF id, source, status ON leads FOR EACH ROW
    WHEN (OLD.id <> NEW.id OR OLD.source IS DISTINCT FROM NEW.source OR OLD.status <> NEW.status)
    EXECUTE FUNCTION count_moved_lead();
-- One lead in 256, whatever ids are left out: refused leads are given some, too. At the end of the
-- transaction, so that it holds nobody up.
CREATE CONSTRAINT TRIGGER move_mark AFTER INSERT ON leads DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    WHEN (mod(hashint8(NEW.id), 256) = 0) EXECUTE FUNCTION move_mark();
"""


def upgrade() -> None:
    """Move on; existing data is kept."""
    connection = op.get_bind()
    if connection.dialect.name == "postgresql":
        # Nobody writes meanwhile.
        op.execute("LOCK TABLE leads IN SHARE ROW EXCLUSIVE MODE")
        connection.exec_driver_sql(POSTGRESQL)
        last = "coalesce(pg_sequence_last_value('leads_id_seq'), 0)"
    else:
        for statement in SQLITE:
            connection.exec_driver_sql(statement)
        last = "(SELECT coalesce(max(id), 0) FROM leads)"
    mark = {"mark": connection.scalar(sa.text(f"SELECT {last}"))}
    op.execute("DELETE FROM lead_counts")
    for counted in (
        "SELECT 'mark', CAST(:mark AS BIGINT)",
        "SELECT '', count(*) FROM leads WHERE id <= :mark",
        "SELECT 'source:' || source, count(*) FROM leads WHERE id <= :mark AND source IS NOT NULL GROUP BY source",
        "SELECT 'status:' || status, count(*) FROM leads WHERE id <= :mark GROUP BY status",
    ):
        connection.execute(sa.text(f"INSERT INTO lead_counts (counted, number) {counted}"), mark)
