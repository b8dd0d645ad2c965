"""Paths that mean the same, and references in responses: with PUBLIC_URL, with SCRIPT_NAME, and without both."""

from typing import Any
from urllib.parse import urljoin

import pytest
from flask import Flask
from flask.testing import FlaskClient

from conftest import MakeApp, NewLead

BROWSER = {"Accept": "text/html"}


@pytest.fixture
def app(sqlite_app: MakeApp, request: pytest.FixtureRequest) -> Flask:
    """An app on SQLite, because no test here depends on the database."""
    return sqlite_app(**getattr(request, "param", {}))


def with_settings(**settings: str) -> Any:
    return pytest.mark.parametrize("app", [settings], indirect=True, ids=[" ".join(settings)])


def test_a_slash_at_the_end_changes_nothing(client: FlaskClient, new_lead: NewLead) -> None:
    created = client.post("/leads/", json=new_lead())
    form = client.post("/leads/", data=new_lead(), headers=BROWSER)
    listed = client.get("/leads/?limit=1")

    assert (created.status_code, created.headers["Location"]) == (201, "/leads/1")
    assert (form.status_code, form.mimetype) == (200, "text/html")
    assert listed.json == client.get("/leads?limit=1").json
    assert client.get("/leads/1/").json == created.json
    assert client.post("/leads/batch/", json={"items": []}).json == {"items": []}
    refused, expected = (client.put(path) for path in ("/leads/", "/leads"))
    assert (refused.status_code, refused.json) == (405, expected.json)
    assert set(refused.headers["Allow"].split(", ")) == set(expected.headers["Allow"].split(", "))


def test_a_key_for_a_path_with_a_slash_is_that_of_the_path(client: FlaskClient, new_lead: NewLead) -> None:
    lead, headers = new_lead(), {"Idempotency-Key": "a"}

    first, again = (client.post(path, json=lead, headers=headers) for path in ("/leads", "/leads/"))

    assert (again.status_code, again.json, again.headers["Idempotent-Replayed"]) == (201, first.json, "true")


@pytest.mark.parametrize("path", ["//leads", "///leads/export", "//leads/", "//", "//docs"])
def test_several_slashes_at_the_beginning_lead_nowhere(client: FlaskClient, path: str) -> None:
    # The client would take such a path for a host.
    response = client.get("/", environ_overrides={"PATH_INFO": path})

    assert (response.status_code, response.json) == (404, {"detail": "There is nothing at this address."})


@pytest.mark.parametrize("name", ["REQUEST_URI", "RAW_URI"])
def test_slashes_that_a_server_removes_are_seen(client: FlaskClient, name: str) -> None:
    assert client.get("/leads", environ_overrides={name: "//leads"}).status_code == 404
    assert client.get("/leads", environ_overrides={name: "/leads"}).status_code == 200


def references(client: FlaskClient, new_lead: NewLead, prefix: str = "") -> list[str]:
    """`Location` of a new lead and of a repeat, and the URL of the next page."""
    lead = new_lead()
    created, refused = (client.post(f"{prefix}/leads", json=lead) for _ in range(2))
    client.post(f"{prefix}/leads", json=new_lead())
    link = client.get(f"{prefix}/leads?limit=1&source={lead['source']}").headers["Link"]
    url, relation = link[1:].split(">; ")
    assert relation == 'rel="next"'
    return [created.headers["Location"], refused.headers["Location"], url]


QUERY = "?limit=1&source=zebedee-page&after=AAAAAAAAAAE"


def test_references_are_relative_by_default(client: FlaskClient, new_lead: NewLead) -> None:
    assert references(client, new_lead) == ["/leads/1", "/leads/1", QUERY]


@with_settings(PUBLIC_URL="https://www.example.com/leadapi/")
def test_references_are_absolute_with_a_public_url(client: FlaskClient, new_lead: NewLead) -> None:
    public = "https://www.example.com/leadapi/leads"

    assert references(client, new_lead) == [f"{public}/1", f"{public}/1", f"{public}{QUERY}"]
    client.patch("/leads/1", json={"status": "lost"})
    client.patch("/leads/1", json={"status": "new"})
    events = client.get("/leads/1/events?limit=1").headers["Link"]
    assert events.startswith(f"<{public}/1/events?limit=1&after=")


@with_settings(SCRIPT_NAME="/leadapi")
@pytest.mark.parametrize("prefix", ["", "/leadapi"])
def test_a_prefix_may_be_in_the_path_or_removed_by_a_proxy(client: FlaskClient, new_lead: NewLead, prefix: str) -> None:
    assert references(client, new_lead, prefix) == ["/leadapi/leads/1", "/leadapi/leads/1", QUERY]
    assert client.get(f"{prefix}/health").status_code == 200
    assert client.get("/", environ_overrides={"PATH_INFO": f"{prefix}//leads"}).status_code == 404
    assert client.get("/leadapi/").headers["Location"] == "/leadapi/docs"
    assert client.get("/leadapi").headers["Location"] == "/leadapi/docs"
    assert client.get("/leadapiary/leads").status_code == 404


@with_settings(SCRIPT_NAME="/leadapi")
def test_a_server_that_has_removed_the_prefix_is_believed(client: FlaskClient) -> None:
    response = client.get("/docs", environ_overrides={"SCRIPT_NAME": "/mounted"})

    assert response.status_code == 200
    assert client.get("/", environ_overrides={"SCRIPT_NAME": "/mounted"}).headers["Location"] == "/mounted/docs"


@pytest.mark.parametrize("path", ["/", "/docs/"])
def test_the_documentation_is_found_behind_a_prefix(client: FlaskClient, path: str) -> None:
    response = client.get(path)

    assert response.status_code == 302
    assert urljoin(f"https://example.com/leadapi{path}", response.headers["Location"]) == (
        "https://example.com/leadapi/docs"
    )
