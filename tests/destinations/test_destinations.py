"""POST, GET, PATCH and DELETE of destinations."""

from urllib.parse import urljoin

import pytest
from destinations.conftest import URL, NewDestination, change_rows, deliveries
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text

from conftest import MARKER, Json, MakeApp, StoredLead, body, make_key
from leadapi import storage

FIELDS = [
    *("id", "kind", "url", "events", "sources", "description", "headers", "enabled", "disabled_reason"),
    *("created_at", "last_delivery"),
]


# --- create --------------------------------------------------------------------------------------


def test_a_webhook_needs_only_a_url(client: FlaskClient) -> None:
    response = client.post("/destinations", json={"kind": "webhook", "url": URL})

    assert response.status_code == 201
    assert response.headers["Location"] == "/destinations/1"
    created = body(response)
    assert list(created) == [*FIELDS, "secret"]
    assert created == {
        "id": 1,
        "kind": "webhook",
        "url": URL,
        "events": ["lead.created", "lead.repeated"],
        "sources": None,
        "description": None,
        "headers": [],
        "enabled": True,
        "disabled_reason": None,
        "created_at": created["created_at"],
        "last_delivery": None,
        "secret": created["secret"],
    }
    assert created["created_at"].endswith("Z")


def test_every_field_can_be_given(client: FlaskClient) -> None:
    given = {
        "kind": "webhook",
        "url": URL,
        "events": ["lead.*"],
        "sources": ["landing-page", "fair"],
        "description": "The CRM",
        "enabled": False,
    }

    created = body(client.post("/destinations", json={**given, "headers": {"X-Tenant": MARKER, "Authorization": "b"}}))

    assert {name: created[name] for name in given} == given
    assert created["headers"] == ["X-Tenant", "Authorization"]
    del created["secret"]
    assert client.get("/destinations/1").json == created


@pytest.mark.parametrize("name", ["sources", "description", "headers"])
def test_null_is_as_good_as_nothing(new_destination: NewDestination, name: str) -> None:
    created = new_destination(**{name: None})

    assert not created[name]


def test_an_event_and_a_source_that_are_given_twice_are_kept_once(new_destination: NewDestination) -> None:
    created = new_destination(events=["lead.noted", "lead.erased", "lead.noted"], sources=["a", "b", "a"])

    assert (created["events"], created["sources"]) == (["lead.noted", "lead.erased"], ["a", "b"])


def test_mail_and_chats_have_no_secret(new_destination: NewDestination) -> None:
    assert "secret" not in new_destination(kind="email", url="mailto:sales@example.com")


