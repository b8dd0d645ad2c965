"""The metrics of one process: what is counted, by which labels, and who may see it."""

import re
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import event, make_url, text

from conftest import Json, MakeApp, NewLead, make_key
from leadapi import storage
from leadapi.metrics.requests import OUTCOMES
from leadapi.storage import db
from postgres import Postgres
from servers import ROOT

Labels = dict[str, str]
MERGE = {"Prefer": "resolution=merge-duplicates"}
IGNORE = {"Prefer": "resolution=ignore-duplicates"}


@pytest.fixture
def app(make_app: MakeApp, database_url: str) -> Flask:
    """An app that measures."""
    return make_app(DATABASE_URL=database_url, METRICS="on", WEBHOOK_ALLOW_PRIVATE="on")


def values(client: FlaskClient, name: str, **headers: str) -> list[tuple[Labels, float]]:
    """The labels and the value of each sample with this name, without those that are 0."""
    response = client.get("/metrics", headers=headers)
    assert response.status_code == 200
    response.close()
    samples = [sample for family in text_string_to_metric_families(response.text) for sample in family.samples]
    return [(sample.labels, sample.value) for sample in samples if sample.name == name and sample.value]


def value(client: FlaskClient, name: str) -> float:
    """The value of the only sample with this name; 0 if it is 0 or missing."""
    return sum(number for _, number in values(client, name))


def captures(client: FlaskClient) -> dict[str, float]:
    """The number of leads by outcome."""
    return {labels["outcome"]: number for labels, number in values(client, "leadapi_captures_total")}


@pytest.mark.one_database
def test_without_the_setting_there_are_none(make_app: MakeApp) -> None:
    app = make_app(DATABASE_URL="sqlite://")
    measuring = make_app(DATABASE_URL="sqlite://", METRICS="on")

    assert app.test_client().get("/metrics").status_code == 404
    # Nothing is done for a request.
    assert len(measuring.before_request_funcs[None]) == len(app.before_request_funcs[None]) + 1
    assert len(measuring.after_request_funcs[None]) == len(app.after_request_funcs[None]) + 1
    assert "metrics" not in app.extensions


def test_they_are_for_the_scope_admin(make_app: MakeApp, database_url: str) -> None:
    app = make_app(DATABASE_URL=database_url, METRICS="on", AUTH="on")
    client = app.test_client()
    reader, admin = make_key(app, "read", "write", "capture"), make_key(app, "admin")

    assert client.get("/metrics").status_code == 401
    assert client.get("/metrics", headers={"X-API-Key": reader}).status_code == 403
    response = client.get("/metrics", headers={"X-API-Key": admin})
    assert (response.status_code, response.content_type) == (200, "text/plain; version=0.0.4; charset=utf-8")


@pytest.mark.one_database
def test_a_port_alone_does_not_open_the_path(make_app: MakeApp) -> None:
    app = make_app(DATABASE_URL="sqlite://", METRICS_PORT="9100")

    assert app.test_client().get("/metrics").status_code == 404
    on_port = app.test_client().get("/metrics", base_url="http://localhost:9100")
    assert "leadapi_build_info" in on_port.text
    assert app.test_client().get("/leads", base_url="http://localhost:9100").status_code == 404


def fail() -> str:
    """Fail as only a bug would."""
    raise RuntimeError


