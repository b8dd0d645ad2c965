"""POST /leads/batch."""

import threading
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import event

from conftest import MARKER, Json, NewLead, StoredLead, body
from leadapi.storage import db

MERGE = {"Prefer": "resolution=merge-duplicates"}
IGNORE = {"Prefer": "resolution=ignore-duplicates"}
TAKEN = {"status": 409, "detail": "Lead with this email already exists."}


def post(client: FlaskClient, items: list[Any], headers: dict[str, str] | None = None) -> list[Json]:
    """The verdicts on some items."""
    response = client.post("/leads/batch", json={"items": items}, headers=headers)
    assert response.status_code == 200
    verdicts: list[Json] = body(response)["items"]
    assert len(verdicts) == len(items)
    return verdicts


def test_stores_all_in_their_order(client: FlaskClient, new_lead: NewLead) -> None:
    sent = [new_lead(attributes={"number": f"{number}"}) for number in range(3)]

    verdicts = post(client, sent)

    assert [verdict["status"] for verdict in verdicts] == [201, 201, 201]
    assert [verdict["lead"]["id"] for verdict in verdicts] == [1, 2, 3]
    assert [{name: verdict["lead"][name] for name in sent[0]} for verdict in verdicts] == sent
    assert body(client.get("/leads"))["items"] == [verdict["lead"] for verdict in verdicts]
    for verdict in verdicts:
        (event,) = body(client.get(f"/leads/{verdict['lead']['id']}/events"))["items"]
        assert (event["type"], event["data"]) == ("lead.created", verdict["lead"])


def test_a_lead_looks_as_if_it_had_come_alone(client: FlaskClient, new_lead: NewLead) -> None:
    (verdict,) = post(client, [{name: new_lead()[name] for name in ("full_name", "email")}])
    alone = body(client.post("/leads", json={name: new_lead()[name] for name in ("full_name", "email")}))

    assert list(verdict["lead"]) == list(alone)
    own = ("id", "full_name", "email", "created_at", "updated_at")
    assert {**verdict["lead"], **{name: alone[name] for name in own}} == alone


def test_each_is_judged_by_itself(client: FlaskClient, new_lead: NewLead, stored_lead: StoredLead) -> None:
    taken = stored_lead()["email"]
    wrong: list[Any] = [
        {"email": "nobody"},
        None,
        [],
        "text",
        7,
        new_lead(surname="Dee"),
        new_lead(attributes={"a": 1}),
    ]

    verdicts = post(client, [*wrong, new_lead(email=taken.upper()), new_lead()])

    assert [verdict["status"] for verdict in verdicts] == [422] * 7 + [409, 201]
    assert verdicts[0]["detail"] == "These fields are not valid: full_name, email."
    assert list(verdicts[0]["errors"]) == ["full_name", "email"]
    assert [list(verdict["errors"]) for verdict in verdicts[1:7]] == [["body"]] * 4 + [["surname"], ["attributes.a"]]
    assert verdicts[7] == TAKEN
    assert body(client.get("/leads"))["total"] == 2


def test_of_twins_the_first_wins(client: FlaskClient, new_lead: NewLead) -> None:
    first = new_lead()

    verdicts = post(client, [first, new_lead(email=first["email"].upper()), new_lead()])

    assert [verdict["status"] for verdict in verdicts] == [201, 409, 201]
    assert body(client.get("/leads/1"))["full_name"] == first["full_name"]
    assert body(client.get("/leads/1/events"))["total"] == 1