@pytest.mark.one_database
@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"kind": "pigeon"}, "kind"),
        ({"kind": None}, "kind"),
        ({"url": None}, "url"),
        ({"url": ""}, "url"),
        ({"url": 1}, "url"),
        ({"url": "ftp://example.com"}, "url"),
        ({"url": "https://"}, "url"),
        ({"url": f"https://example.com/{'a' * 2000}"}, "url"),
        ({"url": "https://example.com/\n"}, "url"),
        ({"url": "https://user:password@example.com/"}, "url"),
        ({"kind": "email", "url": "https://example.com/"}, "url"),
        ({"events": []}, "events"),
        ({"events": None}, "events"),
        ({"events": "lead.*"}, "events"),
        ({"events": ["lead.test"]}, "events.0"),
        ({"events": ["lead.created", "lead.deleted"]}, "events.1"),
        ({"sources": []}, "sources"),
        ({"sources": ["a" * 101]}, "sources.0"),
        ({"sources": [None]}, "sources.0"),
        ({"description": "a" * 501}, "description"),
        ({"description": "a\nb"}, "description"),
        ({"enabled": None}, "enabled"),
        ({"enabled": 1}, "enabled"),
        ({"enabled": "true"}, "enabled"),
        ({"secret": "whsec_"}, "secret"),
        ({"id": 7}, "id"),
        ({"headers": []}, "headers"),
        ({"headers": {f"X-{number}": "a" for number in range(11)}}, "headers"),
        ({"headers": {"Host": "a"}}, "headers.Host"),
        ({"headers": {"content-length": "a"}}, "headers.content-length"),
        ({"headers": {"Content-Anything": "a"}}, "headers.Content-Anything"),
        ({"headers": {"Webhook-Id": "a"}}, "headers.Webhook-Id"),
        ({"headers": {"transfer-encoding": "chunked"}}, "headers.transfer-encoding"),
        ({"headers": {"connection": "close"}}, "headers.connection"),
        ({"headers": {"": "a"}}, "headers."),
        ({"headers": {"a b": "a"}}, "headers.a b"),
        ({"headers": {"a:": "a"}}, "headers.a:"),
        ({"headers": {"ä": "a"}}, "headers.ä"),
        ({"headers": {"a" * 101: "a"}}, f"headers.{'a' * 101}"),
        ({"headers": {"A": ""}}, "headers.A"),
        ({"headers": {"A": None}}, "headers.A"),
        ({"headers": {"A": 1}}, "headers.A"),
        ({"headers": {"A": " a"}}, "headers.A"),
        ({"headers": {"A": "a\r\nB: b"}}, "headers.A"),
        ({"headers": {"A": "ä"}}, "headers.A"),
        ({"headers": {"A": "a" * 2001}}, "headers.A"),
        ({"kind": "email", "url": "mailto:sales@example.com", "headers": {"A": "a"}}, "headers"),
    ],
)
def test_what_is_not_valid_is_named(client: FlaskClient, given: Json, field: str) -> None:
    response = client.post("/destinations", json={"kind": "webhook", "url": URL, **given})

    assert response.status_code == 422
    assert list(body(response)["errors"]) == [field]
    assert body(client.get("/destinations"))["total"] == 0


@pytest.mark.one_database
def test_a_private_address_is_refused_unless_a_setting_allows_it(make_app: MakeApp, client: FlaskClient) -> None:
    given = {"kind": "webhook", "url": "http://127.0.0.1:8080/hook"}
    strict = make_app(DATABASE_URL="sqlite://", AUTO_MIGRATE="on").test_client()

    assert client.post("/destinations", json=given).status_code == 201
    for url in (given["url"], "https://127.0.0.1:8080/hook", "https://localhost/", "https://[::1]/"):
        refused = strict.post("/destinations", json={**given, "url": url})
        assert refused.status_code == 422
        assert "WEBHOOK_ALLOW_PRIVATE=on" in body(refused)["errors"]["url"][0]


# --- list ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("sort", "ids"), [("id", [1, 2, 3, 4, 5]), ("-id", [5, 4, 3, 2, 1])])
def test_the_list_is_walked_by_links(
    client: FlaskClient, new_destination: NewDestination, sort: str, ids: list[int]
) -> None:
    for _ in ids:
        new_destination()

    found = []
    url = f"/destinations?limit=2&sort={sort}"
    while url:
        response = client.get(url)
        assert body(response)["total"] == 5
        found += [item["id"] for item in body(response)["items"]]
        url = urljoin(url, response.headers["Link"][1:].partition(">")[0]) if "Link" in response.headers else ""

    assert found == ids


def test_the_list_shows_what_one_shows(client: FlaskClient, new_destination: NewDestination) -> None:
    new_destination()
    new_destination(description="another")

    page = body(client.get("/destinations"))

    assert page == {"total": 2, "items": [body(client.get(f"/destinations/{number}")) for number in (1, 2)]}
    assert [list(item) for item in page["items"]] == [FIELDS, FIELDS]


@pytest.mark.one_database
@pytest.mark.parametrize("query", ["limit=0", "limit=101", "offset=1", "after=x", "sort=url", "state=due"])
def test_a_parameter_that_is_not_valid_is_named(client: FlaskClient, query: str) -> None:
    response = client.get(f"/destinations?{query}")

    assert response.status_code == 422
    assert list(body(response)["errors"]) == [query.partition("=")[0]]


