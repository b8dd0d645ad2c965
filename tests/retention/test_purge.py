"""flask leads purge."""

from datetime import UTC, datetime, timedelta

import pytest
from click.testing import Result
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import update

from conftest import NewLead, StoredLead, body
from leadapi import storage
from leadapi.leads import unchanged
from leadapi.retention import service


def purge(app: Flask, *options: str, answer: str = "") -> Result:
    return app.test_cli_runner().invoke(args=["leads", "purge", *options], input=answer)


def set_times(app: Flask, lead_id: int, *, created: int, updated: int | None = None) -> None:
    """Let a lead have been created and changed so many days ago."""
    times = {"created_at": created, "updated_at": updated}
    values = {name: days and storage.now() - timedelta(days=days) for name, days in times.items()}
    table = storage.db.metadata.tables["leads"]
    with app.app_context(), storage.write() as tx:
        tx.execute(update(table).where(table.c.id == lead_id).values(values))


def ids(client: FlaskClient) -> list[int]:
    return [lead["id"] for lead in body(client.get("/leads"))["items"]]


@pytest.fixture
def aged(client: FlaskClient, stored_lead: StoredLead) -> FlaskClient:
    """Five leads: two lost and old, an old one that was changed lately, a new and old one, a recent lost one."""
    for _ in range(5):
        stored_lead()
    for lead_id in (1, 2, 3, 5):
        client.patch(f"/leads/{lead_id}", json={"status": "lost"})
    set_times(client.application, 1, created=400, updated=91)
    set_times(client.application, 2, created=91)
    set_times(client.application, 3, created=400, updated=89)
    set_times(client.application, 4, created=400)
    set_times(client.application, 5, created=89)
    return client


@pytest.mark.parametrize(
    ("options", "left"),
    [
        (["--status", "lost", "--older-than", "90d"], [3, 4, 5]),
        (["--older-than", "90d"], [3, 5]),
        (["--status", "lost"], [4]),
        (["--status", "lost", "--older-than", "500d"], [1, 2, 3, 4, 5]),
    ],
)
def test_it_erases_by_status_and_by_the_time_of_the_last_change(
    aged: FlaskClient, options: list[str], left: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    # The search takes several statements.
    monkeypatch.setattr(unchanged, "SEARCHED_AT_ONCE", 2)
    unchanged._search.cache_clear()

    result = purge(aged.application, *options, "--yes")
    unchanged._search.cache_clear()

    assert result.exit_code == 0
    assert f"{5 - len(left)} lead" in result.output
    assert ids(aged) == left
    for lead_id in {1, 2, 3, 4, 5} - {*left}:
        assert [event["type"] for event in body(aged.get(f"/leads/{lead_id}/events"))["items"]] == ["lead.erased"]


def test_a_dry_run_only_tells_the_number(aged: FlaskClient) -> None:
    result = purge(aged.application, "--status", "lost", "--older-than", "90d", "--dry-run")

    assert (result.exit_code, result.output) == (0, "2 leads would be erased.\n")
    assert len(ids(aged)) == 5


def test_it_asks_first(aged: FlaskClient) -> None:
    refused = purge(aged.application, "--status", "lost", answer="n\n")
    before = ids(aged)
    accepted = purge(aged.application, "--status", "lost", answer="y\n")

    assert "Erase 4 leads?" in refused.output
    assert (refused.exit_code, len(before)) == (1, 5)
    assert (accepted.exit_code, ids(aged)) == (0, [4])


def test_a_lead_with_a_due_delivery_is_kept(aged: FlaskClient) -> None:
    url = {"kind": "webhook", "url": "https://8.8.8.8/", "events": ["lead.*"]}
    assert aged.post("/destinations", json=url).status_code == 201
    # A note does not count as a change.
    aged.post("/leads/1/notes", json={"text": "Called."})

    result = purge(aged.application, "--status", "lost", "--older-than", "90d", "--yes")

    assert "1 lead was erased." in result.output
    assert "1 lead was kept" in result.output
    assert ids(aged) == [1, 3, 4, 5]


def test_a_lead_that_is_changed_after_the_search_is_kept(aged: FlaskClient) -> None:
    with aged.application.app_context():
        steps = service.purge(status="lost", before=storage.now() - timedelta(days=90))
        next(steps)
        aged.patch("/leads/1", json={"status": "new"})
        rest = list(steps)

    assert sum(step.erased for step in rest) == 1
    assert ids(aged) == [1, 3, 4, 5]


def test_every_transaction_is_small_and_an_interruption_loses_nothing(
    client: FlaskClient, new_lead: NewLead, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "ERASED_AT_ONCE", 10)
    client.post("/leads/batch", json={"items": [new_lead() for _ in range(35)]})
    before = datetime.now(UTC) + timedelta(seconds=1)

    with client.application.app_context():
        steps = service.purge(status=None, before=before)
        first = [next(steps).erased, next(steps).erased]
        left = body(client.get("/leads?limit=1"))["total"]
        rest = list(service.purge(status=None, before=before))

    assert (first, left) == ([0, 10], 25)
    assert [step.erased for step in rest if step.erased] == [10, 10, 5]


@pytest.mark.one_database
@pytest.mark.parametrize(
    "options", [[], ["--status", "sold"], ["--older-than", "90"], ["--older-than", "99999d"], ["--older-than", "-1d"]]
)
def test_mistakes_are_refused(app: Flask, options: list[str]) -> None:
    assert purge(app, *options, "--yes").exit_code == 2
