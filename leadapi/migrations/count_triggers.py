"""The SQL of the triggers that keep exact totals of leads, as it is in force on both databases.

Counting a large table for each list request is slow, and a counter that each insert updates makes all
writers lock the same row. So the table `lead_counts` keeps totals only for leads up to a mark:

- Its row 'mark' holds a lead id. The row '' holds the number of all leads with an id up to the mark,
  and the rows 'source:x' and 'status:x' hold the numbers for one source and one status.
- A total is the kept number plus a count of the leads with `id > mark`, read by one statement.
- A new lead has an id above the mark, so its insert does not touch `lead_counts`. About one insert in
  256 advances the mark and adds the leads that the mark passes to the numbers.
- Deletes, updates, and inserts that bring an id up to the mark with them change the numbers in the
  same transaction. So totals are exact after SQL by hand, a rollback or a crash, too.

SQLite has one writer at a time, and needs no more. On PostgreSQL transactions overlap:

- A total may have several rows there (slots), and is their sum. A writer updates any slot that no other
  transaction has locked, or inserts one, so writers do not wait for each other.
- Ids come from a sequence in order, but transactions commit in any order: a lead can become visible
  after a lead with a larger id. So each transaction announces itself before its first insert, by an
  advisory lock whose key is the last id of the sequence; all ids it gets later are larger.
- No new lead can appear up to the smallest announced number, or up to the last id of the sequence while
  no number is announced. `settled_lead_id` returns this id. In a walk through the leads, oldest
  first, each page but the last ends there, so the walk misses no lead. The mark stops there, too.

A change of this file reaches existing databases by a new migration that calls `create`. A migration
that rebuilds the table `leads` in Alembic's batch mode must call it as well: SQLite drops the triggers.
"""

from sqlalchemy import Connection

_MARK = "(SELECT number FROM lead_counts WHERE counted = 'mark')"
# Add the lead NEW to its numbers, or take the lead OLD from them. Numbers of sources and statuses that
# no lead has are deleted: a source may name a person.
_ADD_NEW = """
    INSERT INTO lead_counts (counted, number)
        SELECT counted, 0 FROM (SELECT 'source:' || NEW.source AS counted UNION ALL SELECT 'status:' || NEW.status)
        WHERE counted IS NOT NULL AND counted NOT IN (SELECT counted FROM lead_counts);
    UPDATE lead_counts SET number = number + 1
        WHERE counted IN ('', 'source:' || NEW.source, 'status:' || NEW.status);
"""
_TAKE_OLD = """
    UPDATE lead_counts SET number = number - 1
        WHERE counted IN ('', 'source:' || OLD.source, 'status:' || OLD.status);
    DELETE FROM lead_counts
        WHERE counted IN ('source:' || OLD.source, 'status:' || OLD.status) AND number = 0;
"""
_UPDATE = (
    "AFTER UPDATE OF id, source, status ON leads"
    " WHEN (OLD.id <> NEW.id OR OLD.source IS NOT NEW.source OR OLD.status <> NEW.status)"
)
# The leads that the mark passes when it moves to NEW.id - 1. It stays below the new lead itself, because
# count_early_lead may run after move_mark and would count the new lead again.
_PASSED = f"FROM leads WHERE id > {_MARK} AND id < NEW.id"
_PASSED_NUMBERS = f"""
    SELECT '' AS counted, count(*) AS number {_PASSED}
    UNION ALL SELECT 'source:' || source, count(*) {_PASSED} AND source IS NOT NULL GROUP BY source
    UNION ALL SELECT 'status:' || status, count(*) {_PASSED} GROUP BY status
"""