def test_the_last_delivery_is_the_one_that_was_tried_last(
    app: Flask, client: FlaskClient, new_destination: NewDestination, stored_lead: StoredLead
) -> None:
    new_destination()
    for _ in range(3):
        stored_lead()
    tried = (
        "UPDATE deliveries SET state = :state, last_attempt_at = :at, status = :status, error = :error WHERE id = :id"
    )
    change_rows(app, tried, id=1, state="delivered", at="2026-02-28 10:00:01.500000Z", status=204, error=None)
    change_rows(app, tried, id=2, state="failed", at="2026-02-28 10:00:00.000000Z", status=None, error="dns")

    expected = {"state": "delivered", "at": "2026-02-28T10:00:01Z", "status": 204, "error": None}
    assert body(client.get("/destinations/1"))["last_delivery"] == expected
    assert body(client.get("/destinations"))["items"][0]["last_delivery"] == expected


# --- change --------------------------------------------------------------------------------------


@pytest.mark.parametrize("content_type", ["application/json", "application/merge-patch+json"])
def test_a_change_changes_what_it_names(
    client: FlaskClient, new_destination: NewDestination, content_type: str
) -> None:
    created = new_destination(sources=["a"], description="old", headers={"A": "b"})
    del created["secret"]
    changes = {"url": f"{URL}/2", "events": ["lead.*"], "enabled": False}

    response = client.patch("/destinations/1", json=changes, content_type=content_type)

    assert response.status_code == 200
    assert body(response) == {**created, **changes}
    assert list(body(response)) == FIELDS
    assert client.get("/destinations/1").json == body(response)


def test_null_clears_a_field(client: FlaskClient, new_destination: NewDestination) -> None:
    new_destination(sources=["a"], description="old", headers={"A": "b", "C": "d"})

    changed = body(client.patch("/destinations/1", json={"sources": None, "description": None, "headers": None}))

    assert (changed["sources"], changed["description"], changed["headers"]) == (None, None, [])


def test_headers_are_merged_by_name_in_any_letter_case(
    app: Flask, client: FlaskClient, new_destination: NewDestination
) -> None:
    new_destination(headers={"Authorization": "old", "X-Gone": "b", "X-Kept": "c"})

    changes = {"headers": {"authorization": "new", "x-gone": None, "x-never": None, "X-New": "d"}}
    changed = body(client.patch("/destinations/1", json=changes))

    assert changed["headers"] == ["X-Kept", "authorization", "X-New"]
    with app.app_context(), storage.read() as connection:
        stored = connection.execute(text("SELECT headers FROM destinations")).scalar_one()
    assert stored == '{"X-Kept":"c","authorization":"new","X-New":"d"}'


def test_a_webhook_never_has_more_headers_than_allowed(client: FlaskClient, new_destination: NewDestination) -> None:
    new_destination(headers={f"X-{number}": "a" for number in range(9)})

    refused = client.patch("/destinations/1", json={"headers": {"X-9": "a", "X-10": "a"}})
    accepted = client.patch("/destinations/1", json={"headers": {"X-9": "a", "X-10": "a", "X-0": None}})

    assert (refused.status_code, list(body(refused)["errors"])) == (422, ["headers"])
    assert (accepted.status_code, len(body(accepted)["headers"])) == (200, 10)


def test_a_change_of_nothing_changes_nothing(client: FlaskClient, new_destination: NewDestination) -> None:
    created = new_destination()
    del created["secret"]

    assert client.patch("/destinations/1", json={}).json == created


@pytest.mark.one_database
@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"kind": "webhook"}, "kind"),
        ({"created_at": "2026-02-28T10:00:00Z"}, "created_at"),
        ({"secret": "whsec_"}, "secret"),
        ({"url": None}, "url"),
        ({"url": "mailto:sales@example.com"}, "url"),
        ({"events": None}, "events"),
        ({"events": []}, "events"),
        ({"enabled": None}, "enabled"),
        ({"headers": {"Host": None}}, "headers.Host"),
        ({"headers": {"A": "\n"}}, "headers.A"),
    ],
)
def test_a_change_that_is_not_valid_changes_nothing(
    client: FlaskClient, new_destination: NewDestination, changes: Json, field: str
) -> None:
    created = new_destination()
    del created["secret"]

    response = client.patch("/destinations/1", json={"description": "new", **changes})

    assert response.status_code == 422
    assert list(body(response)["errors"]) == [field]
    assert client.get("/destinations/1").json == created


