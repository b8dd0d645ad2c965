"""Read the status and the times of other products."""

import re
from datetime import UTC, datetime, timedelta, timezone

from leadapi.config_retention import STATUSES
from leadapi.web.fields import SPACES

# Year first, so that the order of day and month is clear.
_time = re.compile(
    r"""
    (\d{4})[-/](\d\d?)[-/](\d\d?)
    (?:[Tt]|,?[ ]+)
    (\d\d?):(\d\d)(?::(\d\d)(?:[.,]\d+)?)?
    [ ]*([AaPp][Mm])?
    [ ]*(Z|UTC|GMT)?[ ]*(?:([+-])(\d\d?)(?::?(\d\d))?)?
    """,
    re.ASCII | re.VERBOSE | re.IGNORECASE,
)
_utc = re.compile(r"(?<![a-z])utc(?![a-z])", re.IGNORECASE)


def names_utc(label: str) -> bool:
    """Whether the name of a column says that its times are UTC."""
    return _utc.search(label) is not None


def without_utc(label: str) -> str:
    """The name of a column without the zone of its times."""
    return _utc.sub("", label)


def read_status(text: str) -> str | None:
    """The status in any letter case; None for a status of another product."""
    status = text.strip(SPACES).lower()
    return status if status in STATUSES else None


def read_time(text: str, *, is_utc: bool) -> str | None:
    """The time with its zone (RFC 3339); None if it is not clear.

    A leap second counts as the second before it, because Python has none.

    :param is_utc: whether a time without a zone is UTC.
    """
    found = _time.fullmatch(text.strip(SPACES))
    if not found:
        return None
    year, month, day, hour, minute, second, half, zone, sign, hours, minutes = found.groups()
    if not (zone or sign or is_utc) or (half and not 1 <= int(hour) <= 12):
        return None
    clock = int(hour) % 12 + 12 * (half.lower() == "pm") if half else int(hour)
    seconds = 59 if second == "60" else int(second or 0)
    offset = timedelta(hours=int(hours or 0), minutes=int(minutes or 0)) * (-1 if sign == "-" else 1)
    # ISO 8601 has hour 24 only as the end of a day.
    ends_day = clock == 24 and int(minute) == seconds == 0
    try:
        zone_time = timezone(offset)
        date = datetime(
            int(year), int(month), int(day), 0 if ends_day else clock, int(minute), seconds, tzinfo=zone_time
        )
        utc = (date + timedelta(days=ends_day)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return f"{utc.replace(tzinfo=None).isoformat()}Z"