SQLITE = (
    # The version before there was a mark.
    "DROP TRIGGER IF EXISTS count_new_lead",
    "DROP TRIGGER IF EXISTS count_moved_lead",
    # This version.
    "DROP TRIGGER IF EXISTS count_early_lead",
    "DROP TRIGGER IF EXISTS count_deleted_lead",
    "DROP TRIGGER IF EXISTS count_left_lead",
    "DROP TRIGGER IF EXISTS count_joined_lead",
    "DROP TRIGGER IF EXISTS move_mark",
    # An insert that brings its id with it.
    f"CREATE TRIGGER count_early_lead AFTER INSERT ON leads WHEN NEW.id <= {_MARK} BEGIN {_ADD_NEW} END",
    f"CREATE TRIGGER count_deleted_lead AFTER DELETE ON leads WHEN OLD.id <= {_MARK} BEGIN {_TAKE_OLD} END",
    # An update takes the lead from its old numbers and adds it to its new ones. Its id may cross the mark.
    f"CREATE TRIGGER count_left_lead {_UPDATE} AND OLD.id <= {_MARK} BEGIN {_TAKE_OLD} END",
    f"CREATE TRIGGER count_joined_lead {_UPDATE} AND NEW.id <= {_MARK} BEGIN {_ADD_NEW} END",
    f"""CREATE TRIGGER move_mark AFTER INSERT ON leads WHEN NEW.id > {_MARK} + 256 BEGIN
        INSERT INTO lead_counts (counted, number)
            SELECT counted, 0 FROM ({_PASSED_NUMBERS}) WHERE counted NOT IN (SELECT counted FROM lead_counts);
        UPDATE lead_counts SET number = lead_counts.number + added.number
            FROM ({_PASSED_NUMBERS}) AS added WHERE lead_counts.counted = added.counted;
        UPDATE lead_counts SET number = NEW.id - 1 WHERE counted = 'mark';
    END""",  # noqa: S608  # the SQL consists of constants
)

