"""When a failed delivery is tried again."""

import pytest

from leadapi.destinations.kinds import CONNECTION, STATUS, TIMEOUT, Outcome
from leadapi.destinations.outcomes import retry_seconds

DAY = 24 * 3600


@pytest.mark.parametrize(
    ("attempts", "seconds"),
    [(1, 5), (2, 300), (3, 1800), (4, 7200), (5, 18000), (6, 36000), (7, 36000)],
)
def test_pauses_get_longer_and_vary_by_a_fifth(attempts: int, seconds: int) -> None:
    pauses = [retry_seconds(Outcome(error=STATUS, status=500), attempts) or 0 for _ in range(200)]

    assert seconds * 0.8 <= min(pauses) < seconds * 0.9
    assert seconds * 1.1 < max(pauses) <= seconds * 1.2


@pytest.mark.parametrize("attempts", [8, 9, 100])
def test_no_attempt_follows_the_eighth(attempts: int) -> None:
    assert retry_seconds(Outcome(error=CONNECTION), attempts) is None


def test_no_attempt_follows_a_final_failure() -> None:
    assert retry_seconds(Outcome(error=STATUS, status=410, is_final=True), 1) is None


@pytest.mark.parametrize("outcome", [Outcome(error=TIMEOUT), Outcome(error=STATUS, status=429)])
def test_a_busy_receiver_gets_a_minute(outcome: Outcome) -> None:
    assert retry_seconds(outcome, 1) == 60
    assert (retry_seconds(outcome, 2) or 0) > 200


@pytest.mark.parametrize(
    ("retry_after", "least", "most"),
    [(0, 4, 6), (3, 4, 6), (1000, 1000, 1000), (DAY, DAY, DAY), (10 * DAY, DAY, DAY)],
)
def test_retry_after_counts_from_the_schedules_pause_up_to_a_day(retry_after: float, least: int, most: int) -> None:
    outcome = Outcome(error=STATUS, status=503, retry_after=retry_after)

    assert least <= (retry_seconds(outcome, 1) or 0) <= most
