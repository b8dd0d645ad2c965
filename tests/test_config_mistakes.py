"""Settings that are valid and probably a mistake, and databases that cannot be written."""

import re
from pathlib import Path

import pytest

from leadapi import config
from leadapi.config import ConfigError


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(("path", "parent"), [("/sys/leads.db", "/sys"), ("missing/leads.db", "{here}/missing")])
def test_a_folder_in_which_sqlite_cannot_write_is_named_with_the_reason(folder: Path, path: str, parent: str) -> None:
    with pytest.raises(ConfigError) as refused:
        config.load({"DATABASE_URL": f"sqlite:///{path}"})

    assert re.search(
        rf"DATABASE_URL names a file in the folder {parent.format(here=folder)}, where SQLite cannot write: [\w -]+\.",
        refused.value.message,
    )


def test_the_check_of_the_folder_leaves_nothing_behind(folder: Path) -> None:
    config.load({})

    assert list(folder.iterdir()) == []


def test_misspelt_names_of_the_file_are_told_and_their_values_are_not(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [
        "DATABASE_URI=secret",
        "log_level=DEBUG",
        "FORM_SECRETS_FILE=secret",
        "POSTGRES_PASSWORD=secret",
        "AUTH=on",
    ]
    (folder / ".env").write_text("\n".join(lines))
    monkeypatch.delenv("AUTH", raising=False)

    assert config.load().warnings == (
        ".env sets DATABASE_URI, which is no setting; is it DATABASE_URL?",
        ".env sets log_level, which is no setting; is it LOG_LEVEL?",
        ".env sets FORM_SECRETS_FILE, which is no setting; is it FORM_SECRET_FILE?",
    )


def test_a_file_that_is_not_utf_8_is_told(folder: Path) -> None:
    (folder / ".env").write_bytes("# café\nENV=local\n".encode("latin-1"))

    with pytest.raises(ConfigError, match=r"^The file \.env is not UTF-8: see its byte 5, counted from 0\.$"):
        config.load()


@pytest.mark.parametrize("host", ["http://0.0.0.0", "127.0.0.1:80", "a b", "[::1]", "::1/64"])
def test_a_host_is_an_address_or_a_name(host: str) -> None:
    with pytest.raises(ConfigError, match=r"HOST must be an IP address or a name, without a port\."):
        config.load({"HOST": host})


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_a_service_for_this_machine_is_not_exposed(host: str) -> None:
    assert config.load({"HOST": host}).exposure is None


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "leads.example.com"])
def test_a_local_service_for_other_machines_is_exposed(host: str) -> None:
    assert config.load({"HOST": host}).exposure == (
        f"HOST={host} with ENV=local: callers from other machines meet no API key and no rate limit. "
        "Set ENV=production, unless only you can reach this address."
    )
    assert "meet no rate limit." in str(config.load({"HOST": host, "AUTH": "on"}).exposure)
    assert config.load({"HOST": host, "AUTH": "on", "RATE_LIMIT_API": "60/minute"}).exposure is None
    assert config.load({"HOST": host, "ENV": "production"}).exposure is None


def test_given_settings_are_all_there_is(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / ".env").write_text("PORT=81")
    monkeypatch.setenv("ENV", "staging")

    assert config.load({}) == config.load({"ENV": "local"})


def test_metrics_have_a_port_of_their_own() -> None:
    with pytest.raises(ConfigError) as refused:
        config.load({"PORT": "9100", "METRICS_PORT": "9100"})

    assert "METRICS_PORT must not be PORT." in refused.value.message
    assert config.load({"METRICS_PORT": "9100"}).has_metrics
