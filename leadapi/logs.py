"""The log: one JSON object a line on standard output, with ids and never with people."""

import logging
import logging.config
import re
import secrets
import sys
import time
import traceback
from datetime import UTC, datetime
from types import TracebackType
from typing import Any

import click
import orjson
from flask import Flask, Response, g, has_request_context, request

from leadapi.config import Settings

REQUEST_ID = re.compile(r"^[A-Za-z0-9._:/+=-]{1,128}$")
METHODS = frozenset(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"])
# Where a library begins to quote what it was sent: a header line, a path, an address.
QUOTED = re.compile(r"""(?<!\w)['"]|\?|\s/|\S*(?:@|%40)""")
MAX_FRAMES = 30
MAX_CAUSES = 10

# What every record has; anything else on it was given by the caller as `extra`.
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}

logger = logging.getLogger("leadapi.access")


def dict_config(level: str) -> dict[str, Any]:
    """The one logging configuration, for the application and for gunicorn (`logging.config` schema)."""
    own = {"handlers": ["lines"], "propagate": False}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"json": {"()": JsonFormatter}},
        "handlers": {"lines": {"()": StdoutHandler, "formatter": "json"}},
        "root": {"level": "WARNING", "handlers": ["lines"]},
        "loggers": {
            "leadapi": {"level": level, **own},
            "gunicorn.error": {"level": level, **own},
            # The application writes a line for each request itself, whatever server it runs under.
            "gunicorn.access": {"level": "CRITICAL", "handlers": [], "propagate": False},
            # waitress warns of every request that waits for a thread.
            "waitress.queue": {"level": "CRITICAL", "handlers": [], "propagate": False},
        },
    }


class StdoutHandler(logging.StreamHandler[Any]):
    """Writes to what standard output is at the time; a command's own output has that for itself."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> Any:
        """The stream, as `StreamHandler` wants it."""
        return sys.stdout if click.get_current_context(silent=True) is None else sys.stderr


class JsonFormatter(logging.Formatter):
    """A record as one line of JSON.

    The words of an exception may repeat what a person wrote, so only its type and its place in
    the code are kept.
    """

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": self._event(record),
        }
        if has_request_context() and "request_id" in g:
            line["request_id"] = g.request_id
        line |= {name: value for name, value in vars(record).items() if name not in _STANDARD}
        if record.exc_info and record.exc_info[0] is not None:
            line["error"], line["cause"], line["stack"] = describe(*record.exc_info)
        try:
            return orjson.dumps(line, str, orjson.OPT_UTC_Z).decode()
        except orjson.JSONEncodeError:
            # What cannot be written is left out; logging itself would print it as it is.
            safe = {name: line[name] for name in ("time", "level", "logger")}
            return orjson.dumps({**safe, "event": "log.failed"}, option=orjson.OPT_UTC_Z).decode()

    @staticmethod
    def _event(record: logging.LogRecord) -> str:
        if record.name.partition(".")[0] != "leadapi":
            words, *quoted = QUOTED.split(record.getMessage(), maxsplit=1)
            return f"{words}…" if quoted else words
        # Flask puts the path into its message.
        return "request.failed" if record.funcName == "log_exception" else record.getMessage()


def describe(
    kind: type[BaseException], error: BaseException | None, trace: TracebackType | None
) -> tuple[str, list[str], list[str]]:
    """An exception without its words: its type, the types of its causes, and where it went through."""
    causes: list[str] = []
    cause = error
    # Causes can go round in a circle.
    while len(causes) < MAX_CAUSES and (
        cause := cause and (getattr(cause, "orig", None) or cause.__cause__ or cause.__context__)
    ):
        state = getattr(cause, "sqlstate", None) or getattr(cause, "sqlite_errorname", None)
        causes.append(f"{type(cause).__qualname__} {state}" if state else type(cause).__qualname__)
    frames = traceback.extract_tb(trace)[-MAX_FRAMES:]
    return kind.__qualname__, causes, [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]


def note(**facts: int | str) -> None:
    """Add facts to the line of this request: ids and counts, never what a person wrote."""
    g.facts.update(facts)


def init_app(app: Flask, settings: Settings) -> None:
    """Write a line for each request, and answer its id."""
    logging.config.dictConfig(dict_config(settings.log_level))
    app.before_request(_begin)
    app.after_request(_end)


def _begin() -> None:
    g.started = time.perf_counter()
    given = request.headers.get("X-Request-Id", "")
    g.request_id = given if REQUEST_ID.fullmatch(given) else secrets.token_hex(16)
    g.facts = {}


def _end(response: Response) -> Response:
    response.headers["X-Request-Id"] = g.request_id
    logger.info(
        "request",
        extra={
            "method": request.method if request.method in METHODS else "…",
            "path": _path(),
            "status": response.status_code,
            "duration_ms": round((time.perf_counter() - g.started) * 1000, 2),
            **g.facts,
        },
    )
    return response


def _path() -> str:
    """The path where it is ours; where others may have put anything into it, only its form."""
    if request.url_rule is None:
        return "…"
    if all(isinstance(value, int) for value in (request.view_args or {}).values()):
        return request.path
    return request.url_rule.rule
