"""Columns, constraints and transactions."""

import sqlite3
import threading
import time
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import psycopg
import pytest
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Dialect, insert, select, text
from sqlalchemy.dialects.sqlite.base import SQLiteDialect
from sqlalchemy.engine import make_url
from sqlalchemy.exc import IntegrityError

from conftest import MakeApp, NewLead, body
from leadapi import storage
from leadapi.leads.models import Lead
from leadapi.storage import UTCDateTime, WriteLockUnavailable, db, violated
from leadapi.storage.write_queue import WriteQueue

SQLITE: Dialect = SQLiteDialect()
POSTGRESQL: Dialect = make_url("postgresql+psycopg://").get_dialect()()
NOON = datetime(2026, 2, 28, 12, tzinfo=UTC)

# They change tables and files.
pytestmark = pytest.mark.usefixtures("own_app")


def lead(**changes: object) -> dict[str, object]:
    """A row that the database accepts."""
    values = {"full_name": "Zebedee", "email": "z@example.com", "email_key": "z@example.com", "created_at": NOON}
    return {**values, **changes}


def test_an_instant_is_the_same_whatever_zone_it_was_given_in(app: Flask) -> None:
    with app.app_context():
        row = lead(created_at=NOON.astimezone(timezone(timedelta(hours=5))))
        with storage.write() as tx:
            tx.execute(insert(Lead.metadata.tables["leads"]), row)

        with storage.read() as connection:
            read = connection.scalars(select(Lead.created_at)).one()

    assert read == NOON
    assert read.utcoffset() == timedelta(0)


@given(st.datetimes(timezones=st.timezones()))
def test_every_instant_survives_both_databases(instant: datetime) -> None:
    try:
        instant.astimezone(UTC)
    except OverflowError:
        return
    for dialect in (SQLITE, POSTGRESQL):
        stored = UTCDateTime().process_bind_param(instant, dialect)
        assert stored is not None
        assert UTCDateTime().process_result_value(stored.replace(tzinfo=None), dialect) == instant.astimezone(UTC)


def test_an_instant_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="zone"):
        UTCDateTime().process_bind_param(datetime(2026, 2, 28, 12), SQLITE)  # noqa: DTZ001  # the point


@pytest.mark.parametrize(
    ("row", "constraints"),
    [
        (lead(id=2), {"uq_leads_email_key"}),
        (lead(id=1, email_key="other"), {"pk_leads", None}),
        (lead(id=2, email_key="other", full_name=None), {None}),
    ],
)
def test_tells_which_constraint_refused(app: Flask, row: dict[str, object], constraints: set[str | None]) -> None:
    with app.app_context(), storage.write() as tx:
        tx.execute(insert(Lead.metadata.tables["leads"]), lead(id=1))
        with pytest.raises(IntegrityError) as refused:
            tx.execute(insert(Lead.metadata.tables["leads"]), row)

    assert violated(refused.value) in constraints
    assert "Zebedee" not in str(refused.value)


def test_another_refusal_is_not_called_a_duplicate(client: FlaskClient, app: Flask, new_lead: NewLead) -> None:
    with app.app_context(), storage.write() as tx:
        tx.execute(text("CREATE UNIQUE INDEX uq_leads_source ON leads (source)"))
    first, second = new_lead(), new_lead()

    assert client.post("/leads", json=first).status_code == 201
    response = client.post("/leads", json=second)

    assert response.status_code == 500
    assert body(response) == {"detail": "The service failed to answer this request."}
    assert body(client.get("/leads"))["total"] == 1


@pytest.fixture
def sqlite_path(make_app: MakeApp, tmp_path: Path) -> Path:
    """A database file as the service makes it."""
    make_app(DATABASE_URL=f"sqlite:///{tmp_path}/leads.db")
    return tmp_path / "leads.db"


def test_sqlite_is_durable_and_strict(make_app: MakeApp, sqlite_path: Path) -> None:
    with make_app(DATABASE_URL=f"sqlite:///{sqlite_path}").app_context(), storage.read() as connection:
        pragmas = {
            name: connection.execute(text(f"PRAGMA {name}")).scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        }

    assert pragmas == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}


@pytest.mark.parametrize("backend", ["postgresql"])
def test_postgresql_ends_what_takes_too_long_and_speaks_of_utc(app: Flask) -> None:
    names = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout", "TimeZone")
    with app.app_context(), storage.read() as connection:
        driver = connection.connection.driver_connection
        settings = [connection.execute(text(f"SHOW {name}")).scalar() for name in names]

    assert settings == ["5s", "4s", "1min", "UTC"]
    assert isinstance(driver, psycopg.Connection)
    # What is sent to a host that is gone is given up, too.
    assert driver.info.get_parameters()["tcp_user_timeout"] == "5000"