def test_twins_are_merged_in_their_order(client: FlaskClient, new_lead: NewLead, stored_lead: StoredLead) -> None:
    stored = stored_lead(attributes={"0": "0"})
    new = new_lead()
    items = [
        {"full_name": "Zebedee 1", "email": stored["email"], "attributes": {"1": "1"}},
        new,
        {"full_name": "Zebedee 2", "email": new["email"], "source": "two"},
        {"full_name": "Zebedee 3", "email": stored["email"], "company": "three"},
    ]

    verdicts = post(client, items, MERGE)

    assert [verdict["status"] for verdict in verdicts] == [200, 201, 200, 200]
    leads = [verdict["lead"] for verdict in verdicts]
    assert (leads[0]["full_name"], leads[0]["company"]) == ("Zebedee 1", stored["company"])
    assert (leads[3]["full_name"], leads[3]["company"]) == ("Zebedee 3", "three")
    assert leads[3]["attributes"] == {"0": "0", "1": "1"}
    assert (leads[1]["source"], leads[2]["source"]) == (new["source"], "two")
    assert body(client.get("/leads"))["items"] == [leads[3], leads[2]]
    types = [
        [event["type"] for event in body(client.get(f"/leads/{lead['id']}/events"))["items"]]
        for lead in (leads[3], leads[2])
    ]
    assert types == [["lead.created", "lead.repeated", "lead.repeated"], ["lead.created", "lead.repeated"]]
    assert body(client.get("/leads?source=two"))["total"] == 1


def test_repeats_may_be_ignored(client: FlaskClient, new_lead: NewLead, stored_lead: StoredLead) -> None:
    stored = stored_lead()
    sent = {"items": [new_lead(email=stored["email"]), new_lead(email=stored["email"])]}

    response = client.post("/leads/batch", json=sent, headers=IGNORE)

    assert response.headers["Preference-Applied"] == "resolution=ignore-duplicates"
    assert body(response)["items"] == [{"status": 200, "lead": stored}] * 2
    assert body(client.get("/leads/1/events"))["total"] == 3


def test_a_merge_with_too_many_attributes_is_refused_alone(
    client: FlaskClient, new_lead: NewLead, stored_lead: StoredLead
) -> None:
    stored = stored_lead(attributes={str(number): "1" for number in range(50)})

    verdicts = post(client, [new_lead(email=stored["email"], attributes={"one more": "1"}), new_lead()], MERGE)

    assert [verdict["status"] for verdict in verdicts] == [422, 201]
    assert list(verdicts[0]["errors"]) == ["attributes"]
    assert body(client.get("/leads/1")) == stored


@pytest.mark.parametrize("headers", [{}, MERGE, IGNORE])
@pytest.mark.usefixtures("own_app")
def test_five_hundred_of_every_kind_take_few_statements(
    app: Flask, client: FlaskClient, new_lead: NewLead, stored_lead: StoredLead, headers: dict[str, str]
) -> None:
    known = [stored_lead() for _ in range(100)]
    items: list[Any] = []
    expected: list[int] = []
    for number in range(250):
        items.append(new_lead())
        expected.append(201)
        if number < 100:
            items += [{"full_name": "Z"}, new_lead(email=known[number]["email"])]
            expected += [422, 200 if headers else 409]
        if number % 5 == 0:
            items.append(new_lead(email=items[-1].get("email", items[-3 if number < 100 else -1]["email"])))
            expected.append(200 if headers else 409)
    assert len(items) == 500
    statements: list[str] = []
    with app.app_context():
        engine = db.engine

    @event.listens_for(engine, "before_cursor_execute")
    def count(_connection: Any, _cursor: Any, statement: str, parameters: Any, *rest: Any) -> None:
        # A list is what the driver would send one by one.
        statements.extend([statement] * (len(parameters) if isinstance(parameters, list) else 1))

    verdicts = post(client, items, headers)

    assert [verdict["status"] for verdict in verdicts] == expected
    ids = [verdict["lead"]["id"] for verdict in verdicts if verdict["status"] == 201]
    assert ids == sorted(ids)
    assert len(statements) < 10, statements
    assert body(client.get("/leads"))["total"] == 350


@pytest.mark.parametrize(("length", "accepted"), [(15, True), (45, False)])
def test_refuses_too_many_long_international_domains(
    client: FlaskClient, new_lead: NewLead, length: int, *, accepted: bool
) -> None:
    items = [new_lead(email=f"zo@{'ü' * length}{number}.example") for number in range(500)]
    # Neither a domain that many share nor one that is refused without encoding counts again.
    items[:10] = [new_lead(email=f"zo{number}@{'ü' * 40}.example") for number in range(9)]
    items[10] = new_lead(email=f"zo@{'ü' * 10_000}.example")

    response = client.post("/leads/batch", json={"items": items})

    assert response.status_code == (200 if accepted else 422)
    if accepted:
        assert {verdict["status"] for verdict in body(response)["items"]} == {201, 422}
    else:
        assert body(response)["errors"] == {"items": ["Has too many long international domains. Send fewer items."]}


