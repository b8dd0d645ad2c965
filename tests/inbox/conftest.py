"""Fixtures of the tests of the inbox."""

import re
from collections.abc import Callable
from html import unescape

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from conftest import Json, MakeApp, make_key

OWN = {"Sec-Fetch-Site": "same-origin"}

LogIn = Callable[..., FlaskClient]


@pytest.fixture
def guarded(shared_app: MakeApp) -> Flask:
    """An app that asks for keys."""
    return shared_app(AUTH="on", THREADS="4")


@pytest.fixture
def log_in(guarded: Flask) -> LogIn:
    """Make a browser that has logged in with a new key."""

    def make(*scopes: str) -> FlaskClient:
        browser = guarded.test_client()
        response = browser.post("/inbox/login", data={"key": make_key(guarded, *scopes)}, headers=OWN)
        assert response.status_code == 303, response.text
        return browser

    return make


def fields_of(html: str) -> dict[str, str]:
    """The hidden fields that a form of a lead sends along."""
    return dict(re.findall(r'<input type="hidden" name="(if_match|seen)" value="([^"]*)">', html))


def as_text(html: str) -> str:
    """The text of a page."""
    without_inline = re.sub("</?(bdi|del|ins|strong|span)[^>]*>", "", html)
    return " ".join(unescape(re.sub("<[^>]+>", " ", without_inline)).split())


def follow(client: FlaskClient, response: TestResponse) -> str:
    """The page that a redirect leads to."""
    assert response.status_code == 303, response.text
    return client.get(f"/{response.headers['Location'].lstrip('./')}").text


def only(lead: Json) -> Json:
    """The required fields of a lead."""
    return {"full_name": lead["full_name"], "email": lead["email"]}
