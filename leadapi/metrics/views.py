"""Shows the metrics: at /metrics to callers with the scope `admin`, and on METRICS_PORT to everybody.

They are no JSON, so the OpenAPI document does not contain them.
"""

from collections.abc import Iterable
from typing import Any
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from flask import Blueprint, Flask, Response, current_app
from sqlalchemy import event
from sqlalchemy.pool import ConnectionPoolEntry

from leadapi.config import Settings
from leadapi.storage import db

PATH = "/metrics"
# A format that every version of Prometheus reads.
TEXT = "text/plain; version=0.0.4; charset=utf-8"

blp = Blueprint("metrics", __name__)


@blp.get(PATH)
def show_metrics() -> Response:
    """All metrics. Operations that declare no scope need `admin`."""
    return Response(current_app.extensions["metrics"].text(), content_type=TEXT)


def init_app(app: Flask, settings: Settings) -> None:
    """Register what the settings ask for."""
    if not settings.has_metrics:
        return
    with app.app_context():
        _watch_pool(app)
    if settings.metrics:
        app.register_blueprint(blp)
    if settings.metrics_port:
        app.wsgi_app = _on_port(str(settings.metrics_port), app)  # type: ignore[method-assign]  # documented


def _watch_pool(app: Flask) -> None:
    connections = app.extensions["metrics"].connections
    counted: set[ConnectionPoolEntry] = set()

    @event.listens_for(db.engine, "checkout")
    def checkout(_connection: Any, record: ConnectionPoolEntry, _proxy: Any) -> None:
        counted.add(record)
        connections.inc()

    @event.listens_for(db.engine, "checkin")
    def checkin(_connection: Any, record: ConnectionPoolEntry) -> None:
        # A connection that could not be made is checked in without having been checked out.
        if record in counted:
            counted.remove(record)
            connections.dec()


def _on_port(port: str, app: Flask) -> Any:
    """Middleware: on this port there is nothing but the metrics."""
    inner: WSGIApplication = app.wsgi_app

    def call(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ.get("SERVER_PORT") != port:
            return inner(environ, start_response)
        if environ["PATH_INFO"] != PATH:
            return Response("There is nothing but /metrics.\n", 404, content_type=TEXT)(environ, start_response)
        return Response(app.extensions["metrics"].text(), content_type=TEXT)(environ, start_response)

    return call
