"""The retention and the daily scrub by workers beside the dispatchers."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from destinations.deliverer import Deliverer
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import make_url, update

from conftest import MakeApp, NewLead, Serve, body
from leadapi import storage
from leadapi.retention import leases, service, worker
from leadapi.retention.leases import Lease
from leadapi.retention.worker import RETENTION, SCRUB, Worker, is_retention_due, is_scrub_due

NOW = datetime(2026, 2, 28, 10, 30, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)


def age(app: Flask, days: int) -> None:
    """Let all leads have been created so many days ago."""
    table = storage.db.metadata.tables["leads"]
    with app.app_context(), storage.write() as tx:
        tx.execute(update(table).values(created_at=storage.now() - timedelta(days=days)))


@contextmanager
def working(app: Flask) -> Iterator[Worker]:
    """A running worker."""
    running = Worker(app)
    running.start()
    try:
        yield running
    finally:
        running.stop()


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let workers ask often."""
    monkeypatch.setattr(worker, "ASK_SECONDS", 0.02)
    monkeypatch.setattr(worker, "FIRST_SECONDS", 0)


@pytest.fixture
def aged(make_app: MakeApp, database_url: str, new_lead: NewLead) -> FlaskClient:
    """Three leads that are 40 days old; one was lost and one contacted today."""
    client = make_app(DATABASE_URL=database_url).test_client()
    client.post("/leads/batch", json={"items": [new_lead() for _ in range(3)]})
    age(client.application, 40)
    client.patch("/leads/1", json={"status": "lost"})
    client.patch("/leads/2", json={"status": "contacted"})
    return client


def test_leads_that_are_too_old_are_erased_soon_after_a_start(
    serve: Serve, database_url: str, aged: FlaskClient
) -> None:
    server = serve(DATABASE_URL=database_url, RETENTION="new:30d,contacted:30d,lost:90d")
    server.until("retention.erased")

    assert [lead["id"] for lead in body(aged.get("/leads"))["items"]] == [1, 2]
    assert body(aged.get("/leads/3/events"))["items"][0]["type"] == "lead.erased"
    assert server.stop() == 0


@pytest.mark.parametrize("backend", ["sqlite"])
def test_flask_deliver_does_it_where_the_service_does_not_deliver(
    serve: Serve, database_url: str, aged: FlaskClient, tmp_path: Path
) -> None:
    settings = {"DATABASE_URL": database_url, "RETENTION": "new:30d", "DELIVERY": "external"}
    server = serve(**settings)
    process = Deliverer(settings, tmp_path)
    process.until("retention.erased")

    assert process.stop() == 0
    assert [lead["id"] for lead in body(aged.get("/leads"))["items"]] == [1, 2]
    assert "retention.erased" not in "".join(server.lines)


def test_a_stop_ends_a_run_and_another_one_goes_on(
    make_app: MakeApp, database_url: str, new_lead: NewLead, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "ERASED_AT_ONCE", 1)
    monkeypatch.setattr(service, "SHARE", 0.3)
    app = make_app(DATABASE_URL=database_url, RETENTION="new:30d", THREADS="4")
    client = app.test_client()
    client.post("/leads/batch", json={"items": [new_lead() for _ in range(100)]})
    age(app, 40)

    with working(app):
        until(lambda: body(client.get("/leads?limit=1"))["total"] < 100)
    left = body(client.get("/leads?limit=1"))["total"]
    monkeypatch.setattr(service, "ERASED_AT_ONCE", 100)
    with working(app):
        until(lambda: body(client.get("/leads?limit=1"))["total"] == 0)

    assert 0 < left < 100


def until(holds: Callable[[], bool]) -> None:
    """Wait until something is true of the database, which tells nobody when it changes."""
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline


def test_one_process_does_a_job_at_a_time_until_its_lease_ends(app: Flask) -> None:
    with app.app_context():
        first, second, third = (Lease(RETENTION, timedelta(minutes=1)) for _ in range(3))
        claims = [first.claim(), second.claim(), first.renew(), second.renew()]
        with storage.write() as tx:
            table = storage.db.metadata.tables["jobs"]
            tx.execute(update(table).values(leased_until=datetime.now(UTC) - timedelta(seconds=1)))
        claims += [second.claim(), first.renew(), third.claim()]
        first.release(NOW)
        kept = leases.done_at(RETENTION)
        second.release(NOW)
        claims.append(third.claim())

        assert claims == [True, False, True, False, True, False, False, True]
        assert (kept, leases.done_at(RETENTION), leases.done_at(SCRUB)) == (None, NOW, None)


def test_a_lease_of_a_clock_that_was_wrong_is_no_lease(app: Flask) -> None:
    with app.app_context():
        assert Lease(RETENTION, timedelta(hours=2)).claim()

        assert Lease(RETENTION, timedelta(minutes=1)).claim()


@pytest.mark.one_database
@pytest.mark.parametrize(
    ("began", "done", "is_due"),
    [
        (-MINUTE, None, True),
        (-MINUTE, -2 * MINUTE, True),
        (-2 * HOUR, -59 * MINUTE, False),
        (-2 * HOUR, -60 * MINUTE, True),
        (-2 * HOUR, MINUTE, True),
    ],
)
def test_the_retention_runs_after_each_start_and_every_hour(
    began: timedelta, done: timedelta | None, *, is_due: bool
) -> None:
    assert is_retention_due(NOW, NOW + began, None if done is None else NOW + done) == is_due


@pytest.mark.one_database
@pytest.mark.parametrize(
    ("hour", "done", "erased", "is_due"),
    [
        (10, None, -24 * HOUR, True),
        (10, None, None, False),
        (11, None, -24 * HOUR, False),
        (10, -24 * HOUR, -MINUTE, True),
        (10, -24 * HOUR, -25 * HOUR, False),
        (10, -20 * MINUTE, -MINUTE, False),
    ],
)
def test_a_scrub_is_done_once_a_day_if_somebody_was_erased(
    hour: int, done: timedelta | None, erased: timedelta | None, *, is_due: bool
) -> None:
    times = [None if time is None else NOW + time for time in (done, erased)]

    assert is_scrub_due(NOW, hour, *times) == is_due


@pytest.mark.parametrize("backend", ["sqlite"])
def test_the_file_is_scrubbed_in_its_hour(
    make_app: MakeApp, database_url: str, new_lead: NewLead, capsys: pytest.CaptureFixture[str]
) -> None:
    app = make_app(DATABASE_URL=database_url, SCRUB_HOUR=str(datetime.now(UTC).hour), THREADS="4")
    client = app.test_client()
    client.post("/leads/batch", json={"items": [new_lead(message="m" * 1900) for _ in range(100)]})
    with app.app_context(), storage.read() as connection:
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    file = Path(str(make_url(database_url).database))
    size = file.stat().st_size
    for lead_id in range(1, 101):
        client.delete(f"/leads/{lead_id}")

    with working(app):
        until(lambda: _done(app) is not None)

    assert file.stat().st_size < size
    assert "database.scrubbed" in capsys.readouterr().out


def _done(app: Flask) -> datetime | None:
    with app.app_context():
        return leases.done_at(SCRUB)
