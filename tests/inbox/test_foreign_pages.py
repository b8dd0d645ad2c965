"""Requests that pages of other sites make a browser send."""

import pytest
from flask import Flask
from flask.testing import FlaskClient

from conftest import MakeApp
from inbox.conftest import LogIn

pytestmark = pytest.mark.one_database

FOREIGN = [
    {"Sec-Fetch-Site": "cross-site"},
    # Another port or subdomain.
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "cross-site", "Origin": "http://localhost"},
    {"Origin": "http://evil.example"},
    {"Origin": "http://localhost:8080"},
    {"Origin": "https://localhost"},
    {"Origin": "null"},
    {"Origin": ""},
]
OWN = [{"Sec-Fetch-Site": "same-origin"}, {"Sec-Fetch-Site": "none"}, {"Origin": "http://localhost"}]


@pytest.mark.parametrize("headers", FOREIGN, ids=str)
def test_a_form_of_another_site_is_refused(
    log_in: LogIn, guarded: Flask, client: FlaskClient, headers: dict[str, str]
) -> None:
    for browser in (log_in("read"), client, guarded.test_client()):
        for path in ("/inbox/login", "/inbox/logout"):
            response = browser.post(path, headers=headers)
            assert (response.status_code, response.mimetype) == (403, "text/html")
            assert "Set-Cookie" not in response.headers


@pytest.mark.parametrize("headers", OWN, ids=str)
def test_a_form_of_the_inbox_is_accepted(log_in: LogIn, headers: dict[str, str]) -> None:
    assert log_in("read").post("/inbox/logout", headers=headers).status_code == 303


def test_without_both_headers_a_session_is_not_accepted(log_in: LogIn, guarded: Flask) -> None:
    assert log_in("read").post("/inbox/logout").status_code == 403
    # A program that has no session of a browser.
    assert guarded.test_client().post("/inbox/logout").status_code == 303


def test_behind_a_proxy_the_public_address_is_our_own(shared_app: MakeApp) -> None:
    client = shared_app(PUBLIC_URL="https://Leads.example.com/leadapi").test_client()

    for origin, status in (("https://leads.example.com", 303), ("https://example.com", 403)):
        assert client.post("/inbox/logout", headers={"Origin": origin}).status_code == status
