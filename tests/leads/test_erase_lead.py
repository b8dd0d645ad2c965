"""DELETE /leads/{id}."""

import random
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import inspect, make_url, text

from conftest import MARKER, MakeApp, NewLead, StoredLead, body
from leadapi import storage
from leadapi.storage import db


def held(app: Flask, marker: str) -> list[str]:
    """Where a word is kept: the tables that have it and, on SQLite, the files."""
    found = []
    with app.app_context():
        with storage.read() as connection:
            for table in inspect(connection).get_table_names():
                rows = connection.execute(text(f"SELECT * FROM {table}")).all()
                if any(marker.lower() in str(value).lower() for row in rows for value in row):
                    found.append(table)
        if db.engine.dialect.name == "sqlite":
            path = Path(str(db.engine.url.database))
            files = sorted(path.parent.glob(f"{path.name}*"))
            found += [file.suffix for file in files if marker.lower().encode() in file.read_bytes().lower()]
    return found


def test_leaves_no_trace_of_the_person(client: FlaskClient, stored_lead: StoredLead, new_lead: NewLead) -> None:
    stored_lead(full_name="Another", email="another@example.com", company=None, message=None, source=None)
    person = stored_lead(attributes={MARKER: f"{MARKER} was here"})
    client.patch("/leads/2", json={"message": f"{MARKER} changed", "source": f"{MARKER}-moved"})
    for resolution in ("merge-duplicates", "ignore-duplicates"):
        sent = new_lead(email=person["email"], message=f"{MARKER} again")
        headers = {"Prefer": f"resolution={resolution}", "Idempotency-Key": f"{MARKER}-{resolution}"}
        assert client.post("/leads", json=sent, headers=headers).status_code == 200
    # An answer that has somebody else, too.
    batch = {"items": [sent, new_lead(full_name="Third", email="third@example.com")]}
    headers = {"Prefer": "resolution=ignore-duplicates", "Idempotency-Key": "batch"}
    assert client.post("/leads/batch", json=batch, headers=headers).status_code == 200
    client.delete(f"/leads/{body(client.get('/leads?email=third@example.com'))['items'][0]['id']}")
    # Quarantined items, and the stored answers that show them.
    caught = new_lead(email=person["email"].upper(), _gotcha=f"{MARKER} was lured", _ts=MARKER)
    for key in ("trap-1", "trap-2"):
        assert client.post("/leads", json=caught, headers={"Idempotency-Key": key}).status_code == 201
    kept = {"full_name": "Caught", "email": "fourth@example.com", "_gotcha": "x"}
    both = {"items": [caught, kept]}
    assert client.post("/leads/batch", json=both, headers={"Idempotency-Key": "traps"}).status_code == 200
    assert held(client.application, MARKER) != []

    response = client.delete("/leads/2")

    assert (response.status_code, response.data) == (204, b"")
    assert held(client.application, MARKER) == []
    assert held(client.application, "Another") != []
    assert "quarantine" in held(client.application, "Caught")


def test_leaves_no_trace_of_the_text_in_which_the_lead_was_searched(
    client: FlaskClient, stored_lead: StoredLead
) -> None:
    stored_lead(full_name="Another")
    person = stored_lead(full_name="Zoë Straße", attributes={"town": "Ｌｉｎｄöｎ"})
    words = ["zoe strasse", "lindon", "formerly"]
    for message in ("Förmerly", "x"):
        client.patch(f"/leads/{person['id']}", json={"message": message})
    assert "lead_search" in held(client.application, "zoe strasse")
    assert "lead_search" in held(client.application, "lindon")

    client.delete(f"/leads/{person['id']}")

    assert [held(client.application, word) for word in words] == [[], [], []]
    assert "lead_search" in held(client.application, "another")


