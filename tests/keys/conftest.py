"""Fixtures of the tests of keys."""

import pytest
from flask import Flask

from conftest import MakeApp


@pytest.fixture
def app(shared_app: MakeApp) -> Flask:
    """An app that asks for keys."""
    return shared_app(AUTH="on")