def test_only_a_webhook_can_be_given_headers(client: FlaskClient, new_destination: NewDestination) -> None:
    new_destination(kind="email", url="mailto:sales@example.com")

    assert client.patch("/destinations/1", json={"headers": {"A": "b"}}).status_code == 422
    assert client.patch("/destinations/1", json={"headers": None, "description": "new"}).status_code == 200


def test_enabling_gives_a_destination_a_new_start(
    app: Flask, client: FlaskClient, new_destination: NewDestination
) -> None:
    new_destination()
    failing = "enabled = false, disabled_reason = 'gone', failing_since = created_at"
    change_rows(app, f"UPDATE destinations SET {failing}")

    kept = body(client.patch("/destinations/1", json={"description": "new"}))
    enabled = body(client.patch("/destinations/1", json={"enabled": True}))

    assert (kept["enabled"], kept["disabled_reason"]) == (False, "gone")
    assert (enabled["enabled"], enabled["disabled_reason"]) == (True, None)
    with app.app_context(), storage.read() as connection:
        assert connection.execute(text("SELECT failing_since FROM destinations")).scalar_one() is None


def test_a_disabled_destination_gets_no_new_deliveries(
    client: FlaskClient, new_destination: NewDestination, stored_lead: StoredLead
) -> None:
    new_destination()
    stored_lead()
    client.patch("/destinations/1", json={"enabled": False})
    stored_lead()
    client.patch("/destinations/1", json={"enabled": True})
    stored_lead()

    assert [(each["lead_id"], each["state"]) for each in deliveries(client, 1)] == [(1, "due"), (3, "due")]


# --- delete --------------------------------------------------------------------------------------


def test_deleting_a_destination_deletes_its_deliveries(
    client: FlaskClient, new_destination: NewDestination, stored_lead: StoredLead
) -> None:
    new_destination()
    new_destination()
    stored_lead()

    response = client.delete("/destinations/1")

    assert (response.status_code, response.data) == (204, b"")
    assert client.get("/destinations/1").status_code == 404
    assert client.get("/destinations/1/deliveries").status_code == 404
    assert client.post("/destinations/1/deliveries/1/replay").status_code == 404
    assert len(deliveries(client, 2)) == 1
    # The id is not used again, so nobody else gets what was due.
    assert new_destination()["id"] == 3


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", ""),
        ("PATCH", ""),
        ("DELETE", ""),
        ("POST", "/rotate"),
        ("POST", "/test"),
        ("GET", "/deliveries"),
        ("POST", "/deliveries/1/replay"),
        ("POST", "/replay"),
    ],
)
def test_a_destination_that_is_not_there_is_not_found(client: FlaskClient, method: str, path: str) -> None:
    sent = {"PATCH": {}, "POST": {"since": "2026-02-28T10:00:00Z"}}.get(method) if path in ("", "/replay") else None

    response = client.open(f"/destinations/7{path}", method=method, json=sent)

    assert response.status_code == 404
    assert response.json == {"detail": "There is no destination with this id."}


# --- who may -------------------------------------------------------------------------------------


def test_every_operation_needs_the_scope_admin(make_app: MakeApp, database_url: str, document: Json) -> None:
    app = make_app(DATABASE_URL=database_url, AUTH="on", THREADS="4")
    client = app.test_client()
    keys = {"others": make_key(app, "capture", "read", "write"), "admin": make_key(app, "admin")}
    paths = {path: operations for path, operations in document["paths"].items() if path.startswith("/destinations")}
    assert len(paths) == 7

    for path, operations in paths.items():
        concrete = path.replace("{destination_id}", "7").replace("{delivery_id}", "7")
        for method in set(operations) - {"parameters"}:
            statuses = [
                client.open(concrete, method=method, headers=headers).status_code
                for headers in ({}, {"X-API-Key": keys["others"]}, {"X-API-Key": keys["admin"]})
            ]
            assert statuses[:2] == [401, 403]
            assert statuses[2] in (200, 404, 415)
