"""The kept total is the counted one, whatever is done to the leads and however it ends."""

from collections.abc import Iterator
from contextlib import contextmanager

import alembic.command
import pytest
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from sqlalchemy import Connection, Engine, text

from conftest import MakeApp, StoredLead
from leadapi import storage
from leadapi.leads import service
from leadapi.storage import db, schema
from leadapi.storage.engines import leave_autocommit
from servers import at_once

SOURCES = st.sampled_from([None, "", "a", "b", "source:a"])
MARK = "(SELECT number FROM lead_counts WHERE counted = 'mark')"
KEPT = "SELECT counted, sum(number) FROM lead_counts WHERE counted <> 'mark' GROUP BY counted HAVING sum(number) <> 0"
COUNTED = f"""
    SELECT '', count(*) FROM leads WHERE id <= {MARK} HAVING count(*) > 0
    UNION ALL SELECT 'source:' || source, count(*) FROM leads
    WHERE id <= {MARK} AND source IS NOT NULL GROUP BY source
    UNION ALL SELECT 'status:' || status, count(*) FROM leads WHERE id <= {MARK} GROUP BY status
"""
VALUES = "'Zebedee', 'z@example.com', {key}, CAST(:source AS VARCHAR), '2026-02-28 10:00:00'"
INTO = "INSERT INTO leads (full_name, email, email_key, source, created_at"
NUMBERS = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :many)"
INSERT = text(f"{INTO}) {NUMBERS} SELECT {VALUES.format(key=':key || i')} FROM n")
COPY_IN = text(f"{INTO}, id) VALUES ({VALUES.format(key=':key')}, :id)")
# As many leads as take the mark some way on.
MANY = 1000


def add(connection: Connection, key: str, many: int, source: str | None) -> None:
    """Insert some rows with one statement, as a bulk insert would."""
    connection.execute(INSERT, {"key": f"{key}.", "many": many, "source": source})


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """A connection in a transaction that may write; it ends as it is told to, or not at all."""
    with engine.connect() as connection:
        leave_autocommit(connection)
        if engine.dialect.name == "sqlite":
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        yield connection


def exact(app: Flask) -> int:
    """The total, which is what is counted; so is that of each source and each status."""
    with app.app_context():
        for name in ("source", "status"):
            with storage.read() as connection:
                found = connection.execute(text(f"SELECT {name}, count(*) FROM leads GROUP BY {name}")).all()
            for value, number in found:
                assert value is None or service.list_leads(limit=1, **{name: value}).total == number
        total = service.list_leads(limit=1).total
        assert total == sum(number for _, number in found)
        return total