POSTGRESQL = """
-- Wait for transactions that write leads, and admit no other until this one ends. The strongest mode at
-- once, because DROP TRIGGER needs it and raising a lock's mode can deadlock.
LOCK TABLE leads IN ACCESS EXCLUSIVE MODE;

-- The version before there was a mark.
DROP TRIGGER IF EXISTS count_new_leads ON leads;
-- This version.
DROP TRIGGER IF EXISTS announce_new_leads ON leads;
DROP TRIGGER IF EXISTS count_early_lead ON leads;
DROP TRIGGER IF EXISTS count_deleted_leads ON leads;
DROP TRIGGER IF EXISTS count_moved_lead ON leads;
DROP TRIGGER IF EXISTS count_no_leads ON leads;
DROP TRIGGER IF EXISTS move_mark ON leads;
-- Of the version before there was a mark. The other functions are replaced below.
DROP FUNCTION IF EXISTS count_leads();

-- Announce that this transaction will insert leads with ids above the last one of the sequence. Bit 62
-- tells these advisory locks from others.
CREATE OR REPLACE FUNCTION announce_new_leads() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    low bigint;
    done text;
BEGIN
    -- Once in a transaction, because PostgreSQL's lock table is small. The lock and the setting end with
    -- the transaction. Assignments instead of PERFORM, because PL/pgSQL evaluates them without a query.
    IF coalesce(current_setting('leadapi.announced', true), '') = '' THEN
        low := coalesce(pg_sequence_last_value('leads_id_seq'), 0);
        done := pg_advisory_xact_lock_shared((1::bigint << 62) + low)::text;
        done := set_config('leadapi.announced', low::text, true);
    END IF;
    RETURN NULL;
END $$;

-- The largest id up to which no new lead can appear. Call it in a statement of its own before the
-- statement that reads leads.
CREATE OR REPLACE FUNCTION settled_lead_id() RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    given bigint;
    low bigint;
BEGIN
    -- The sequence first: a transaction that announces itself after the locks were read gets ids above
    -- `given`. max(id) is larger than the sequence where rows were copied in with their ids.
    SELECT greatest(last_value, (SELECT max(id) FROM leads)) INTO given FROM leads_id_seq;
    SELECT min(((classid::bigint - (1 << 30)) << 32) + objid::bigint) INTO low FROM pg_locks
        WHERE locktype = 'advisory' AND objsubid = 1 AND classid::bigint >= 1 << 30
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database());
    RETURN least(given, low);
END $$;

-- Read the mark, and keep others from moving it until this transaction ends: all transactions must
-- agree whether a lead is in the numbers. A transaction that moves the mark delays this only shortly: it
-- moves the mark when it commits, and waits for no other lock meanwhile.
CREATE OR REPLACE FUNCTION held_mark() RETURNS bigint LANGUAGE sql AS $$
    SELECT number FROM lead_counts WHERE counted = 'mark' FOR SHARE
$$;

-- Update any slot of the number that no other transaction has locked, or insert one.
CREATE OR REPLACE FUNCTION add_to_lead_count(what text, more bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    UPDATE lead_counts SET number = number + more WHERE slot =
        (SELECT slot FROM lead_counts WHERE counted = what LIMIT 1 FOR UPDATE SKIP LOCKED);
    IF NOT FOUND THEN
        INSERT INTO lead_counts (counted, number) VALUES (what, more);
    END IF;
END $$;

-- Subtract, and merge the slots that no other transaction has locked into one, or into none where their
-- sum is 0: so there are hardly more slots than concurrent writers, and no row names a source that no
-- lead has.
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

-- The names of the numbers that include a lead.
CREATE OR REPLACE FUNCTION counts_of(source text, status text) RETURNS text[] LANGUAGE sql IMMUTABLE AS $$
    SELECT array_remove(ARRAY['', 'source:' || source, 'status:' || status], NULL)
$$;

-- An insert that brings its id with it.
CREATE OR REPLACE FUNCTION count_early_lead() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.id <= held_mark() THEN
        PERFORM add_to_lead_count(counted, 1) FROM unnest(counts_of(NEW.source, NEW.status)) AS counted;
    END IF;
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION count_deleted_leads() RETURNS trigger LANGUAGE plpgsql AS $$
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

-- An update of id, source or status. The id may cross the mark.
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

-- TRUNCATE.
CREATE OR REPLACE FUNCTION count_no_leads() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM lead_counts WHERE counted <> 'mark';
    UPDATE lead_counts SET number = 0 WHERE counted = 'mark';
    RETURN NULL;
END $$;

-- Advance the mark to the largest id up to which no other transaction can add a lead. Leads of this
-- transaction are visible to it, so its own announcement does not count.
CREATE OR REPLACE FUNCTION move_mark() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    mark bigint;
    given bigint;
    low bigint;
    change record;
BEGIN
    -- At a higher isolation level, leads that were committed since the transaction began are invisible.
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RETURN NULL;
    END IF;
    SELECT number INTO mark FROM lead_counts WHERE counted = 'mark' FOR UPDATE SKIP LOCKED;
    -- The sequence first, as in settled_lead_id. Here max(id) is no part of it: the trigger
    -- count_early_lead relies on a mark that is never above the sequence.
    given := pg_sequence_last_value('leads_id_seq');
    SELECT min(((classid::bigint - (1 << 30)) << 32) + objid::bigint) INTO low FROM pg_locks
        WHERE locktype = 'advisory' AND objsubid = 1 AND classid::bigint >= 1 << 30 AND pid <> pg_backend_pid()
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database());
    low := least(given, low);
    -- Another transaction has the mark locked, or has moved it this far.
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

CREATE TRIGGER announce_new_leads BEFORE INSERT ON leads
    FOR EACH STATEMENT EXECUTE FUNCTION announce_new_leads();
-- Others cannot move the mark past this transaction's announcement, so an id above it is above the mark, too.
CREATE TRIGGER count_early_lead AFTER INSERT ON leads FOR EACH ROW
    WHEN (NEW.id <= nullif(current_setting('leadapi.announced', true), '')::bigint)
    EXECUTE FUNCTION count_early_lead();
CREATE TRIGGER count_deleted_leads AFTER DELETE ON leads
    REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION count_deleted_leads();
CREATE TRIGGER count_moved_lead AFTER UPDATE OF id, source, status ON leads FOR EACH ROW
    WHEN (OLD.id <> NEW.id OR OLD.source IS DISTINCT FROM NEW.source OR OLD.status <> NEW.status)
    EXECUTE FUNCTION count_moved_lead();
CREATE TRIGGER count_no_leads AFTER TRUNCATE ON leads
    FOR EACH STATEMENT EXECUTE FUNCTION count_no_leads();
-- One lead in 256 by a hash, because ids may have regular gaps: refused inserts use up ids, too. Deferred
-- to the end of the transaction, so that the mark is locked only for a short time.
CREATE CONSTRAINT TRIGGER move_mark AFTER INSERT ON leads DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    WHEN (mod(hashint8(NEW.id), 256) = 0) EXECUTE FUNCTION move_mark();
"""


def create(connection: Connection) -> None:
    """Create the triggers and their functions; any version that exists is replaced.

    It does not count: a migration that changes the meaning of the numbers also has to recount them.
    """
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(POSTGRESQL)
        return
    for statement in SQLITE:
        connection.exec_driver_sql(statement)
