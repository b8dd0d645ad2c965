"""Stored answers: their content, their lifetime, and the transaction that stores them."""

import time
from functools import partial
from uuid import uuid4

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text
from werkzeug.test import TestResponse

from conftest import Json, MakeApp, NewLead, body
from leadapi import storage
from leadapi.idempotency import service
from leadapi.idempotency.errors import KeyReused
from leadapi.idempotency.service import Answer

LEAD = {"full_name": "Zebedee Doe", "email": "zebedee@example.com"}


def post(client: FlaskClient, lead: Json, key: str, **headers: str) -> TestResponse:
    return client.post("/leads", json=lead, headers={"Idempotency-Key": key, **headers})


def total(client: FlaskClient) -> int:
    number: int = body(client.get("/leads"))["total"]
    return number


def records(app: Flask) -> int:
    with app.app_context(), storage.read() as connection:
        number: int = connection.execute(text("SELECT count(*) FROM idempotency_records")).scalar_one()
        return number


def write(app: Flask, statement: str, **values: object) -> None:
    with app.app_context(), storage.write() as tx:
        tx.execute(text(statement), values)


# --- what is kept, and how long ------------------------------------------------------------------


def test_an_answer_expires(app: Flask, client: FlaskClient, new_lead: NewLead) -> None:
    lead = new_lead()
    post(client, lead, "k1")
    write(app, "UPDATE idempotency_records SET expires_at = :now", now=int(time.time()))

    assert post(client, lead, "k1").status_code == 409
    assert post(client, lead, "k1").headers["Idempotent-Replayed"] == "true"
    assert records(app) == 1


def test_answers_are_kept_as_long_as_the_setting_says(shared_app: MakeApp, new_lead: NewLead) -> None:
    app = shared_app(IDEMPOTENCY_HOURS="2")

    post(app.test_client(), new_lead(), "k1")

    with app.app_context(), storage.read() as connection:
        expires = connection.execute(text("SELECT expires_at FROM idempotency_records")).scalar_one()
    assert abs(expires - time.time() - 7200) < 60


def test_expired_answers_go_as_new_ones_come(app: Flask, client: FlaskClient, new_lead: NewLead) -> None:
    for number in range(100):
        write(
            app,
            "INSERT INTO idempotency_records (key_hash, fingerprint, expires_at) VALUES (:key, '', 0)",
            key=f"{number:064}",
        )

    # Only some of them take something away.
    for number in range(40):
        post(client, new_lead(), f"k{number}")

    assert records(app) == 40


def test_the_key_itself_is_not_stored(app: Flask, client: FlaskClient) -> None:
    post(client, LEAD, "zebedee-wrote-this-key")

    with app.app_context(), storage.read() as connection:
        (row,) = connection.execute(text("SELECT * FROM idempotency_records")).all()
    assert "wrote" not in repr(row)


def test_an_answer_is_forgotten_with_its_lead(app: Flask, client: FlaskClient, new_lead: NewLead) -> None:
    lead, other = new_lead(), new_lead()
    first, kept = post(client, lead, "k1"), post(client, other, "k2")

    client.delete(f"/leads/{body(first)['id']}")

    assert records(app) == 1
    assert post(client, other, "k2").data == kept.data
    # The key is free again.
    assert (post(client, lead, "k1").status_code, total(client)) == (201, 2)


def test_an_answer_with_several_leads_is_forgotten_with_any_of_them(app: Flask) -> None:
    with app.app_context():
        for key, ids in (("k1", (1, 2)), ("k2", (2, 3)), ("k3", (3,))):
            act = partial(Answer, 200, [], key, ids)
            service.answer_once(act, key=key, caller=None, fingerprint="", hours=1)

    erase(app, 2)

    assert records(app) == 1
    with app.app_context(), storage.read() as connection:
        assert connection.execute(text("SELECT count(*) FROM idempotency_leads")).scalar_one() == 0


@pytest.mark.parametrize("key", ["k1", "k2"])
def test_a_new_answer_does_not_inherit_the_leads_of_the_expired_one(app: Flask, key: str) -> None:
    with app.app_context():
        for ids in ((1, 2), (2, 3)):
            write(app, "UPDATE idempotency_records SET expires_at = :now", now=int(time.time()))
            answer = Answer(200, [], "", ids)
            told = service.answer_once(partial(give, answer), key=key, caller=None, fingerprint="", hours=1)
            assert not told.replayed

    erase(app, 1)
    before = records(app)
    erase(app, 3)

    assert (before, records(app)) == (1, 0)


def give(answer: Answer, _tx: storage.Transaction) -> Answer:
    return answer


def erase(app: Flask, lead_id: int) -> None:
    with app.app_context(), storage.write() as tx:
        service.erase_records(tx, lead_id)


# --- one transaction -----------------------------------------------------------------------------


def test_the_change_is_committed_only_with_its_answer(app: Flask) -> None:
    def fail(tx: storage.Transaction) -> Answer:
        tx.execute(text("INSERT INTO idempotency_leads VALUES (7, :key_hash)"), kept(tx))
        raise LookupError

    def succeed(tx: storage.Transaction) -> Answer:
        tx.execute(text("INSERT INTO idempotency_leads VALUES (8, :key_hash)"), kept(tx))
        return Answer(200, [], "done")

    def kept(tx: storage.Transaction) -> dict[str, str]:
        return {"key_hash": tx.execute(text("SELECT key_hash FROM idempotency_records")).scalar_one()}

    with app.app_context():
        with pytest.raises(LookupError):
            service.answer_once(fail, key="k1", caller=None, fingerprint="", hours=1)
        first = service.answer_once(succeed, key="k1", caller=None, fingerprint="", hours=1)
        again = service.answer_once(fail, key="k1", caller=None, fingerprint="", hours=1)
        with pytest.raises(KeyReused):
            service.answer_once(fail, key="k1", caller=None, fingerprint="another", hours=1)

        with storage.read() as connection:
            assert connection.scalars(text("SELECT lead_id FROM idempotency_leads")).all() == [8]
    assert (first.body, first.replayed) == ("done", False)
    assert (again.body, again.replayed) == ("done", True)


# A file has no connection to lose.
@pytest.mark.parametrize("backend", ["postgresql"])
@pytest.mark.usefixtures("own_app")
def test_a_connection_that_is_lost_amid_it_is_a_503(app: Flask, client: FlaskClient, new_lead: NewLead) -> None:
    write(
        app,
        "CREATE FUNCTION hang_up() RETURNS trigger LANGUAGE plpgsql AS"
        " 'BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NEW; END'",
    )
    write(app, "CREATE TRIGGER hang_up BEFORE INSERT ON leads FOR EACH ROW EXECUTE FUNCTION hang_up()")
    lead, key = new_lead(), str(uuid4())

    lost = post(client, lead, key)
    write(app, "DROP TRIGGER hang_up ON leads")
    again = post(client, lead, key)

    assert lost.status_code == 503
    assert again.status_code == 201