def test_every_answer_counts_by_its_route(app: Flask, new_lead: NewLead) -> None:
    app.add_url_rule("/broken", "broken", fail)
    client = app.test_client()
    sent: list[tuple[str, str, int, Any]] = [
        ("POST", "/leads", 201, {"json": new_lead()}),
        ("POST", "/leads", 422, {"json": {}}),
        ("POST", "/leads", 400, {"data": "{", "content_type": "application/json"}),
        ("POST", "/leads", 413, {"data": b" " * 2_000_000, "content_type": "application/json"}),
        ("POST", "/leads", 415, {"data": "x", "content_type": "text/plain"}),
        ("GET", "/leads", 200, {}),
        ("HEAD", "/leads", 200, {}),
        ("GET", "/leads/1", 200, {}),
        ("GET", "/leads/77", 404, {}),
        ("DELETE", "/leads/1", 204, {}),
        ("PUT", "/leads", 405, {}),
        ("GET", "/nowhere", 404, {}),
        ("BREW", "/nowhere", 404, {}),
        ("GET", "/broken", 500, {}),
    ]
    for method, path, status, options in sent:
        assert client.open(path, method=method, **options).status_code == status
        assert client.open("/health").status_code == 200

    counted = {
        (labels["method"], labels["route"], labels["status"]): number
        for labels, number in values(client, "leadapi_requests_total")
    }
    assert counted == {
        ("POST", "/leads", "201"): 1,
        ("POST", "/leads", "422"): 1,
        ("POST", "/leads", "400"): 1,
        ("POST", "/leads", "413"): 1,
        ("POST", "/leads", "415"): 1,
        ("GET", "/leads", "200"): 1,
        ("HEAD", "/leads", "200"): 1,
        ("GET", "/leads/<id:lead_id>", "200"): 1,
        ("GET", "/leads/<id:lead_id>", "404"): 1,
        ("DELETE", "/leads/<id:lead_id>", "204"): 1,
        ("PUT", "unmatched", "405"): 1,
        ("GET", "unmatched", "404"): 1,
        ("other", "unmatched", "404"): 1,
        ("GET", "/broken", "500"): 1,
        ("GET", "/health", "200"): len(sent),
    }
    timed = {
        (labels["method"], labels["route"]): number
        for labels, number in values(client, "leadapi_request_seconds_count")
        if labels["route"] != "/metrics"
    }
    assert timed["POST", "/leads"] == 5
    assert sum(timed.values()) == 2 * len(sent)


def test_a_request_and_its_connection_are_in_use_until_the_answer_ends(app: Flask, new_lead: NewLead) -> None:
    client = app.test_client()
    # A response of this client ends when it is closed.
    client.post("/leads", json=new_lead()).close()
    # The scrape itself uses a thread, and a connection afterwards.
    assert (value(client, "leadapi_threads_busy"), value(client, "leadapi_pool_connections_used")) == (1, 0)

    download = client.get("/leads/export?format=csv")
    during = value(client, "leadapi_threads_busy"), value(client, "leadapi_pool_connections_used")
    download.close()

    assert during == (2, 1)
    assert (value(client, "leadapi_threads_busy"), value(client, "leadapi_pool_connections_used")) == (1, 0)


def test_the_rest_tells_what_is_measured(app: Flask, backend: str) -> None:
    client = app.test_client()

    ((build, _),) = values(client, "leadapi_build_info")
    assert build["database"] == backend
    assert value(client, "leadapi_threads") == 4
    assert value(client, "leadapi_pool_connections") == 6


@pytest.mark.usefixtures("own_app")
def test_each_outcome_of_a_capture_counts(make_app: MakeApp, database_url: str, new_lead: NewLead) -> None:
    app = make_app(DATABASE_URL=database_url, METRICS="on", AUTH="on", RATE_LIMIT_CAPTURE="9/day")
    client, key = app.test_client(), {"X-API-Key": make_key(app, "admin")}
    lead = new_lead()
    statuses = [
        client.post("/leads", json=json, headers=headers).status_code
        for json, headers in (
            (lead, {"Idempotency-Key": "once"}),
            (lead, {"Idempotency-Key": "once"}),
            (lead, {"Idempotency-Key": "other"}),
            (lead, {}),
            (lead, MERGE),
            (lead, IGNORE),
            (new_lead(_gotcha="x"), {}),
            ({}, {}),
            (new_lead(), {"X-API-Key": "lk_0"}),
            (new_lead(), {}),
            (new_lead(), {}),
        )
    ]
    with app.app_context(), storage.write() as tx:
        tx.execute(text("DROP TABLE idempotency_leads"))
        tx.execute(text("DROP TABLE idempotency_records"))
    statuses.append(client.post("/leads", json=new_lead(), headers=key | {"Idempotency-Key": "third"}).status_code)

    assert statuses == [201, 201, 409, 409, 200, 200, 201, 422, 401, 201, 429, 503]
    response = client.get("/metrics", headers=key)
    counted = {
        sample.labels["outcome"]: sample.value
        for family in text_string_to_metric_families(response.text)
        for sample in family.samples
        if sample.name == "leadapi_captures_total"
    }
    assert counted == {
        "created": 2,
        "replayed": 1,
        "duplicate": 2,
        "merged": 1,
        "ignored": 1,
        "quarantined": 1,
        "invalid": 1,
        "unauthorized": 1,
        "limited": 1,
        "failed": 1,
    }
    # All of them are there from the beginning.
    assert counted.keys() == set(OUTCOMES)