class CountMachine(RuleBasedStateMachine):
    """Two connections that insert, move and delete, and end as they like."""

    app: Flask
    keys = iter(range(10**9))

    @initialize()
    def begin(self) -> None:
        with self.app.app_context():
            self.engine = db.engine
        with writing(self.engine) as connection:
            # As good as new, so that what goes wrong once goes wrong again.
            if connection.dialect.name == "postgresql":
                connection.execute(text("TRUNCATE leads RESTART IDENTITY CASCADE"))
            else:
                connection.execute(text("DELETE FROM leads"))
                connection.execute(text("DELETE FROM sqlite_sequence"))
                connection.execute(text("UPDATE lead_counts SET number = 0"))
            connection.commit()

    @rule(source=SOURCES, many=st.sampled_from([1, 3, MANY]), commit=st.booleans())
    def insert(self, source: str | None, many: int, commit: bool) -> None:
        """Several statements in one transaction."""
        with self._ended(commit) as connection:
            add(connection, self._key(), many, source)
            add(connection, self._key(), 2, "b")

    @rule(source=SOURCES, low=st.booleans(), commit=st.booleans())
    def copy_in(self, source: str | None, low: bool, commit: bool) -> None:
        """A lead comes with an id of its own, below all or far above."""
        with self._ended(commit) as connection:
            ends = connection.execute(text("SELECT coalesce(min(id), 1), coalesce(max(id), 1) FROM leads")).one()
            lead_id = ends[0] - 1 if low else ends[1] + 10**9
            connection.execute(COPY_IN, {"key": self._key(), "source": source, "id": lead_id})

    @rule(source=SOURCES, other=SOURCES, commit=st.booleans())
    def move_and_delete(self, source: str | None, other: str | None, commit: bool) -> None:
        """Every lead of a source goes to another one and is lost, the last becomes the first, and some go away."""
        with self._ended(commit) as connection:
            same = "IS NOT DISTINCT FROM" if connection.dialect.name == "postgresql" else "IS"
            moved = text(f"UPDATE leads SET source = CAST(:new AS VARCHAR) WHERE source {same} CAST(:old AS VARCHAR)")
            connection.execute(moved, {"old": source, "new": other})
            last = "UPDATE leads SET id = (SELECT min(id) - 1 FROM leads) WHERE id = (SELECT max(id) FROM leads)"
            connection.execute(text(last))
            reached = text(f"UPDATE leads SET status = 'lost' WHERE source {same} CAST(:old AS VARCHAR)")
            connection.execute(reached, {"old": other})
            add(connection, self._key(), 1, other)
            deleted = text(f"DELETE FROM leads WHERE source {same} CAST(:old AS VARCHAR)")
            connection.execute(deleted, {"old": source})

    def _key(self) -> str:
        return str(next(self.keys))

    @contextmanager
    def _ended(self, commit: bool) -> Iterator[Connection]:
        with writing(self.engine) as connection:
            yield connection
            if commit:
                connection.commit()
            else:
                connection.rollback()

    @invariant()
    def kept_is_counted(self) -> None:
        """Row by row the same, and nothing is left of a source that is no more."""
        exact(self.app)
        with self.engine.connect() as connection:
            kept = {row[0]: row[1] for row in connection.execute(text(KEPT))}
            counted = {row[0]: row[1] for row in connection.execute(text(COUNTED))}
            names = set(connection.execute(text("SELECT counted FROM lead_counts")).scalars()) - {"", "mark"}
        assert kept == counted
        assert names <= set(counted)


def test_the_total_is_exact_after_anything(make_app: MakeApp, database_url: str) -> None:
    machine = type("Machine", (CountMachine,), {"app": make_app(DATABASE_URL=database_url)})

    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=15, stateful_step_count=12, deadline=None, suppress_health_check=[HealthCheck.too_slow]
        ),
    )


def test_the_total_is_exact_after_many_writers_at_once(app: Flask) -> None:
    def write(number: int) -> None:
        with app.app_context():
            for step in range(10):
                with writing(db.engine) as connection:
                    add(connection, f"{number}.{step}", 100, f"source {step % 2}")
                    if step % 3 == 0:
                        connection.execute(text(f"DELETE FROM leads WHERE email_key = '{number}.{step}.1'"))
                    if step % 5 == 4:
                        connection.rollback()
                    else:
                        connection.commit()

    at_once(6, write)

    assert exact(app) == 6 * (8 * 100 - 3)
    with app.app_context(), storage.read() as connection:
        assert connection.execute(text(f"SELECT {MARK}")).scalar_one() > 6 * 8 * 100 / 2