def test_of_none_there_is_nothing_to_say(client: FlaskClient) -> None:
    # A program that sends what has gathered since the last time need not look whether anything has.
    headers = {"Idempotency-Key": "nothing"}

    first, again = (client.post("/leads/batch", json={"items": []}, headers=headers) for _ in range(2))

    assert (first.status_code, first.json) == (again.status_code, again.json) == (200, {"items": []})
    assert again.headers["Idempotent-Replayed"] == "true"
    assert body(client.get("/leads"))["total"] == 0


@pytest.mark.one_database
@pytest.mark.parametrize("items", [{}, None, "text", [{}] * 501], ids=["object", "null", "text", "too many"])
def test_refuses_a_list_that_is_none(client: FlaskClient, items: Any) -> None:
    response = client.post("/leads/batch", json={"items": items})

    assert response.status_code == 422
    assert list(body(response)["errors"]) == ["items"]


@pytest.mark.one_database
@pytest.mark.parametrize("sent", [{}, [], {"items": [{}], "more": 1}])
def test_refuses_a_body_that_is_no_batch(client: FlaskClient, sent: Any) -> None:
    assert client.post("/leads/batch", json=sent).status_code == 422


def test_the_longest_body_holds_for_batches_too(client: FlaskClient, new_lead: NewLead) -> None:
    response = client.post("/leads/batch", json={"items": [new_lead(message="m" * 2000) for _ in range(501)] * 2})

    assert response.status_code == 413
    assert body(client.get("/leads"))["total"] == 0


def test_names_no_more_fields_of_an_item_than_of_a_lead(client: FlaskClient) -> None:
    (verdict,) = post(client, [{f"field {number}": 0 for number in range(101)}])

    assert verdict["errors"] == {"body": ["Has more than 100 fields."]}


def test_batches_at_once_that_share_people_are_all_answered(app: Flask, new_lead: NewLead) -> None:
    """Each locks the leads of the other, in another order."""
    people = [new_lead() for _ in range(40)]
    statuses = []

    def send(number: int) -> None:
        items = [{**person, "company": f"{MARKER} {number}"} for person in people]
        items = items[::-1] if number % 2 else items
        response = app.test_client().post("/leads/batch", json={"items": items}, headers=MERGE)
        statuses.append(response.status_code)

    threads = [threading.Thread(target=send, args=[number]) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert statuses == [200] * 4
    client = app.test_client()
    leads = body(client.get("/leads?limit=100"))["items"]
    assert len(leads) == 40
    events = [body(client.get(f"/leads/{lead['id']}/events")) for lead in leads]
    assert {page["total"] for page in events} == {4}


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
@pytest.mark.usefixtures("own_app")
def test_a_lead_that_is_erased_meanwhile_is_stored_anew(app: Flask, stored_lead: StoredLead) -> None:
    kept, erased = stored_lead(), stored_lead()
    erasing: list[str] = []

    def erase(connection: Any, cursor: Any, statement: str, *rest: Any) -> None:
        """Erase the second lead when the batch has found both, and before it locks them."""
        if "FOR UPDATE" in statement and not erasing:
            erasing.append(statement)
            assert app.test_client().delete("/leads/2").status_code == 204

    with app.app_context():
        event.listen(db.engine, "before_cursor_execute", erase)
    items = [{"full_name": "New Name", "email": lead["email"]} for lead in (kept, erased)]
    verdicts = post(app.test_client(), items, MERGE)

    assert [verdict["status"] for verdict in verdicts] == [200, 201]
    assert [verdict["lead"]["full_name"] for verdict in verdicts] == ["New Name", "New Name"]
