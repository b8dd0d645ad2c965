"""Deliver inside the server: a dispatcher in each process that answers requests (DELIVERY=embedded)."""

import threading
from functools import partial

from flask import Flask, has_request_context, request

from leadapi.config import Settings
from leadapi.destinations.dispatcher import Dispatcher, Pace
from leadapi.storage import transactions

# Senders compete with requests for the interpreter. With this pace, POST keeps more than 80 % of its throughput: see
# .github/decisions/0006-deliveries-by-trigger.md.
PACE = Pace(slots=16, pass_seconds=0.1, most_per_pass=10, share=0.05, poll_seconds=1.0)


def init_app(app: Flask, settings: Settings) -> None:
    """Deliver in this process from its first committed request on, if its server has not called `start` before."""
    app.extensions["dispatcher"] = None
    # Other features add what makes a thread with `start` and `stop`, to run wherever a dispatcher runs.
    app.extensions["background_threads"] = []
    app.extensions["dispatcher_lock"] = threading.Lock()
    if settings.delivery == "embedded":
        app.extensions["after_commit"] = partial(_start_if_serving, app)


def start(app: Flask) -> None:
    """Deliver in this process, unless DELIVERY=external. A server that forks calls this afterwards."""
    if app.extensions["settings"].delivery == "external":
        return
    with app.extensions["dispatcher_lock"]:
        if app.extensions["dispatcher"] is None:
            dispatcher = app.extensions["dispatcher"] = Dispatcher(app, PACE)
            app.extensions["after_commit"] = dispatcher.news.set
            dispatcher.start()


def stop(app: Flask) -> None:
    """Stop delivering, and hand back leases."""
    if app.extensions["dispatcher"] is not None:
        app.extensions["dispatcher"].stop()


def _start_if_serving(app: Flask) -> None:
    """Decide after the first commit of a request: commands and the clients of tests do not deliver."""
    if not has_request_context():
        return
    if "SERVER_SOFTWARE" in request.environ:
        start(app)
    else:
        app.extensions["after_commit"] = transactions.wake_nobody
