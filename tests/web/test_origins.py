"""Changes that pages of other sites make a browser send to the API."""

import pytest

from conftest import MakeApp, NewLead

pytestmark = pytest.mark.one_database

FOREIGN = [
    {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"},
    # Another port or subdomain.
    {"Sec-Fetch-Site": "same-site"},
    {"Origin": "http://localhost:8080"},
    {"Origin": "null"},
]
HARMLESS = [
    {},
    {"Sec-Fetch-Site": "same-origin"},
    {"Sec-Fetch-Site": "none"},
    {"Origin": "http://localhost"},
    {"Origin": "https://leads.example.com"},
    {"Sec-Fetch-Site": "cross-site", "Origin": "https://www.example.com"},
]
CHANGES = [
    ("POST", "/destinations/7/rotate", 404),
    ("POST", "/destinations/7/test", 404),
    ("POST", "/destinations/7/replay", 415),
    ("PATCH", "/leads/7", 415),
    ("DELETE", "/leads/7", 404),
    ("POST", "/leads/batch", 415),
]


@pytest.mark.parametrize(("method", "path", "otherwise"), CHANGES)
def test_without_keys_only_own_and_allowed_pages_may_change_something(
    make_app: MakeApp, database_url: str, method: str, path: str, otherwise: int
) -> None:
    settings = {"PUBLIC_URL": "https://leads.example.com/api", "CORS_ORIGINS": "https://www.example.com"}
    client = make_app(DATABASE_URL=database_url, **settings).test_client()

    for headers in FOREIGN:
        refused = client.open(path, method=method, headers=headers)
        assert (refused.status_code, refused.mimetype) == (403, "application/problem+json"), headers
    for headers in HARMLESS:
        assert client.open(path, method=method, headers=headers).status_code == otherwise, headers


@pytest.mark.parametrize("headers", FOREIGN, ids=str)
def test_forms_and_reading_are_open_to_pages_of_all_sites(
    make_app: MakeApp, database_url: str, new_lead: NewLead, headers: dict[str, str]
) -> None:
    client = make_app(DATABASE_URL=database_url).test_client()

    assert client.post("/leads", data=new_lead(), headers=headers).status_code == 201
    assert client.post("/leads", json=new_lead(), headers=headers).status_code == 201
    assert client.get("/leads", headers=headers).status_code == 200
    assert client.post("/nowhere", headers=headers).status_code == 404
    assert client.put("/leads", headers=headers).status_code == 405


def test_pages_of_all_sites_may_change_something_where_all_origins_are_allowed(make_app: MakeApp) -> None:
    client = make_app(DATABASE_URL="sqlite://", CORS_ORIGINS="*").test_client()

    assert client.patch("/leads/7", headers=FOREIGN[0]).status_code == 415


def test_a_request_with_a_key_may_come_from_anywhere(make_app: MakeApp) -> None:
    """No page of another site can send one: a header of its own needs a preflight."""
    client = make_app(DATABASE_URL="sqlite://", AUTH="on").test_client()

    assert client.patch("/leads/7", headers=FOREIGN[0]).status_code == 401
