"""How many lead.repeated events a lead keeps."""

from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text

from conftest import NewLead, StoredLead, body
from leadapi.events import service as events
from leadapi.storage import db

MERGE = {"Prefer": "resolution=merge-duplicates"}
IGNORE = {"Prefer": "resolution=ignore-duplicates"}
MANY = """
    INSERT INTO events (lead_id, type, created_at, data)
    WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < :number)
    SELECT :lead_id, :type, '2026-02-28 10:00:00', '{}' FROM numbers
"""


def happened(app: Flask, lead_id: int, number: int, type: str = events.REPEATED) -> None:  # noqa: A002  # the column's name
    """Let a lead have so many events."""
    with app.app_context():
        values = {"lead_id": lead_id, "number": number, "type": type}
        db.session.execute(text(MANY), values)
        db.session.commit()


def history(app: Flask, lead_id: int) -> list[tuple[int, str]]:
    """The ids and types of the events of a lead, oldest first."""
    with app.app_context():
        statement = text("SELECT id, type FROM events WHERE lead_id = :lead_id ORDER BY id")
        return [(row.id, row.type) for row in db.session.execute(statement, {"lead_id": lead_id})]


@pytest.mark.parametrize("headers", [MERGE, IGNORE])
def test_the_oldest_repeats_of_a_lead_go_and_nothing_else(
    app: Flask, client: FlaskClient, new_lead: NewLead, stored_lead: StoredLead, headers: dict[str, str]
) -> None:
    lead, other = stored_lead(), stored_lead()
    happened(app, lead["id"], 998)
    happened(app, other["id"], 999)
    client.patch(f"/leads/{lead['id']}", json={"status": "lost"})
    before, others = history(app, lead["id"]), history(app, other["id"])

    for _ in range(2):
        client.post("/leads", json=new_lead(email=lead["email"]), headers=headers)
    full = history(app, lead["id"])
    for _ in range(3):
        client.post("/leads", json=new_lead(email=lead["email"]), headers=headers)
    pruned = history(app, lead["id"])

    assert full[:-2] == before
    assert len(full) == len(pruned) == 1 + 1000 + 1
    assert pruned[0] == before[0]
    assert pruned[1:-5] == before[4:]
    assert (len(before), pruned[-6][1]) == (1000, "lead.updated")
    assert history(app, other["id"]) == others
    assert body(client.get(f"/leads/{lead['id']}/events"))["total"] == 1002


def test_a_batch_prunes_each_of_its_leads(
    app: Flask, client: FlaskClient, new_lead: NewLead, stored_lead: StoredLead
) -> None:
    addresses = [stored_lead()["email"] for _ in range(3)]
    happened(app, 1, 1000)
    happened(app, 2, 990)
    happened(app, 3, 1000, events.UPDATED)
    sent: list[Any] = [new_lead(email=address) for address in addresses * 3] + [new_lead(email=addresses[1])] * 9

    answer = client.post("/leads/batch", json={"items": sent}, headers=MERGE)

    assert {item["status"] for item in body(answer)["items"]} == {200}
    types = [[kind for _, kind in history(app, number)] for number in (1, 2, 3)]
    assert [kinds.count(events.REPEATED) for kinds in types] == [1000, 1000, 3]
    assert [len(kinds) for kinds in types] == [1001, 1001, 1004]


@pytest.mark.usefixtures("own_app")
@pytest.mark.parametrize("backend", ["postgresql"])
def test_pruning_is_quick_where_the_statistics_are_out_of_date(
    app: Flask, client: FlaskClient, new_lead: NewLead, stored_lead: StoredLead
) -> None:
    lead = stored_lead()
    happened(app, lead["id"], 6000, events.UPDATED)
    happened(app, lead["id"], 1000)
    with app.app_context():
        # As if PostgreSQL had last looked when there was one event.
        db.session.execute(text("UPDATE pg_class SET relpages = 1000, reltuples = 1 WHERE relname = 'events'"))
        db.session.commit()

    # A statement of more than 5 seconds is cancelled.
    answer = client.post("/leads", json=new_lead(email=lead["email"]), headers=MERGE)

    assert answer.status_code == 200
    assert len(history(app, lead["id"])) == 1 + 6000 + 1000