def test_each_item_of_a_batch_counts(app: Flask, new_lead: NewLead) -> None:
    client, lead = app.test_client(), new_lead()
    items: list[Json] = [lead, lead, {}, new_lead(), new_lead(_gotcha="x"), {"email": 1}]
    assert client.post("/leads/batch", json={"items": items}).status_code == 200
    assert captures(client) == {"created": 2, "duplicate": 1, "invalid": 2, "quarantined": 1}

    assert client.post("/leads/batch", json={"items": [lead, {}]}, headers=MERGE).status_code == 200
    assert client.post("/leads/batch", json=[]).status_code == 422
    assert captures(client) == {"created": 2, "duplicate": 1, "invalid": 4, "quarantined": 1, "merged": 1}


def test_a_form_counts_as_its_visitor_does_not_see(app: Flask, new_lead: NewLead) -> None:
    client, form = app.test_client(), new_lead()
    for _ in range(2):
        assert client.post("/leads", data=form, headers={"Accept": "text/html"}).status_code < 400

    assert captures(client) == {"created": 1, "merged": 1}


def test_what_is_due_is_counted_at_the_scrape(app: Flask, new_lead: NewLead) -> None:
    client = app.test_client()
    ids = [
        client.post("/destinations", json={"kind": "webhook", "url": "http://127.0.0.1:9/"}).get_json()["id"]
        for _ in range(2)
    ]
    for _ in range(3):
        client.post("/leads", json=new_lead())
    assert value(client, "leadapi_deliveries_due") == 6
    with app.app_context(), storage.write() as tx:
        tx.execute(text("UPDATE deliveries SET due_at = '2999-02-28 10:00:00Z' WHERE id > 2"))
        tx.execute(text("UPDATE deliveries SET due_at = '2020-02-28 10:00:00Z' WHERE destination_id = 1 AND id < 3"))

    oldest = value(client, "leadapi_delivery_oldest_due_seconds")
    client.patch(f"/destinations/{ids[0]}", json={"enabled": False})

    assert oldest > 6 * 365 * 86400
    # Nobody waits for a destination that is disabled.
    assert value(client, "leadapi_deliveries_due") == 3
    assert value(client, "leadapi_delivery_oldest_due_seconds") < 60


@pytest.mark.one_database
def test_what_was_delivered_is_not_read_at_the_scrape(app: Flask) -> None:
    statements = []
    with app.app_context():
        event.listen(db.engine, "before_cursor_execute", lambda *given: statements.append(given[2:4]))
        app.test_client().get("/metrics")
        ((statement, parameters),) = [each for each in statements if "deliveries" in each[0]]
        with storage.read() as connection:
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters).all()

    searches = [row[3] for row in plan if "deliveries" in row[3]]
    assert len(searches) == 2
    # The partial index.
    assert all("ix_deliveries_destination_id_due_at" in search for search in searches)


@pytest.mark.usefixtures("own_app")
def test_without_the_database_the_other_metrics_are_there(app: Flask) -> None:
    client = app.test_client()
    with app.app_context(), storage.write() as tx:
        tx.execute(text("DROP TABLE deliveries"))

    assert values(client, "leadapi_deliveries_due") == []
    assert value(client, "leadapi_build_info") == 1


@pytest.mark.one_database
def test_the_guide_has_every_metric_and_every_outcome(app: Flask) -> None:
    guide = (ROOT / "leadapi/guide/operations.md").read_text()
    families = text_string_to_metric_families(app.test_client().get("/metrics").text)

    names = {f"{family.name}_total" if family.type == "counter" else family.name for family in families}
    assert names == set(re.findall(r"`(leadapi_\w+)`", guide))
    for outcome in OUTCOMES:
        assert f"`{outcome}`" in guide


def test_a_file_is_not_answered_for_ever(app: Flask, client: FlaskClient) -> None:
    for path in ("/inbox/assets/inbox.css", "/docs"):
        for method in ("GET", "HEAD"):
            client.open(path, method=method).close()

    # The request for the metrics itself.
    assert value(client, "leadapi_threads_busy") == 1


@pytest.mark.parametrize("backend", ["postgresql"])
@pytest.mark.usefixtures("own_app")
def test_a_connection_that_could_not_be_made_again_is_not_given_back(
    app: Flask, client: FlaskClient, database_url: str, postgres: Postgres
) -> None:
    assert client.get("/leads").status_code == 200
    postgres.execute(f"DROP DATABASE {make_url(database_url).database} WITH (FORCE)")

    assert [client.get("/leads").status_code for _ in range(2)] == [503, 503]

    assert value(client, "leadapi_pool_connections_used") == 0
    postgres.execute(f"CREATE DATABASE {make_url(database_url).database}")
