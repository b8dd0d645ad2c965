"""GET /leads: filters, order and pages by cursor."""

from typing import Any
from urllib.parse import quote, urljoin

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text

from conftest import MARKER, NewLead, StoredLead, body
from leadapi import storage
from leadapi.storage import db


def walk(client: FlaskClient, path: str) -> list[list[dict[str, Any]]]:
    """The pages from this one to the last, by following their links."""
    pages = []
    while path:
        response = client.get(path)
        assert response.status_code == 200
        pages.append(body(response)["items"])
        link = response.headers.get("Link")
        path = urljoin(path, link.partition(">")[0].removeprefix("<")) if link else ""
    return pages


def ids(leads: list[dict[str, Any]]) -> list[int]:
    return [lead["id"] for lead in leads]


def test_a_page_that_is_not_the_last_links_to_the_next(client: FlaskClient, stored_lead: StoredLead) -> None:
    stored = [stored_lead() for _ in range(5)]

    pages = walk(client, "/leads?limit=2")

    assert pages == [stored[:2], stored[2:4], stored[4:]]


def test_a_page_that_ends_with_the_last_lead_has_no_link(client: FlaskClient, stored_lead: StoredLead) -> None:
    for _ in range(4):
        stored_lead()

    assert "Link" in client.get("/leads?limit=3").headers
    assert "Link" not in client.get("/leads?limit=4").headers
    assert "Link" not in client.get("/leads?offset=4").headers


def test_the_link_is_as_a_client_expects_it(client: FlaskClient, stored_lead: StoredLead) -> None:
    for _ in range(2):
        stored_lead()

    link = client.get("/leads?limit=1&offset=0&sort=id").headers["Link"]

    assert link == '<?limit=1&sort=id&after=AAAAAAAAAAE>; rel="next"'


def test_addresses_begin_with_what_the_service_is_mounted_at(
    client: FlaskClient, new_lead: NewLead, stored_lead: StoredLead
) -> None:
    stored_lead()
    lead, mounted = new_lead(), "https://example.com/crm/"

    created, taken = (client.post("/leads", json=lead, base_url=mounted) for _ in range(2))
    listed = client.get("/leads?limit=1", base_url=mounted)

    assert [answer.headers["Location"] for answer in (created, taken)] == ["/crm/leads/2"] * 2
    assert listed.headers["Link"].startswith("<?limit=1&")


def test_newest_first_walks_the_same_leads_backwards(client: FlaskClient, stored_lead: StoredLead) -> None:
    stored = [stored_lead() for _ in range(5)]

    pages = walk(client, "/leads?limit=2&sort=-id")

    assert [lead for page in pages for lead in page] == stored[::-1]


def test_a_walk_neither_misses_nor_repeats_a_lead_while_others_arrive(
    client: FlaskClient, stored_lead: StoredLead
) -> None:
    stored = [stored_lead() for _ in range(3)]
    first = client.get("/leads?limit=2")
    stored.append(stored_lead())
    path = urljoin("/leads", first.headers["Link"].partition(">")[0].removeprefix("<"))

    pages = walk(client, path)

    assert body(first)["items"] + [lead for page in pages for lead in page] == stored


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
def test_leads_that_were_copied_in_are_shown(client: FlaskClient, app: Flask) -> None:
    with app.app_context(), storage.write() as tx:
        copy = "INSERT INTO leads (id, full_name, email, email_key, created_at) VALUES (70, 'Z D', 'z', 'z', now())"
        tx.execute(text(copy))

    assert ids(body(client.get("/leads"))["items"]) == [70]


def test_an_offset_counts_from_the_cursor(client: FlaskClient, stored_lead: StoredLead) -> None:
    stored = [stored_lead() for _ in range(4)]

    page = body(client.get("/leads?after=AAAAAAAAAAE&offset=1"))

    assert page == {"total": 4, "items": stored[2:]}


def test_the_largest_cursor_is_after_everything(client: FlaskClient, stored_lead: StoredLead) -> None:
    stored = [stored_lead() for _ in range(2)]

    assert body(client.get("/leads?after=___________"))["items"] == []
    assert body(client.get("/leads?after=___________&sort=-id"))["items"] == stored[::-1]


def test_finds_the_lead_of_an_address_in_any_spelling(client: FlaskClient, stored_lead: StoredLead) -> None:
    stored_lead()
    wanted = stored_lead(email=f"{MARKER}@bücher.example")

    page = body(client.get(f"/leads?email={quote(f' {MARKER.upper()}@XN--BCHER-KVA.example')}"))

    assert page == {"total": 1, "items": [wanted]}
    assert body(client.get("/leads?email=nobody@example.com")) == {"total": 0, "items": []}


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
def test_finds_the_lead_of_an_address_while_an_earlier_one_is_not_committed(
    client: FlaskClient, app: Flask, stored_lead: StoredLead
) -> None:
    with app.app_context(), db.engine.connect() as earlier:
        values = "('Z D', 'z', 'z', now())"
        earlier.execute(text(f"INSERT INTO leads (full_name, email, email_key, created_at) VALUES {values}"))
        stored = stored_lead()

        page = body(client.get("/leads", query_string={"email": stored["email"]}))

    assert page == {"total": 1, "items": [stored]}


