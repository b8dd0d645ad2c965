"""The metrics, and their text for Prometheus.

prometheus_client decides on its import whether processes share their numbers, so only `requests.init_app` imports this
module, and only where the settings ask for metrics.
"""

import platform
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from flask import Flask
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from sqlalchemy.exc import SQLAlchemyError

from leadapi import storage
from leadapi.config import Settings, metrics_folder
from leadapi.destinations import service as destinations
from leadapi.web.api import VERSION

# Requests for the database take about a millisecond, and at most five seconds if it does not answer.
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class Numbers:
    """All metrics of an app, also those of the other worker processes."""

    def __init__(self, app: Flask, settings: Settings, outcomes: Iterable[str]) -> None:
        self._app, self._settings = app, settings
        # Leave out the times at which counters began: they double the output.
        disable_created_metrics()
        self._registry = own = CollectorRegistry()
        labels = ["route", "method", "status"]
        self._requests = Counter("leadapi_requests", "Requests that were answered.", labels, registry=own)
        self._seconds = Histogram(
            "leadapi_request_seconds", "How long answers took.", labels[:2], registry=own, buckets=BUCKETS
        )
        self._captures = Counter("leadapi_captures", "Leads that were sent, by outcome.", ["outcome"], registry=own)
        self._attempts = Counter("leadapi_deliveries", "Attempts to deliver, by outcome.", ["outcome"], registry=own)
        self.busy = Gauge(
            "leadapi_threads_busy", "Threads that answer a request.", registry=own, multiprocess_mode="livesum"
        )
        self.connections = Gauge(
            "leadapi_pool_connections_used",
            "Database connections in use.",
            registry=own,
            multiprocess_mode="livesum",
        )
        # So that the first lead is an increase from 0, not a new series.
        for outcome in outcomes:
            self._captures.labels(outcome)
        for outcome in destinations.OUTCOMES:
            self._attempts.labels(outcome)

    def count_request(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count a request that is being answered."""
        self._requests.labels(route, method, status).inc()
        self._seconds.labels(route, method).observe(seconds)

    def count_captures(self, outcomes: Mapping[str, int]) -> None:
        """Count leads by their outcome."""
        for outcome, number in outcomes.items():
            self._captures.labels(outcome).inc(number)

    def count_attempt(self, outcome: str) -> None:
        """Count an attempt to deliver an event."""
        self._attempts.labels(outcome).inc()

    def text(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return generate_latest(self)

    def collect(self) -> Iterable[Metric]:
        """The counted numbers, and those of this moment. prometheus_client calls it."""
        folder = metrics_folder()
        yield from self._registry.collect() if folder is None else MultiProcessCollector(None, folder).collect()
        yield from self._constants()
        yield from self._due()

    def _constants(self) -> Iterable[Metric]:
        settings = self._settings
        build = {
            "version": VERSION,
            "python": platform.python_version(),
            "database": settings.database_url.get_backend_name(),
        }
        info = GaugeMetricFamily("leadapi_build_info", "Always 1; the labels tell the versions.", labels=list(build))
        info.add_metric(list(build.values()), 1)
        yield info
        workers = settings.web_concurrency
        yield GaugeMetricFamily("leadapi_threads", "Threads of all workers.", workers * settings.threads)
        yield GaugeMetricFamily(
            "leadapi_pool_connections", "Database connections of all workers.", workers * (settings.threads + 1)
        )

    def _due(self) -> Iterable[Metric]:
        try:
            with self._app.app_context(), storage.read() as connection:
                backlog = destinations.backlog(connection, datetime.now(UTC))
        except (SQLAlchemyError, *storage.UNAVAILABLE):
            # The other metrics tell what is the matter.
            return
        yield GaugeMetricFamily("leadapi_deliveries_due", "Deliveries that are due, or will be again.", backlog.due)
        yield GaugeMetricFamily(
            "leadapi_delivery_oldest_due_seconds",
            "For how long the delivery that waits longest could have been sent.",
            backlog.oldest_seconds,
        )