def test_what_is_counted_when_somebody_asks_is_little(client: FlaskClient, stored_lead: StoredLead) -> None:
    """However the leads came: here one by one, each after one that was refused, which uses up an id, too."""
    for _ in range(300):
        lead = stored_lead()
        client.post("/leads", json={"full_name": lead["full_name"], "email": lead["email"]})

    with client.application.app_context(), storage.read() as connection:
        after = connection.execute(text(f"SELECT count(*) FROM leads WHERE id > {MARK}")).scalar_one()
    assert exact(client.application) == 300
    assert after < 300


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
def test_writers_of_postgresql_do_not_wait_for_each_other(app: Flask) -> None:
    with app.app_context(), writing(db.engine) as one, writing(db.engine) as other:
        add(other, "first", MANY, "a")
        other.commit()
        add(one, "one", MANY, "a")
        other.execute(text("SET lock_timeout = '100ms'"))
        add(other, "other", MANY, "a")
        other.execute(text("DELETE FROM leads WHERE id <= 10"))
        other.commit()
        one.commit()

    assert exact(app) == 3 * MANY - 10


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO leads (full_name, email, email_key, created_at) VALUES ('Zebedee', 'z', 'z', now())",
        "INSERT INTO leads (id, full_name, email, email_key, created_at) VALUES (10, 'Zebedee', 'z', 'z', now())",
        "INSERT INTO leads (id, full_name, email, email_key, created_at) VALUES (1002, 'Zebedee', 'z', 'z', now())",
        "DELETE FROM leads WHERE id < 10",
        "DELETE FROM leads WHERE id = 1001",
        "UPDATE leads SET source = 'b' WHERE id < 10",
        "UPDATE leads SET source = 'b', status = 'lost' WHERE id = 1001",
    ],
)
@pytest.mark.parametrize("commit", [True, False])
def test_a_transaction_that_ends_late_is_counted_when_it_ends(app: Flask, statement: str, commit: bool) -> None:
    """Others take the mark on meanwhile, as far as they may."""
    with app.app_context(), writing(db.engine) as late, writing(db.engine) as other:
        add(other, "first", MANY, "a")
        other.commit()
        add(other, "after the mark", 3, "a")
        other.execute(text("DELETE FROM leads WHERE id IN (10, 1002)"))
        other.commit()
        assert other.scalar(text(f"SELECT {MARK}")) == MANY
        late.execute(text(statement))
        for key in ("second", "third"):
            add(other, key, MANY, "a")
            other.commit()
        if commit:
            late.commit()
        else:
            late.rollback()

        exact(app)
        add(other, "fourth", MANY, "b")
        other.commit()
        exact(app)
        assert other.scalar(text(f"SELECT {MARK}")) > 3 * MANY


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
def test_what_many_writers_at_once_leave_is_put_together(app: Flask) -> None:
    rows = text("SELECT count(*) FROM lead_counts WHERE counted = 'status:new'")
    with app.app_context(), writing(db.engine) as connection:
        add(connection, "first", MANY, "a")
        connection.commit()
        connection.execute(
            text("INSERT INTO lead_counts (counted, number) VALUES ('status:new', 7), ('status:new', -7)")
        )
        connection.commit()
        before = connection.scalar(rows)

        connection.execute(text("UPDATE leads SET status = 'lost' WHERE id = 1"))
        connection.commit()

        assert (before, connection.scalar(rows)) == (3, 1)
    assert exact(app) == MANY


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
def test_a_transaction_that_sees_an_old_state_leaves_the_mark_alone(app: Flask) -> None:
    with app.app_context(), writing(db.engine) as late, writing(db.engine) as other:
        late.execution_options(isolation_level="REPEATABLE READ")
        late.execute(text("SELECT 1 FROM leads"))
        add(other, "other", MANY, "a")
        other.commit()
        add(late, "late", MANY, "a")
        late.commit()

        assert exact(app) == 2 * MANY


def test_an_emptied_table_has_no_leads(app: Flask) -> None:
    with app.app_context():
        with writing(db.engine) as connection:
            add(connection, "first", MANY, "a")
            connection.commit()
        with writing(db.engine) as connection:
            emptied = "TRUNCATE leads CASCADE" if connection.dialect.name == "postgresql" else "DELETE FROM leads"
            connection.execute(text(emptied))
            connection.commit()
        assert exact(app) == 0

        with writing(db.engine) as connection:
            add(connection, "second", 3, "a")
            connection.commit()
        assert exact(app) == 3


def test_nothing_is_kept_of_a_source_whose_last_lead_is_erased(
    app: Flask, client: FlaskClient, stored_lead: StoredLead
) -> None:
    counted = text("SELECT number FROM lead_counts WHERE counted = 'source:the only one'")
    lead = stored_lead(source="the only one")
    with app.app_context():
        with writing(db.engine) as connection:
            add(connection, "other", MANY, None)
            connection.commit()
        with storage.read() as connection:
            assert connection.scalar(counted) == 1

        client.delete(f"/leads/{lead['id']}")

        with storage.read() as connection:
            assert connection.execute(counted).all() == []
    assert exact(app) == MANY


def test_what_was_there_before_the_mark_is_counted(make_app: MakeApp, empty_database_url: str) -> None:
    app = make_app(DATABASE_URL=empty_database_url, AUTO_MIGRATE="off")
    with app.app_context():
        with schema.exclusive_transaction() as connection:
            alembic.command.upgrade(schema.alembic_config(connection), "0008")
            add(connection, "first", MANY, "a")
            add(connection, "second", MANY, None)
            connection.execute(text("DELETE FROM leads WHERE id < 10"))
        schema.upgrade()

        assert exact(app) == 2 * MANY - 9
        with storage.read() as connection:
            assert connection.execute(text(f"SELECT {MARK}")).scalar_one() == 2 * MANY