@pytest.mark.parametrize("backend", ["postgresql"])
def test_only_what_may_be_lost_does_not_wait_for_the_disk(app: Flask) -> None:
    waits = []

    with app.app_context():
        for asynchronous in (True, False):
            with storage.write(asynchronous=asynchronous) as tx:
                waits.append(tx.scalar(text("SHOW synchronous_commit")))

    assert waits == ["off", "on"]


def test_writers_of_one_process_go_one_after_the_other(app: Flask) -> None:
    """Each adds one to a number that it has read: a lost update would show."""

    def add_one() -> None:
        with app.app_context(), storage.write() as tx:
            number = tx.execute(text("SELECT number FROM counter FOR UPDATE" if locks else sql)).scalar_one()
            tx.execute(text("UPDATE counter SET number = :number"), {"number": number + 1})

    sql = "SELECT number FROM counter"
    with app.app_context(), storage.write() as tx:
        locks = tx.dialect.name == "postgresql"
        tx.execute(text("CREATE TABLE counter (number INTEGER)"))
        tx.execute(text("INSERT INTO counter VALUES (0)"))
    threads = [threading.Thread(target=add_one) for _ in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    with app.app_context(), storage.read() as connection:
        assert connection.execute(text(sql)).scalar_one() == 40


def test_the_write_lock_gives_up_in_time_and_is_free_afterwards(tmp_path: Path) -> None:
    one, other = WriteQueue(f"{tmp_path}/lock"), WriteQueue(f"{tmp_path}/lock")

    with one.turn(10):
        # As another process would meet it, and as another thread of the same process would.
        for queue in (other, one):
            with pytest.raises(WriteLockUnavailable), queue.turn(0):
                raise AssertionError

    with other.turn(10):
        pass
    with one.turn(10):
        pass


def test_a_lock_file_that_cannot_be_made_leaves_the_lock_free(tmp_path: Path) -> None:
    queue = WriteQueue(f"{tmp_path}/later/lock")
    with pytest.raises(WriteLockUnavailable), queue.turn(10):
        raise AssertionError
    (tmp_path / "later").mkdir()

    with queue.turn(10):
        pass


def test_a_lock_file_is_for_its_owner_alone_and_no_link(tmp_path: Path) -> None:
    with WriteQueue(f"{tmp_path}/lock").turn(10):
        pass
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")

    assert (tmp_path / "lock").stat().st_mode & 0o777 == 0o600
    with pytest.raises(WriteLockUnavailable), WriteQueue(f"{tmp_path}/link").turn(10):
        raise AssertionError
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.usefixtures("short_waits")
@pytest.mark.slow
def test_a_foreign_lock_on_sqlite_ends_in_503_and_then_all_is_well(
    make_app: MakeApp, sqlite_path: Path, new_lead: NewLead
) -> None:
    client = make_app(DATABASE_URL=f"sqlite:///{sqlite_path}").test_client()
    foreign = sqlite3.connect(sqlite_path, isolation_level=None)
    foreign.execute("BEGIN IMMEDIATE")

    refused = client.post("/leads", json=new_lead())
    listed = client.get("/leads")
    foreign.execute("ROLLBACK")
    foreign.close()
    accepted = client.post("/leads", json=new_lead())

    assert refused.status_code == 503
    assert int(refused.headers["Retry-After"]) > 0
    assert body(refused) == {"detail": "The database cannot answer now; try again in a moment."}
    assert listed.status_code == 200
    assert accepted.status_code == 201


@pytest.mark.usefixtures("short_waits")
@pytest.mark.slow
def test_a_pool_that_is_empty_for_too_long_ends_in_503(make_app: MakeApp, database_url: str) -> None:
    app = make_app(DATABASE_URL=database_url, THREADS="1")
    client = app.test_client()
    # One for the thread, and one for the dispatcher.
    with app.app_context(), db.engine.connect(), db.engine.connect():
        started = time.monotonic()
        refused = client.get("/leads")
        waited = time.monotonic() - started

    assert refused.status_code == 503
    assert waited < 10
    assert client.get("/leads").status_code == 200


@pytest.mark.usefixtures("short_waits")
@pytest.mark.slow
def test_a_lock_on_sqlite_at_the_start_does_not_stop_it(make_app: MakeApp, tmp_path: Path) -> None:
    foreign = sqlite3.connect(tmp_path / "leads.db", isolation_level=None)
    foreign.execute("PRAGMA journal_mode = WAL")
    foreign.execute("BEGIN IMMEDIATE")

    client = make_app(DATABASE_URL=f"sqlite:///{tmp_path}/leads.db").test_client()
    foreign.execute("ROLLBACK")
    foreign.close()

    assert client.get("/ready").status_code == 200
    assert client.get("/leads").status_code == 200
