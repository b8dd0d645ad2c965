"""Counts requests, and leads by what became of them.

Without METRICS=on or METRICS_PORT, no function runs before or after a request.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from flask import Flask, Response, request

from leadapi import logs
from leadapi.config import Settings
from leadapi.limits.policies import CAPTURE

if TYPE_CHECKING:
    from leadapi.metrics.numbers import Numbers

# The outcomes that views note for the log, and their labels. logging reserves `created` for the time of a record.
NOTED = {"stored": "created"} | {
    name: name for name in ("merged", "ignored", "duplicate", "quarantined", "replayed", "invalid")
}
# The others follow from the status of the answer.
OUTCOMES = (*NOTED.values(), "limited", "unauthorized", "failed")
# The labels for a path that is no route, and for a method that is none of HTTP.
UNMATCHED = "unmatched"
OTHER = "other"


def init_app(app: Flask, settings: Settings) -> None:
    """Count every request."""
    if not settings.has_metrics:
        return
    # Here, because prometheus_client looks at the environment when it is imported, and takes time.
    from leadapi.metrics.numbers import Numbers  # noqa: PLC0415  # see above

    numbers = app.extensions["metrics"] = Numbers(app, settings, OUTCOMES)
    app.extensions["count_attempt"] = numbers.count_attempt
    app.before_request(numbers.busy.inc)

    def end(response: Response) -> Response:
        _count(numbers, response.status_code)
        if response.is_streamed and not response.direct_passthrough:
            response.call_on_close(numbers.busy.dec)
        else:
            # Werkzeug does not tell when it has passed a file through.
            numbers.busy.dec()
        return response

    app.after_request(end)


def _count(numbers: "Numbers", status: int) -> None:
    route = request.url_rule.rule if request.url_rule else UNMATCHED
    method = request.method if request.method in logs.METHODS else OTHER
    numbers.count_request(route, method, status, logs.seconds())
    if (method, route) in CAPTURE:
        numbers.count_captures(_outcomes(status, logs.facts()))


def _outcomes(status: int, facts: Mapping[str, int | str]) -> Mapping[str, int]:
    """How many leads of a request met each outcome."""
    if status >= 500:
        # The transaction was rolled back, so its notes do not count.
        return {"failed": 1}
    if noted := {outcome: int(facts[name]) for name, outcome in NOTED.items() if name in facts}:
        return noted
    if status == 429:
        return {"limited": 1}
    if status in (401, 403):
        return {"unauthorized": 1}
    return {"invalid": 1} if status >= 400 else {}
