"""RETENTION and SCRUB_HOUR."""

from datetime import timedelta

import pytest

from leadapi import config
from leadapi.config import ConfigError


def test_statuses_have_ages_and_a_day_has_an_hour() -> None:
    settings = config.load({"RETENTION": "lost:90d, new:730d", "SCRUB_HOUR": "0"})

    assert settings.retention == (("lost", timedelta(days=90)), ("new", timedelta(days=730)))
    assert settings.scrub_hour == 0


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("RETENTION", "sold:90d"),
        ("RETENTION", "lost:0d"),
        ("RETENTION", "lost:36501d"),
        ("RETENTION", "lost:90"),
        ("RETENTION", "lost:90d,lost:80d"),
        ("RETENTION", "lost:90d;new:80d"),
        ("SCRUB_HOUR", "24"),
        ("SCRUB_HOUR", "3am"),
    ],
)
def test_mistakes_are_told(name: str, value: str) -> None:
    with pytest.raises(ConfigError, match=rf"\n{name} must be none or [^\n]+\.$"):
        config.load({name: value})


def test_nothing_is_erased_and_nothing_is_scrubbed_by_default() -> None:
    settings = config.load({"RETENTION": "", "SCRUB_HOUR": ""})

    assert (settings.retention, settings.scrub_hour) == ((), None)
