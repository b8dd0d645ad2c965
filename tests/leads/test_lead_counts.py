"""The kept total is the counted one, whatever is done to the leads and however it ends."""

import threading

import pytest
from flask import Flask
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from sqlalchemy import Connection, text

from conftest import MakeApp
from leadapi.database import db
from leadapi.leads import service

SOURCES = st.sampled_from([None, "", "a", "b", "source:a"])
KEPT = "SELECT counted, sum(number) FROM lead_counts GROUP BY counted HAVING sum(number) <> 0"
COUNTED = """
    SELECT '', count(*) FROM leads HAVING count(*) > 0
    UNION ALL SELECT 'source:' || source, count(*) FROM leads WHERE source IS NOT NULL GROUP BY source
"""
INSERT = text("""
    INSERT INTO leads (full_name, email, email_key, source, created_at)
    VALUES ('Zebedee', 'z@example.com', :key, :source, '2026-02-28 10:00:00')
""")


def add(connection: Connection, first: int, many: int, source: str | None) -> None:
    """Insert some rows with one statement for all on PostgreSQL, as a bulk insert would."""
    connection.execute(INSERT, [{"key": str(first + number), "source": source} for number in range(many)])


class CountMachine(RuleBasedStateMachine):
    """Two connections that insert, move and delete, and end as they like."""

    app: Flask
    keys = iter(range(10**9))
    rows = Bundle("rows")

    @initialize()
    def connect(self) -> None:
        with self.app.app_context():
            self.engine = db.engine
        with self.engine.connect() as connection:
            connection.execution_options(writes=True)
            connection.execute(text("DELETE FROM leads"))
            connection.commit()

    @rule(sources=st.lists(st.tuples(SOURCES, st.integers(1, 4)), max_size=4), commit=st.booleans())
    def insert(self, sources: list[tuple[str | None, int]], commit: bool) -> None:
        """Several statements in one transaction."""
        self._transact(commit, [("insert", source, many) for source, many in sources])

    @rule(source=SOURCES, other=SOURCES, commit=st.booleans())
    def move_and_delete(self, source: str | None, other: str | None, commit: bool) -> None:
        """Every lead of a source goes to another one, and some go away."""
        self._transact(commit, [("move", source, other), ("insert", other, 1), ("delete", source, None)])

    def _transact(self, commit: bool, steps: list[tuple[str, str | None, object]]) -> None:
        with self.engine.connect() as connection:
            connection.execution_options(writes=True)
            same = "IS NOT DISTINCT FROM" if connection.dialect.name == "postgresql" else "IS"
            for step, source, value in steps:
                if step == "insert":
                    first = next(self.keys) * 10
                    add(connection, first, value if isinstance(value, int) else 1, source)
                elif step == "move":
                    statement = text(f"UPDATE leads SET source = CAST(:new AS VARCHAR) WHERE source {same} :old")
                    connection.execute(statement, {"old": source, "new": value})
                else:
                    connection.execute(text(f"DELETE FROM leads WHERE source {same} :old"), {"old": source})
            if commit:
                connection.commit()
            else:
                connection.rollback()

    @invariant()
    def kept_is_counted(self) -> None:
        """Row by row the same, and nothing is left of a source that is no more."""
        with self.engine.connect() as connection:
            kept = {row[0]: row[1] for row in connection.execute(text(KEPT))}
            counted = {row[0]: row[1] for row in connection.execute(text(COUNTED))}
            names = set(connection.execute(text("SELECT counted FROM lead_counts")).scalars()) - {""}
        assert kept == counted
        assert names <= set(counted)


def test_the_total_is_exact_after_anything(make_app: MakeApp, database_url: str) -> None:
    machine = type("Machine", (CountMachine,), {"app": make_app(DATABASE_URL=database_url)})

    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=25, stateful_step_count=12, deadline=None, suppress_health_check=[HealthCheck.too_slow]
        ),
    )


def test_the_total_is_exact_after_many_writers_at_once(app: Flask) -> None:
    def write(number: int) -> None:
        with app.app_context():
            for step in range(10):
                with db.engine.connect() as connection:
                    connection.execution_options(writes=True)
                    add(connection, number * 1000 + step * 10, 3, f"source {step % 2}")
                    if step % 3 == 0:
                        statement = text("DELETE FROM leads WHERE email_key = :key")
                        connection.execute(statement, {"key": str(number * 1000 + step * 10)})
                    if step % 5 == 4:
                        connection.rollback()
                    else:
                        connection.commit()

    threads = [threading.Thread(target=write, args=[number]) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    with app.app_context():
        counted = db.session.execute(text("SELECT count(*) FROM leads")).scalar_one()
        assert counted == 6 * (8 * 3 - 3)
        assert service.list_leads(limit=1).total == counted
        for source in ("source 0", "source 1"):
            statement = text("SELECT count(*) FROM leads WHERE source = :source")
            assert (
                service.list_leads(limit=1, source=source).total
                == db.session.execute(statement, {"source": source}).scalar_one()
            )


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
def test_writers_of_postgresql_do_not_wait_for_each_other(app: Flask) -> None:
    with app.app_context():
        with db.engine.connect() as one, db.engine.connect() as other:
            add(one, 1, 1, "a")
            other.execute(text("SET lock_timeout = '100ms'"))
            add(other, 10, 1, "a")
            other.commit()
            one.commit()

        assert service.list_leads(limit=1, source="a").total == 2


def test_an_emptied_table_has_no_leads(app: Flask) -> None:
    with app.app_context():
        with db.engine.connect() as connection:
            connection.execution_options(writes=True)
            add(connection, 1, 3, "a")
            connection.execute(
                text("TRUNCATE leads" if connection.dialect.name == "postgresql" else "DELETE FROM leads")
            )
            connection.commit()

        assert service.list_leads(limit=1).total == 0
        assert service.list_leads(limit=1, source="a").total == 0
