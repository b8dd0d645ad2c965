"""The dispatcher: one thread that claims due deliveries and records outcomes, and threads that send.

Only the first thread uses the database, and sending happens outside of any transaction. Any number of dispatchers may
work on one database.
"""

import logging
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from queue import Empty, SimpleQueue
from typing import Any

from flask import Flask

from leadapi import storage
from leadapi.config import Settings
from leadapi.destinations import leases, messages, notices, notify, outcomes, retention, service
from leadapi.destinations.kinds import CONNECTION, FAILING, Message, Outcome
from leadapi.destinations.leases import Claim
from leadapi.destinations.outcomes import Attempt
from leadapi.destinations.slots import Slots
from leadapi.storage import schema

# Kinds that send several messages as one, how many at most, and how long they wait for more.
COLLECTING = service.EMAIL
MAX_COLLECTED = 50
COLLECTING_TIME = timedelta(seconds=2)
PAUSE = timedelta(seconds=60)
# How long a stopping dispatcher waits for the attempts that are running.
STOP_SECONDS = 2.0
# How long the dispatcher waits after an error, and for the write lock of SQLite.
ERROR_SECONDS = 1.0
PATIENCE_SECONDS = 5.0
# The latest start of the first retention, the pause between two transactions of it, and that between two runs.
FIRST_RETENTION_SECONDS = 60.0
STEP_SECONDS = 0.1
RETENTION_SECONDS = 3600.0

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How fast a dispatcher works.

    :param slots: how many attempts may run at the same time.
    :param pass_seconds: the least time between the starts of two passes.
    :param most_per_pass: how many attempts a pass may start.
    :param share: the part of one processor that passes and attempts may use, roughly.
    :param poll_seconds: how long to wait for a wake-up before the next pass.
    """

    slots: int
    pass_seconds: float
    most_per_pass: int
    share: float
    poll_seconds: float


@dataclass(frozen=True, kw_only=True)
class Job:
    """An attempt for a sender.

    :param destination: its row.
    """

    destination: Any
    messages: Mapping[Claim, Message]


class Dispatcher:
    """Delivers the events of an app's database."""

    def __init__(self, app: Flask, pace: Pace) -> None:
        self._app, self._pace = app, pace
        self._settings: Settings = app.extensions["settings"]
        self._is_synced = False
        # Set when something may be due: after a commit, and at the end of an attempt.
        self.news = threading.Event()
        self._is_stopping = threading.Event()
        self._slots = Slots(pace.slots)
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._count: Callable[[str], None] | None = app.extensions.get("count_attempt")
        # With the processor time that the attempts took.
        self._ended: SimpleQueue[tuple[Job, list[Attempt], float]] = SimpleQueue()
        self._used = 0.0
        # Outcomes that are not in the database yet.
        self._unrecorded: list[Attempt] = []
        self._running: dict[int, Job] = {}
        self._senders = 0
        self._is_unwell = False
        self._purge: Iterator[int] | None = None
        self._next_purge = time.monotonic() + random.uniform(0, FIRST_RETENTION_SECONDS)  # noqa: S311  # no secret
        self._last_pass = datetime.now(UTC)
        self._thread = threading.Thread(target=self._run, name="dispatcher", daemon=True)

    def start(self) -> None:
        """Begin to deliver, in threads of its own."""
        self._background_threads = [make() for make in self._app.extensions["background_threads"]]
        for thread in (self._thread, *self._background_threads):
            thread.start()

    def stop(self) -> None:
        """Start no more attempts, wait a moment for those that are running, and hand back their leases."""
        self._is_stopping.set()
        self.news.set()
        for thread in self._background_threads:
            thread.stop()
        self._thread.join()

    def _run(self) -> None:
        while not self._is_stopping.is_set():
            started, self._used = time.monotonic(), -time.thread_time()
            rest = self._guarded_pass()
            self._used += time.thread_time()
            pause = max(self._pace.pass_seconds, min(self._used / self._pace.share, self._pace.poll_seconds))
            self._is_stopping.wait(pause - (time.monotonic() - started))
            self.news.wait(max(rest - (time.monotonic() - started), 0))
            # Whatever happens from here on wakes the dispatcher after the next pass.
            self.news.clear()
        self._finish()

    def _guarded_pass(self) -> float:
        """A pass that logs an error once, and not again before a pass has succeeded."""
        try:
            with self._app.app_context():
                rest = self._pass()
        except Exception as exc:
            is_down = schema.is_outage(exc)
            if not is_down:
                # If the database refuses an outcome, it would refuse it again. The leases end by themselves.
                self._unrecorded.clear()
            if not self._is_unwell:
                reason = type(exc).__name__
                logger.warning("deliveries.paused", exc_info=None if is_down else exc, extra={"reason": reason})
            self._is_unwell = True
            self._is_stopping.wait(ERROR_SECONDS)
            return 0.0
        if self._is_unwell:
            logger.info("deliveries.resumed")
            self._is_unwell = False
        return rest

    def _pass(self) -> float:
        """Record outcomes and start attempts; return how many seconds may pass until there is something to do."""
        self._collect()
        if not self._is_synced:
            notify.sync_settings(self._settings)
            self._is_synced = True
        now = datetime.now(UTC)
        if now < self._last_pass:
            # The clock was set back. The first step of the retention mends what is due too late because of that.
            self._purge, self._next_purge = None, time.monotonic()
        self._last_pass = now
        poll = timedelta(seconds=self._pace.poll_seconds)
        with storage.read() as connection:
            due = leases.due_destinations(connection, now + poll)
        ready = {row.id: row for row in due if _ready_at(row) <= now}
        shares = self._slots.shares(
            {key: row.failing_since is not None for key, row in ready.items()}, self._pace.most_per_pass
        )
        if (self._unrecorded or shares) and (claimed := self._write(ready, shares, now)):
            self._begin(claimed)
        self._continue_purge()
        if sum(shares.values()) == self._pace.most_per_pass:
            return 0.0
        waits = [(_ready_at(row) - now).total_seconds() for row in due if row.id not in ready]
        return min([self._pace.poll_seconds, self._next_purge - time.monotonic(), *waits])

    def _write(
        self, ready: Mapping[int, Any], shares: Mapping[int, int], now: datetime
    ) -> list[tuple[Any, list[Claim]]]:
        """Record outcomes and claim deliveries, in one transaction; return what each destination is to get."""
        claimed = []
        # A transaction with a patience of its own does not open the breaker, so requests still wait for the lock. If it
        # is lost, the deliveries are attempted again.
        with storage.write(patience=PATIENCE_SECONDS, asynchronous=True) as tx:
            disabled = outcomes.record(tx, self._unrecorded)
            for destination_id, share in shares.items():
                row = ready[destination_id]
                most, idle_since = (MAX_COLLECTED, now - PAUSE) if row.kind == COLLECTING else (share, None)
                if claims := leases.claim(tx, destination_id, now, most=most, idle_since=idle_since):
                    claimed.append((row, claims))
        self._unrecorded.clear()
        self._announce(disabled)
        return claimed

    def _announce(self, disabled: Mapping[int, str]) -> None:
        """Log which destinations were disabled, and tell the operator of those that kept failing."""
        for destination_id, reason in disabled.items():
            logger.warning("destination.disabled", extra={"destination_id": destination_id, "reason": reason})
            if reason == FAILING:
                arguments = (destination_id, self._settings)
                threading.Thread(target=notices.send_disabled, args=arguments, name="notice", daemon=True).start()

    def _begin(self, claimed: Sequence[tuple[Any, Sequence[Claim]]]) -> None:
        """Give claimed deliveries to the senders."""
        with storage.read() as connection:
            rendered = messages.render(connection, [claim for _, claims in claimed for claim in claims])
        for row, claims in claimed:
            sent = {claim: message for claim in claims if (message := rendered.get(claim)) is not None}
            self._unrecorded += [
                _attempt(row.id, claim, None if claim in rendered else Outcome(error=CONNECTION), 0.0)
                for claim in claims
                if claim not in sent
            ]
            collects = row.kind == COLLECTING and sent
            for part in [sent] if collects else [{claim: message} for claim, message in sent.items()]:
                self._send_soon(Job(destination=row, messages=part))

    def _send_soon(self, job: Job) -> None:
        if self._senders <= self._slots.taken:
            # Not a ThreadPoolExecutor: a process that ends would wait for its threads.
            threading.Thread(target=self._send_all, name="sender", daemon=True).start()
            self._senders += 1
        self._running[id(job)] = job
        self._slots.take(job.destination.id, is_failing=job.destination.failing_since is not None)
        self._jobs.put(job)

    def _send_all(self) -> None:
        while (job := self._jobs.get()) is not None:
            started, used, row = time.monotonic(), time.thread_time(), job.destination
            try:
                outcome = service.KINDS[row.kind].send(
                    messages.target(row), list(job.messages.values()), self._settings
                )
            except Exception:
                logger.exception("delivery.crashed", extra={"destination_id": row.id})
                outcome = Outcome(error=CONNECTION)
            seconds = time.monotonic() - started
            attempts = [_attempt(row.id, claim, outcome, seconds) for claim in job.messages]
            self._ended.put((job, attempts, time.thread_time() - used))
            self.news.set()

    def _collect(self) -> None:
        """Take the outcomes of the attempts that have ended."""
        with suppress(Empty):
            while True:
                job, attempts, used = self._ended.get_nowait()
                self._used += used
                del self._running[id(job)]
                self._slots.free(job.destination.id)
                self._unrecorded += attempts
                for attempt in attempts:
                    outcomes.log_failure(attempt)
                    if self._count and attempt.outcome:
                        self._count(outcomes.name_of(attempt.outcome, attempt.claim.attempts))

    def _continue_purge(self) -> None:
        """Make one step of the retention, if it is time for it."""
        if time.monotonic() < self._next_purge:
            return
        # After an error, the retention begins again.
        purge, self._purge = self._purge or retention.purge(storage.now()), None
        pause = RETENTION_SECONDS
        if next(purge, None) is not None:
            self._purge, pause = purge, STEP_SECONDS
        self._next_purge = time.monotonic() + pause

    def _finish(self) -> None:
        """Record what is known, and hand back the leases of attempts that are still running."""
        deadline = time.monotonic() + STOP_SECONDS
        while True:
            self.news.clear()
            self._collect()
            if not self._running or not self.news.wait(max(0, deadline - time.monotonic())):
                break
        for _ in range(self._senders):
            self._jobs.put(None)
        claims = [claim for job in self._running.values() for claim in job.messages]
        if not claims and not self._unrecorded:
            return
        try:
            with self._app.app_context(), storage.write(patience=STOP_SECONDS) as tx:
                disabled = outcomes.record(tx, self._unrecorded)
                leases.hand_back(tx, claims, storage.now())
            self._announce(disabled)
        except storage.UNAVAILABLE as exc:
            # The leases end by themselves.
            logger.warning("deliveries.not_handed_back", extra={"reason": type(exc).__name__})


def _ready_at(row: Any) -> datetime:
    """When the oldest due delivery of a destination can be sent."""
    ready: datetime = row.due_at
    if row.kind == COLLECTING:
        ready += COLLECTING_TIME
        # A time in the future was written before the clock was set back.
        if row.last_attempt_at is not None and row.last_attempt_at <= datetime.now(UTC):
            ready = max(ready, row.last_attempt_at + PAUSE)
    return ready


def _attempt(destination_id: int, claim: Claim, outcome: Outcome | None, seconds: float) -> Attempt:
    return Attempt(destination_id, claim, outcome, round(seconds * 1000), datetime.now(UTC))
