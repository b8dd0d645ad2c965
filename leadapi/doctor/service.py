"""Makes all checks, in their order."""

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

from sqlalchemy.exc import DBAPIError

from leadapi.config import ConfigError, Settings
from leadapi.doctor import database, surroundings
from leadapi.doctor.verdicts import FAILED, OK, Check, CheckFunction


def examine(settings: Settings | ConfigError, backups: Path | None = None) -> Iterator[Check]:
    """Make the checks that apply.

    :param settings: the settings, or why they are not usable; nothing else can be checked then.
    :param backups: a folder in which a recent backup must be.
    """
    if isinstance(settings, ConfigError):
        _, *faults = settings.message.splitlines()
        yield Check("settings", FAILED, " ".join(faults))
        return
    checks: dict[str, CheckFunction] = dict(surroundings.CHECKS)
    if backups is not None:
        checks["backups"] = partial(surroundings.check_backups, backups)
    yield from _made(checks, settings)
    # Each of these needs the one before.
    for name, check in database.STEPS.items():
        for made in _made({name: check}, settings):
            yield made
            if made.status != OK:
                return
    yield from _made(database.CHECKS, settings)


def _made(checks: Mapping[str, CheckFunction], settings: Settings) -> Iterator[Check]:
    for name, check in checks.items():
        try:
            verdict = check(settings)
        except Exception as exc:  # noqa: BLE001  # the doctor reports whatever is broken, and goes on
            cause = exc.orig if isinstance(exc, DBAPIError) else exc
            verdict = FAILED, f"The check ended with an error: {type(cause).__name__} {cause}".strip()
        if verdict is not None:
            status, detail = verdict
            yield Check(name, status, " ".join(detail.split()))