def test_what_was_caught_with_an_address_that_the_lead_had_before_goes_too(
    client: FlaskClient, stored_lead: StoredLead, new_lead: NewLead
) -> None:
    lead = stored_lead()
    assert client.post("/leads", json=new_lead(email=lead["email"], _gotcha="x")).status_code == 201
    for address in ("second@example.com", "third@example.com"):
        client.patch(f"/leads/{lead['id']}", json={"email": address})
    # Another lead, which has the address now, and an item that came with it.
    other = {"full_name": "Another", "email": lead["email"]}
    assert client.post("/leads", json=other).status_code == 201
    assert client.post("/leads", json=other | {"_gotcha": "x"}).status_code == 201

    client.delete(f"/leads/{lead['id']}")

    assert held(client.application, f"{MARKER.title()} Doe") == []
    assert "quarantine" in held(client.application, "Another")


@pytest.mark.parametrize("changes", [["second@example.com"], ["second@example.com", "third@example.com"]])
def test_what_was_caught_with_an_earlier_address_after_the_change_goes_too(
    client: FlaskClient, stored_lead: StoredLead, new_lead: NewLead, changes: list[str]
) -> None:
    lead = stored_lead(email="Zoé@BÜCHER.example")
    client.patch(f"/leads/{lead['id']}", json={"company": '"email":{"from":"another@example.com"}'})
    for address in changes:
        client.patch(f"/leads/{lead['id']}", json={"email": address})
    for number, spelling in enumerate(("zoé@xn--bcher-kva.example", "ZOÉ@bücher.example", *changes)):
        trapped = new_lead(email=spelling, _gotcha="x")
        assert client.post("/leads", json=trapped, headers={"Idempotency-Key": f"{number}"}).status_code == 201
    kept = {"full_name": "Another", "email": "another@example.com", "_gotcha": "x"}
    assert client.post("/leads", json=kept).status_code == 201

    assert client.delete(f"/leads/{lead['id']}").status_code == 204

    assert held(client.application, MARKER) == []
    assert "quarantine" in held(client.application, "Another")


def test_what_was_caught_with_an_address_that_somebody_else_has_now_stays(
    client: FlaskClient, stored_lead: StoredLead
) -> None:
    lead = stored_lead(email="shared@example.com")
    client.patch(f"/leads/{lead['id']}", json={"email": "own@example.com"})
    heir = stored_lead(email="shared@example.com")
    client.post("/leads", json={"full_name": "Another", "email": "shared@example.com", "_gotcha": "x"})

    client.delete(f"/leads/{lead['id']}")
    kept = held(client.application, "Another")
    client.delete(f"/leads/{heir['id']}")

    assert "quarantine" in kept
    assert held(client.application, "Another") == []


def test_what_remains_is_that_it_was_erased(client: FlaskClient, stored_lead: StoredLead) -> None:
    stored_lead()
    client.patch("/leads/1", json={"status": "lost"})

    client.delete("/leads/1")

    page = body(client.get("/leads/1/events"))
    (event,) = page["items"]
    assert page["total"] == 1
    assert (event["type"], event["actor"], event["data"]) == ("lead.erased", None, {})


