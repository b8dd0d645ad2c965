"""Fixtures of the tests of restores."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from flask import Flask
from flask.testing import FlaskClient

from conftest import body

BackUp = Callable[[], Path]


@pytest.fixture
def path(own_app: None, app: Flask, tmp_path: Path) -> Path:
    """The database."""
    return tmp_path / "leads.db"


@pytest.fixture
def backup(app: Flask, tmp_path: Path) -> BackUp:
    """Write a backup and return its path."""

    def write() -> Path:
        shutil.rmtree(tmp_path / "backups", ignore_errors=True)
        assert app.test_cli_runner().invoke(args=["db", "backup", str(tmp_path / "backups")]).exit_code == 0
        return next((tmp_path / "backups").iterdir())

    return write


def restored(app: Flask, file: Path, *options: str, answer: str = "") -> Result:
    return app.test_cli_runner().invoke(args=["db", "restore", str(file), *options], input=answer)


def ids(client: FlaskClient) -> list[int]:
    return [lead["id"] for lead in body(client.get("/leads"))["items"]]
