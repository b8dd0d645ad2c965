"""Fixtures of the tests of keys."""

import pytest
from flask import Flask

from conftest import MakeApp


@pytest.fixture
def app(make_app: MakeApp, database_url: str) -> Flask:
    """An app that asks for keys."""
    return make_app(DATABASE_URL=database_url, AUTH="on")