def test_finds_the_leads_of_a_source(client: FlaskClient, stored_lead: StoredLead) -> None:
    stored = [stored_lead(source=source) for source in ("a", "b", None, "a", "A", "a ")]

    assert client.get("/leads?source=a").json == {"total": 2, "items": [stored[0], stored[3]]}
    assert client.get("/leads?source=a&limit=1&sort=-id").json == {"total": 2, "items": [stored[3]]}
    assert client.get("/leads?source=nowhere").json == {"total": 0, "items": []}


def test_a_filter_stays_in_the_link(client: FlaskClient, stored_lead: StoredLead) -> None:
    stored = [stored_lead(source=f"{MARKER} & söhne {number % 2}") for number in range(6)]

    pages = walk(client, f"/leads?limit=2&source={quote(f'{MARKER} & söhne 1')}")

    assert pages == [[stored[1], stored[3]], [stored[5]]]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("created_from=2026-01-02T00:00:00Z", [2, 3]),
        ("created_to=2026-01-02T00:00:00Z", [1, 2]),
        ("created_from=2026-01-02T00:00:00Z&created_to=2026-01-02T00:00:00Z", [2]),
        ("created_from=2026-01-02T00:00:01Z", [3]),
        ("created_from=2026-01-02T05:00:00%2B05:00&created_to=2026-01-02t00:00:00.9z", [2]),
        ("created_to=2025-12-31T23:59:59Z", []),
        ("created_from=0001-01-01T00:00:00Z&created_to=9999-12-31T23:59:59Z", [1, 2, 3]),
        ("created_from=2026-01-02T00:00:00Z&source=a", [3]),
    ],
)
def test_finds_the_leads_of_a_time(
    client: FlaskClient, app: Flask, stored_lead: StoredLead, query: str, found: list[int]
) -> None:
    for source in ("a", "b", "a"):
        stored_lead(source=source)
    with app.app_context(), storage.write() as tx:
        for day in (1, 2, 3):
            moment = f"2026-01-0{day} 00:00:00" + ("+00" if db.engine.dialect.name == "postgresql" else ".000000")
            tx.execute(text(f"UPDATE leads SET created_at = '{moment}' WHERE id = {day}"))

    page = body(client.get(f"/leads?{query}"))

    assert (page["total"], ids(page["items"])) == (len(found), found)


@pytest.mark.parametrize("sort", ["id", "-id"])
def test_walks_the_leads_of_a_time_by_their_ids(
    client: FlaskClient, app: Flask, stored_lead: StoredLead, sort: str
) -> None:
    """Those that came from elsewhere may be older than those before them."""
    for _ in range(7):
        stored_lead()
    with app.app_context(), storage.write() as tx:
        for number in range(7):
            moment = f"2026-01-0{7 - number} 00:00:00" + ("+00" if tx.dialect.name == "postgresql" else ".000000")
            tx.execute(text(f"UPDATE leads SET created_at = '{moment}' WHERE id = {number + 1}"))

    pages = walk(client, f"/leads?created_from=2026-01-02T00:00:00Z&limit=4&sort={sort}")
    rest = body(client.get(f"/leads?created_to=2026-01-06T00:00:00Z&limit=4&offset=4&sort={sort}"))

    walked = [ids(page) for page in pages]
    assert walked == ([[1, 2, 3, 4], [5, 6]] if sort == "id" else [[6, 5, 4, 3], [2, 1]])
    assert (rest["total"], ids(rest["items"])) == (6, [6, 7] if sort == "id" else [3, 2])


@pytest.mark.one_database
@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("after=", "after"),
        ("after=1", "after"),
        ("after=AAAAAAAAAAE%3D", "after"),
        ("after=AAAAAAAAA%2BE", "after"),
        ("sort=email", "sort"),
        ("sort=ID", "sort"),
        ("email=nobody", "email"),
        (f"source={'s' * 101}", "source"),
        ("source=%00", "source"),
        ("created_from=2026-01-02", "created_from"),
        ("created_from=2026-01-02T00:00:00", "created_from"),
        ("created_from=2026-13-02T00:00:00Z", "created_from"),
        ("created_to=0001-01-01T00:00:00%2B23:59", "created_to"),
        ("created_to=now", "created_to"),
        ("format=csv", "format"),
    ],
)
def test_refuses_a_filter_that_breaks_its_rule_by_name(client: FlaskClient, query: str, field: str) -> None:
    response = client.get(f"/leads?{query}")

    assert response.status_code == 422
    assert list(body(response)["errors"]) == [field]
