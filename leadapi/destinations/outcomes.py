"""The outcomes of attempts: when a delivery is tried again, and when its destination is disabled."""

import logging
import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, bindparam, update

from leadapi.destinations.kinds import AUTH, FAILING, TIMEOUT, Outcome
from leadapi.destinations.leases import Claim, is_held
from leadapi.destinations.models import CANCELLED, DELIVERED, DUE, FAILED, Destination
from leadapi.destinations.queue import deliveries

# How long after each attempt the next one follows. After the last attempt the delivery has failed.
RETRY_SECONDS: tuple[float, ...] = (5, 300, 1800, 7200, 18000, 36000, 36000)
# Deliveries that failed together must not be tried again together.
JITTER = 0.2
# A receiver that is too busy gets at least this pause, and at most the longest that it may ask for.
BUSY_SECONDS = 60.0
MAX_RETRY_AFTER_SECONDS = 24 * 3600
# A destination of which every attempt failed for so long is disabled.
FAILING_TIME = timedelta(days=5)

# How an attempt can end.
RETRIED = "retried"
OUTCOMES = (DELIVERED, RETRIED, FAILED)

logger = logging.getLogger(__name__)

_destinations = Destination.metadata.tables["destinations"]
_finish = (
    update(deliveries)
    .where(is_held)
    .values(
        state=bindparam("next_state"),
        due_at=bindparam("next_at"),
        lease=None,
        status=bindparam("answer_status"),
        error=bindparam("failure"),
        duration_ms=bindparam("took_ms"),
        excerpt=bindparam("answer"),
    )
)
_cancel = update(deliveries).where(is_held).values(state=CANCELLED, lease=None)
_one = _destinations.c.id == bindparam("destination_id")
_recover = update(_destinations).where(_one, _destinations.c.failing_since.is_not(None)).values(failing_since=None)
_fail = (
    update(_destinations).where(_one, _destinations.c.failing_since.is_(None)).values(failing_since=bindparam("now"))
)
_disable = (
    update(_destinations)
    .where(_one, _destinations.c.enabled)
    .values(enabled=False, disabled_reason=bindparam("reason"))
    .returning(_destinations.c.id)
)
_disable_failing = _disable.where(_destinations.c.failing_since <= bindparam("limit"))


@dataclass(frozen=True)
class Attempt:
    """An attempt that has ended.

    :param outcome: None if the event is gone, so that there was nothing to send.
    :param ended_at: when it ended; the next attempt counts from this time.
    """

    destination_id: int
    claim: Claim
    outcome: Outcome | None
    duration_ms: int
    ended_at: datetime


def record(tx: Connection, attempts: Sequence[Attempt]) -> dict[int, str]:
    """Write down how attempts ended, as part of the transaction `tx`.

    An attempt whose lease has ended does not change its delivery: another dispatcher may be attempting it.

    :return: the destinations that were disabled, and why.
    """
    # In the same order in all transactions, so that they do not end in a deadlock.
    attempts = sorted(attempts, key=lambda attempt: attempt.claim.delivery_id)
    cancelled = [_held(attempt.claim) for attempt in attempts if attempt.outcome is None]
    if cancelled:
        tx.execute(_cancel, cancelled)
    finished = [(attempt, attempt.outcome) for attempt in attempts if attempt.outcome is not None]
    if finished:
        tx.execute(_finish, [_finished(attempt, outcome) for attempt, outcome in finished])
    disabled: dict[int, str] = {}
    for destination_id in sorted({attempt.destination_id for attempt, _ in finished}):
        own = [each for each in finished if each[0].destination_id == destination_id]
        if reason := _judge(tx, destination_id, sorted(own, key=lambda each: each[0].ended_at)):
            disabled[destination_id] = reason
    return disabled


def retry_seconds(outcome: Outcome, attempts: int) -> float | None:
    """How long after this failure the next attempt follows; None if there is none.

    :param attempts: how many there were.
    """
    if _is_last(outcome, attempts):
        return None
    seconds = RETRY_SECONDS[attempts - 1] * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311  # no secret
    if outcome.error == TIMEOUT or outcome.status == 429:
        seconds = max(seconds, BUSY_SECONDS)
    return max(seconds, min(outcome.retry_after or 0, MAX_RETRY_AFTER_SECONDS))


def name_of(outcome: Outcome, attempts: int) -> str:
    """Which of `OUTCOMES` it is."""
    if outcome.error is None:
        return DELIVERED
    return FAILED if outcome.disables != AUTH and _is_last(outcome, attempts) else RETRIED


def _is_last(outcome: Outcome, attempts: int) -> bool:
    return outcome.is_final or attempts > len(RETRY_SECONDS)


def log_failure(attempt: Attempt) -> None:
    """Write a line about an attempt that failed."""
    if attempt.outcome is not None and attempt.outcome.error is not None:
        facts = {"destination_id": attempt.destination_id, "delivery_id": attempt.claim.delivery_id}
        logger.info(
            "delivery.failed", extra=facts | {"reason": attempt.outcome.error, "status": attempt.outcome.status}
        )


def _judge(tx: Connection, destination_id: int, own: Sequence[tuple[Attempt, Outcome]]) -> str | None:
    """Note whether a destination is failing, after these attempts in the order in which they ended.

    :return: why the destination was disabled; None if it was not.
    """
    last, last_outcome = own[-1]
    values = {"destination_id": destination_id, "now": last.ended_at, "limit": last.ended_at - FAILING_TIME}
    if any(outcome.error is None for _, outcome in own):
        tx.execute(_recover, values)
    if last_outcome.error is not None:
        tx.execute(_fail, values)
    reason = next((outcome.disables for _, outcome in own if outcome.disables), None)
    if reason is None and last_outcome.error is None:
        return None
    statement = _disable if reason else _disable_failing
    reason = reason or FAILING
    return reason if tx.execute(statement, values | {"reason": reason}).first() else None


def _held(claim: Claim) -> dict[str, Any]:
    return {"delivery_id": claim.delivery_id, "token": claim.token}


def _finished(attempt: Attempt, outcome: Outcome) -> dict[str, Any]:
    """The parameters of `_finish`."""
    state, next_at = DELIVERED, None
    if outcome.disables == AUTH:
        # The delivery is not at fault. It is due as soon as the destination is enabled again.
        state, next_at = DUE, attempt.ended_at
    elif outcome.error is not None:
        seconds = retry_seconds(outcome, attempt.claim.attempts)
        state = FAILED if seconds is None else DUE
        next_at = None if seconds is None else attempt.ended_at + timedelta(seconds=seconds)
    return _held(attempt.claim) | {
        "next_state": state,
        "next_at": next_at,
        "answer_status": outcome.status,
        "failure": outcome.error,
        "took_ms": attempt.duration_ms,
        "answer": outcome.excerpt,
    }
