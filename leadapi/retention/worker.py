"""The thread beside each dispatcher that erases what RETENTION says and scrubs SQLite's file at SCRUB_HOUR."""

import logging
import random
import threading
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial

from flask import Flask

from leadapi import storage
from leadapi.config import Settings
from leadapi.retention import leases, service
from leadapi.retention.leases import Lease
from leadapi.storage import schema, scrub
from leadapi.storage.erased import last_erasure

RETENTION, SCRUB = "retention", "scrub"
# How often a worker asks whether there is something to do, and how long it waits at most before it asks first.
ASK_SECONDS = 10.0
FIRST_SECONDS = 1.0
EVERY = timedelta(hours=1)
# How long a lease lasts, and how often the retention renews its lease. A scrub cannot renew it.
LASTS = {RETENTION: timedelta(minutes=1), SCRUB: timedelta(hours=1)}
RENEW_SECONDS = 15.0

logger = logging.getLogger(__name__)


def init_app(app: Flask, settings: Settings) -> None:
    """Let each dispatcher of the app have a worker beside it, if there is something to do."""
    if settings.retention or settings.scrub_hour is not None:
        app.extensions["background_threads"].append(partial(Worker, app))


class Worker:
    """Does the jobs, each of them in one process at a time."""

    def __init__(self, app: Flask) -> None:
        self._app = app
        self._settings: Settings = app.extensions["settings"]
        self._began_at = datetime.now(UTC)
        self._is_stopping = threading.Event()
        self._is_unwell = False
        self._thread = threading.Thread(target=self._run, name="retention", daemon=True)
        if self._settings.scrub_hour is not None:
            with app.app_context():
                scrub.keep_temporary_files_beside_database()

    def start(self) -> None:
        """Begin, in a thread of its own."""
        self._thread.start()

    def stop(self) -> None:
        """End what is running, which another run continues, and wait for it."""
        self._is_stopping.set()
        self._thread.join()

    def _run(self) -> None:
        # Workers start together and should not ask together.
        self._is_stopping.wait(random.uniform(0, FIRST_SECONDS))  # noqa: S311  # no secret
        while not self._is_stopping.is_set():
            self._guarded_pass()
            self._is_stopping.wait(ASK_SECONDS)

    def _guarded_pass(self) -> None:
        """A pass that logs an error once, and not again before a pass has succeeded."""
        try:
            with self._app.app_context():
                self._pass()
            self._is_unwell = False
        except Exception as exc:
            is_down = schema.is_outage(exc)
            if not self._is_unwell and not self._is_stopping.is_set():
                reason = type(exc).__name__
                logger.warning("retention.paused", exc_info=None if is_down else exc, extra={"reason": reason})
            self._is_unwell = True

    def _pass(self) -> None:
        if self._settings.retention and is_retention_due(datetime.now(UTC), self._began_at, leases.done_at(RETENTION)):
            self._do(RETENTION)
        hour = self._settings.scrub_hour
        if hour is not None and is_scrub_due(datetime.now(UTC), hour, leases.done_at(SCRUB), last_erasure()):
            self._do(SCRUB)

    def _do(self, job: str) -> None:
        lease = Lease(job, LASTS[job])
        if not lease.claim():
            return
        began_at, is_complete = datetime.now(UTC), False
        try:
            is_complete = self._retain(lease) if job == RETENTION else self._scrub()
        finally:
            lease.release(began_at if is_complete else None)

    def _retain(self, lease: Lease) -> bool:
        """Erase what is too old; return whether all of it was erased."""
        erased, renewed_at = 0, time.monotonic()
        try:
            for status, age in self._settings.retention:
                for step in service.purge(status=status, before=storage.now() - age):
                    erased += step.erased
                    if self._is_stopping.wait(step.pause):
                        return False
                    if time.monotonic() - renewed_at > RENEW_SECONDS:
                        if not lease.renew():
                            return False
                        renewed_at = time.monotonic()
        finally:
            if erased:
                storage.checkpoint(storage.db.engine)
                logger.info("retention.erased", extra={"items": erased})
        return True

    def _scrub(self) -> bool:
        # If a reader still uses the old content, the log says so, and the content goes when the reader has ended.
        with suppress(scrub.ScrubIncomplete):
            scrub.scrub(until=self._is_stopping.is_set)
        logger.info("database.scrubbed")
        return True


def is_retention_due(now: datetime, began_at: datetime, done_at: datetime | None) -> bool:
    """Whether the retention has to run: once after each start of a process, and every hour.

    :param began_at: when this process started; its settings may be new.
    """
    return done_at is None or done_at < began_at or not timedelta(0) <= now - done_at < EVERY


def is_scrub_due(now: datetime, hour: int, done_at: datetime | None, erased_at: datetime | None) -> bool:
    """Whether the file has to be scrubbed: in this hour, once, if somebody was erased since the last time."""
    if now.hour != hour or erased_at is None:
        return False
    return done_at is None or (done_at < now.replace(minute=0, second=0, microsecond=0) and done_at < erased_at)
