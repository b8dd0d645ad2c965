"""The log: one JSON object per line on standard output. It contains ids and no personal data."""

import logging
import logging.config
import re
import secrets
import sys
import time
import traceback
from collections.abc import Mapping
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, NamedTuple

import click
import orjson
from flask import Flask, Response, g, has_request_context, request

from leadapi.config import Settings

REQUEST_ID = re.compile(r"^[A-Za-z0-9._:/+=-]{1,128}$")
METHODS = frozenset(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"])
# Libraries quote parts of requests in their messages: header lines, paths, addresses. A quotation begins here.
QUOTED = re.compile(r"""(?<!\w)['"]|\?|\s/|\S*(?:@|%40)""")
# gunicorn's messages about its own address, which contain nothing from a request.
OWN_ADDRESS = ("Connection in use: ", "Invalid address: ", "Can't connect to ")
MAX_FRAMES = 30
MAX_CAUSES = 10

# The attributes that every record has. All others come from `extra`.
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}

logger = logging.getLogger("leadapi.access")


def dict_config(level: str) -> dict[str, Any]:
    """The logging configuration of the application and of gunicorn, for `logging.config.dictConfig`."""
    own = {"handlers": ["lines"], "propagate": False}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"json": {"()": JsonFormatter}},
        "handlers": {
            "lines": {"()": StdoutHandler, "formatter": "json"},
            "nowhere": {"class": "logging.NullHandler"},
        },
        "root": {"level": "WARNING", "handlers": ["lines"]},
        "loggers": {
            "leadapi": {"level": level, **own},
            "gunicorn.error": {"level": level, **own},
            # The application writes the line of a request itself, also under other servers.
            "gunicorn.access": {"level": "CRITICAL", "handlers": [], "propagate": False},
            # waitress warns of every request that waits for a thread.
            "waitress.queue": {"level": "CRITICAL", "handlers": [], "propagate": False},
            # Apprise logs what it sends, and where to.
            "apprise": {"level": "WARNING", "handlers": ["nowhere"], "propagate": False},
        },
    }


class StdoutHandler(logging.Handler):
    """Writes to the current standard output; inside a `flask` command to standard error, because the command prints."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            stream = sys.stdout if click.get_current_context(silent=True) is None else sys.stderr
            stream.write(f"{self.format(record)}\n")
            stream.flush()
        except Exception:  # noqa: BLE001  # a log that cannot be written must not fail a request
            self.handleError(record)


class JsonFormatter(logging.Formatter):
    """A record as one line of JSON.

    The message of an exception can contain personal data, so only its type and traceback are logged.
    """

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": self._event(record),
        }
        if has_request_context() and (logged := g.get("logged")):
            line["request_id"] = logged.request_id
        line |= {name: value for name, value in vars(record).items() if name not in _STANDARD}
        if record.exc_info and record.exc_info[0] is not None:
            line["error"], line["cause"], line["stack"] = describe(*record.exc_info)
        try:
            return orjson.dumps(line, str, orjson.OPT_UTC_Z).decode()
        except orjson.JSONEncodeError:
            # logging would print a record that cannot be formatted, with all its data.
            safe = {name: line[name] for name in ("time", "level", "logger")}
            return orjson.dumps({**safe, "event": "log.failed"}, option=orjson.OPT_UTC_Z).decode()

    @staticmethod
    def _event(record: logging.LogRecord) -> str:
        if record.name.partition(".")[0] != "leadapi":
            message = record.getMessage()
            if message.startswith(OWN_ADDRESS):
                return message
            words, *quoted = QUOTED.split(message, maxsplit=1)
            return f"{words}…" if quoted else words
        # Flask's message contains the path.
        return "request.failed" if record.funcName == "log_exception" else record.getMessage()


def describe(
    kind: type[BaseException], error: BaseException | None, trace: TracebackType | None
) -> tuple[str, list[str], list[str]]:
    """An exception without its message: its type, the types of its causes, and its traceback."""
    causes: list[str] = []
    cause = error
    # Causes can be circular.
    while len(causes) < MAX_CAUSES and (
        cause := cause and (getattr(cause, "orig", None) or cause.__cause__ or cause.__context__)
    ):
        state = getattr(cause, "sqlstate", None) or getattr(cause, "sqlite_errorname", None)
        causes.append(f"{type(cause).__qualname__} {state}" if state else type(cause).__qualname__)
    frames = traceback.extract_tb(trace)[-MAX_FRAMES:]
    return kind.__qualname__, causes, [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]


def note(**facts: int | str) -> None:
    """Add ids and counts to the line of this request. Personal data is not allowed here."""
    g.logged.facts.update(facts)


def facts() -> Mapping[str, int | str]:
    """The facts that were noted about this request."""
    noted: Mapping[str, int | str] = g.logged.facts
    return noted


def seconds() -> float:
    """For how long this request has been worked on."""
    started: float = g.logged.started
    return time.perf_counter() - started


def init_app(app: Flask, settings: Settings) -> None:
    """Log a line for each request, and send its id with the response."""
    logging.config.dictConfig(dict_config(settings.log_level))
    # Facts about each record that no line shows, and that cost time (Logging HOWTO, Optimization).
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    for warning in settings.warnings:
        logging.getLogger("leadapi.config").warning("settings.unknown", extra={"reason": warning})
    app.before_request(_begin)
    app.after_request(_end)


class _Logged(NamedTuple):
    """The content of the log line of a request, as far as it is known before the response."""

    started: float
    request_id: str
    facts: dict[str, int | str]


def _begin() -> None:
    given = request.environ.get("HTTP_X_REQUEST_ID", "")
    request_id = given if REQUEST_ID.fullmatch(given) else secrets.token_hex(16)
    g.logged = _Logged(time.perf_counter(), request_id, {})


def _end(response: Response) -> Response:
    logged: _Logged = g.logged
    response.headers["X-Request-Id"] = logged.request_id
    method = request.method
    logger.info(
        "request",
        extra={
            "method": method if method in METHODS else "…",
            "path": _path(),
            "status": response.status_code,
            "duration_ms": round(seconds() * 1000, 2),
            **logged.facts,
        },
    )
    return response


def _path() -> str:
    """The path if it contains nothing that a client can choose freely; otherwise the route's pattern."""
    rule, view_args = request.url_rule, request.view_args
    if rule is None:
        return "…"
    if not view_args or all(isinstance(value, int) for value in view_args.values()):
        return request.path
    return rule.rule