def test_an_erased_lead_is_gone(client: FlaskClient, stored_lead: StoredLead, new_lead: NewLead) -> None:
    erased, other = stored_lead(), stored_lead()

    client.delete("/leads/1")

    assert client.get("/leads/1").status_code == 404
    assert client.patch("/leads/1", json={}).status_code == 404
    assert client.delete("/leads/1").status_code == 404
    assert body(client.get("/leads")) == {"total": 1, "items": [other]}
    assert body(client.get(f"/leads?source={erased['source']}"))["total"] == 1
    again = client.post("/leads", json=new_lead(email=erased["email"]))
    assert (again.status_code, body(again)["id"]) == (201, 3)


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
@pytest.mark.parametrize("seed", range(3))
def test_no_page_of_the_file_keeps_a_copy_after_a_scrub(
    client: FlaskClient, stored_lead: StoredLead, seed: int
) -> None:
    """Pages are split and filled anew as leads come, grow and go, which can leave copies of moved rows behind."""
    chance = random.Random(seed)
    plain = {"full_name": "Another", "company": None, "message": None, "source": None}
    marked: list[int] = []
    for number in range(120):
        size = chance.choice([1, 50, 500, 1900])
        if chance.random() < 0.5:
            lead = stored_lead(message=f"{MARKER} " + "z" * size, attributes={"note": f"{MARKER} " + "z" * (size // 4)})
            marked.append(lead["id"])
        else:
            stored_lead(**plain | {"email": f"another.{number}@example.com", "message": "y" * size})
        if marked and chance.random() < 0.3:
            client.patch(f"/leads/{chance.choice(marked)}", json={"message": f"{MARKER} " * chance.choice([1, 200])})
    chance.shuffle(marked)

    for lead_id in marked:
        assert client.delete(f"/leads/{lead_id}").status_code == 204
    assert client.application.test_cli_runner().invoke(args=["db", "scrub"]).exit_code == 0

    assert held(client.application, MARKER) == []


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
def test_a_reader_of_old_pages_is_left_alone_and_the_next_start_finishes(
    app: Flask, make_app: MakeApp, database_url: str, stored_lead: StoredLead, capsys: pytest.CaptureFixture[str]
) -> None:
    stored_lead()
    with app.app_context(), db.engine.connect() as reader:
        reader.exec_driver_sql("BEGIN")
        assert reader.execute(text("SELECT count(*) FROM leads")).scalar_one() == 1

        assert app.test_client().delete("/leads/1").status_code == 204

        assert "database.checkpoint_incomplete" in capsys.readouterr().out
        assert held(app, MARKER) != []
    make_app(DATABASE_URL=database_url)

    assert held(app, MARKER) == []
    assert make_url(database_url).database is not None


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
@pytest.mark.parametrize("is_read_to_its_end", [True, False])
def test_an_export_that_ends_later_leaves_no_trace_either(
    client: FlaskClient, stored_lead: StoredLead, *, is_read_to_its_end: bool
) -> None:
    stored_lead()
    # More than are read at once.
    plain = {"full_name": "Another", "email": "another.{}@example.com"}
    items = [plain | {"email": plain["email"].format(number)} for number in range(1500)]
    for start in range(0, len(items), 500):
        client.post("/leads/batch", json={"items": items[start : start + 500]})
    export = client.get("/leads/export", buffered=False)
    chunks = iter(export.response)
    next(chunks)
    assert client.delete("/leads/1").status_code == 204

    if is_read_to_its_end:
        list(chunks)
    export.close()

    assert held(client.application, MARKER) == []


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
def test_an_export_works_without_the_write_lock(
    client: FlaskClient, database_url: str, stored_lead: StoredLead, capsys: pytest.CaptureFixture[str]
) -> None:
    stored_lead()
    lock = Path(f"{make_url(database_url).database}.lock")
    lock.unlink()
    lock.mkdir()

    export = client.get("/leads/export")
    text = export.text
    export.close()

    assert MARKER in text
    assert "database.checkpoint_incomplete" in capsys.readouterr().out


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
def test_what_counts_have_left_of_a_source_is_swept(app: Flask, stored_lead: StoredLead) -> None:
    """Writers at the same time may leave rows behind that are nothing together."""
    stored_lead(source="another")
    with app.app_context(), storage.write() as tx:
        statement = f"INSERT INTO lead_counts (counted, number) VALUES ('source:{MARKER}', 1), ('source:{MARKER}', -1)"
        tx.execute(text(statement))
    stored_lead(source="third")

    app.test_client().delete("/leads/2")

    assert "lead_counts" not in held(app, MARKER)
    assert body(app.test_client().get("/leads?source=another"))["total"] == 1


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
def test_nobody_is_erased_who_cannot_be_put_on_the_list_for_restores(
    client: FlaskClient, stored_lead: StoredLead, database_url: str
) -> None:
    stored_lead()
    Path(f"{make_url(database_url).database}.erased").mkdir()

    assert client.delete("/leads/1").status_code == 503
    assert client.get("/leads/1").status_code == 200
