"""The checks that ask the database."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from leadapi import storage
from leadapi.config import IN_MEMORY, Settings
from leadapi.destinations import service as destinations
from leadapi.doctor.verdicts import FAILED, OK, WARNING, CheckFunction, Verdict
from leadapi.events import service as events
from leadapi.storage import schema

# Before this version, two programs that write to a database at once can corrupt it (the WAL-reset bug).
WAL_RESET_FIXED = (3, 51, 3)
# How far two clocks may differ.
CLOCK_SECONDS = 5.0
WRONG_CLOCK_SECONDS = 60.0

_connections = text("""
    SELECT current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int,
        (SELECT rolconnlimit FROM pg_roles WHERE rolname = current_user),
        (SELECT datconnlimit FROM pg_database WHERE datname = current_database())
""")


def check_reachable(settings: Settings) -> Verdict:
    """The database answers and can be written to."""
    file = settings.database_url.database
    if _is_sqlite(settings) and file not in IN_MEMORY and not Path(str(file)).exists():
        return WARNING, (
            f"There is no file {file} yet; the service creates it when it starts. If it runs already, its DATABASE_URL"
            " or its working directory is another one."
        )
    try:
        # An empty transaction. On SQLite, it takes the write lock.
        with storage.write() as tx:
            reads_only = not _is_sqlite(settings) and tx.scalar(text("SHOW transaction_read_only")) == "on"
    except storage.WriteLockUnavailable as exc:
        return FAILED, f"{file} cannot be locked for writing ({exc}). End the program that holds the lock."
    except (SQLAlchemyError, storage.DatabaseUnavailable) as exc:
        cause = exc.orig if isinstance(exc, DBAPIError) else exc
        return FAILED, f"The database does not answer ({cause}). Check that it runs and what DATABASE_URL says."
    if reads_only:
        return FAILED, "The database can only be read: it is a standby, or its default is read-only."
    return OK, "The database answers and can be written to."


def check_migrations(settings: Settings) -> Verdict:
    """The schema is the one that this version works with."""
    current, newest = schema.current() or "", schema.newest() or ""
    if current == newest:
        return OK, f"The schema is at {current}, the newest version."
    if current > newest:
        return FAILED, f"The schema is at {current}, newer than this version of leadapi. Run the newer version."
    found = f"The schema is at {current or 'no version'}, and the newest is {newest}."
    if settings.auto_migrate:
        return WARNING, f"{found} The service migrates it when it starts; or run `flask db upgrade`."
    return FAILED, f"{found} Run `flask db upgrade`."


def check_sqlite(settings: Settings) -> Verdict | None:
    """The service queues its own writers, so the WAL-reset bug needs another program that writes."""
    if not _is_sqlite(settings):
        return None
    with storage.read() as connection:
        version = str(connection.scalar(text("SELECT sqlite_version()")))
    if tuple(map(int, version.split("."))) < WAL_RESET_FIXED:
        return OK, f"SQLite is {version}. The service writes safely; let no other program write to the database."
    return OK, f"SQLite is {version}."


def check_connections(settings: Settings) -> Verdict | None:
    """PostgreSQL refuses connections beyond its limits, and requests would get 503."""
    if _is_sqlite(settings):
        return None
    with storage.read() as connection:
        limits = [limit for limit in connection.execute(_connections).one() if limit >= 0]
    # Each pool has one more connection than threads, and a command needs one.
    needed = settings.web_concurrency * (settings.threads + 1) + 1
    found = f"The service and a command need up to {needed} connections, and PostgreSQL allows {min(limits)}."
    if needed > min(limits):
        return FAILED, f"{found} Raise max_connections, or lower WEB_CONCURRENCY or THREADS."
    return OK, found


def check_clock(settings: Settings) -> Verdict:
    """Times order the work of several hosts, and receivers refuse signatures with a wrong time."""
    with storage.read() as connection:
        newest = events.newest_at(connection)
        theirs = None if _is_sqlite(settings) else connection.scalar(text("SELECT clock_timestamp()"))
        now = datetime.now(UTC)
    if theirs is not None and (seconds := abs((theirs - now).total_seconds())) > CLOCK_SECONDS:
        status = FAILED if seconds > WRONG_CLOCK_SECONDS else WARNING
        return status, f"This clock and that of the database differ by {seconds:.0f} s. Set both by NTP."
    if newest is not None and (newest - now).total_seconds() > WRONG_CLOCK_SECONDS:
        return FAILED, (
            f"The newest event is from {newest:%Y-%m-%d %H:%M} UTC, but this clock says {now:%Y-%m-%d %H:%M} UTC. It is"
            " slow now, or was fast then. Set it by NTP."
        )
    return OK, f"This clock says {now:%Y-%m-%d %H:%M:%S} UTC."


def check_mail(settings: Settings) -> Verdict | None:
    """Destinations of the kind email need two settings."""
    with storage.read() as connection:
        if destinations.EMAIL not in destinations.kinds_in_use(connection):
            return None
    if settings.smtp_url is None:
        return FAILED, "A destination sends mail, but SMTP_URL is not set. Set it, or disable the destination."
    if settings.mail_from is None:
        return FAILED, "A destination sends mail, but MAIL_FROM is not set. Set it to the address of the sender."
    return OK, f"Mail is sent by {settings.smtp_url.host}. `flask destinations test` tries it."


def check_deliveries(settings: Settings) -> Verdict:
    """Somebody must take what is due."""
    now = datetime.now(UTC)
    with storage.read() as connection:
        neglected, due = destinations.neglected(connection, now), destinations.backlog(connection, now).due
    if not neglected:
        return OK, f"{due} deliveries are due or wait for another attempt."
    remedy = "Start `flask deliver`." if settings.delivery == "external" else "Start the service, or look into its log."
    names = ", ".join(map(str, neglected))
    return FAILED, f"No dispatcher takes what is due for more than a minute, to the destinations {names}. {remedy}"


def _is_sqlite(settings: Settings) -> bool:
    return settings.database_url.get_backend_name() == "sqlite"


STEPS: Mapping[str, CheckFunction] = {"database": check_reachable, "migrations": check_migrations}
CHECKS: Mapping[str, CheckFunction] = {
    "sqlite": check_sqlite,
    "connections": check_connections,
    "clock": check_clock,
    "mail": check_mail,
    "deliveries": check_deliveries,
}
