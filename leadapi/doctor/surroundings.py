"""The checks of the settings, and of this machine without the database."""

import re
import shutil
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

from leadapi.config import IN_MEMORY, Settings
from leadapi.doctor.verdicts import FAILED, OK, WARNING, CheckFunction, Verdict
from leadapi.limits.counters import RedisCounter

MEGABYTE = 10**6
# With less free space than the first, soon nothing can be stored.
LEAST_BYTES = 100 * MEGABYTE
LOW_BYTES = 1000 * MEGABYTE
# The limits for backups that are made daily and weekly.
OLD_TIME = timedelta(days=2)
TOO_OLD_TIME = timedelta(days=8)
# The names of backups of SQLite have the time at which they were made.
BACKUP_TIME = re.compile(r"leadapi-(\d{8}T\d{6})Z\.db")


def check_settings(settings: Settings) -> Verdict:
    """Valid settings may still be a mistake."""
    doubts = [*settings.warnings, *([settings.exposure] if settings.exposure else [])]
    if not settings.auth and settings.env != "local":
        doubts.append(f"AUTH=off with ENV={settings.env}: everybody may do everything. Set AUTH=on.")
    return (WARNING, " ".join(doubts)) if doubts else (OK, "All settings are valid.")


def check_disk(settings: Settings) -> Verdict:
    """SQLite needs space for its data, and twice as much again while it rewrites its file."""
    file, size = settings.database_url.database, 0
    if settings.database_url.get_backend_name() == "sqlite" and file not in IN_MEMORY:
        folder = Path(str(file)).parent
        size = Path(str(file)).stat().st_size if Path(str(file)).exists() else 0
    else:
        folder = Path(tempfile.gettempdir())
    free = shutil.disk_usage(folder).free
    found = f"{folder} has {free // MEGABYTE} MB of free space."
    if free < LEAST_BYTES:
        return FAILED, f"{found} Free some at once: without space, leads are refused with 503."
    if free < max(LOW_BYTES, 2 * size):
        needed = max(LOW_BYTES, 2 * size) // MEGABYTE
        return WARNING, f"{found} Have {needed} MB, which upgrades and `flask db scrub` may need."
    return OK, found


def check_rate_limits(settings: Settings) -> Verdict | None:
    """Workers that count on their own let more requests through than one limit says."""
    if not settings.rate_limit_capture and not settings.rate_limit_api:
        return None
    if settings.redis_url is None and settings.web_concurrency > 1:
        return WARNING, (
            f"Each of {settings.web_concurrency} workers counts on its own, so a client may send up to"
            f" {settings.web_concurrency} times as many requests. Set REDIS_URL to count them together."
        )
    return OK, "Requests of all workers are counted together."


def check_redis(settings: Settings) -> Verdict | None:
    """Redis is asked as the service asks it."""
    if settings.redis_url is None:
        return None
    fault = RedisCounter(settings.redis_url).fault()
    if fault:
        return FAILED, f"Redis does not answer, so each worker counts on its own: {fault} Check REDIS_URL and Redis."
    return OK, "Redis answers."


def check_backups(folder: Path, _settings: Settings) -> Verdict:
    """The newest backup must not be old."""
    try:
        made_at = [_made_at(file) for file in folder.iterdir() if file.is_file()]
    except OSError as exc:
        return FAILED, f"{folder} cannot be read ({exc.strerror}). Name the folder of the backups."
    if not made_at:
        return FAILED, f"{folder} has no backup. Make one, and schedule it."
    age = datetime.now(UTC) - max(made_at)
    found = f"The newest backup in {folder} was made at {max(made_at):%Y-%m-%d %H:%M} UTC."
    if age > OLD_TIME:
        return FAILED if age > TOO_OLD_TIME else WARNING, f"{found} Check the job that makes backups."
    return OK, found


def _made_at(file: Path) -> datetime:
    """When a backup was made. A copy has a newer time of its own, but the same name."""
    changed_at = datetime.fromtimestamp(file.stat().st_mtime, UTC)
    named = BACKUP_TIME.fullmatch(file.name)
    if named is None:
        return changed_at
    return min(changed_at, datetime.strptime(f"{named[1]}Z", "%Y%m%dT%H%M%S%z"))


CHECKS: Mapping[str, CheckFunction] = {
    "settings": check_settings,
    "disk": check_disk,
    "rate_limits": check_rate_limits,
    "redis": check_redis,
}
