"""The one table from business errors to HTTP, and the one shape every error is answered in.

The shape is RFC 9457 (`application/problem+json`): `detail` is one sentence for people; a 422 adds
`errors`, a map from field to messages.
"""

import logging
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

import orjson
from flask import Flask, Response, request
from sqlalchemy.exc import InterfaceError, InternalError, OperationalError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from leadapi.idempotency.errors import KeyMalformed, KeyReused, RequestRunning
from leadapi.keys.errors import KeyMissing, KeyRefused, ScopeMissing
from leadapi.leads.errors import EmailTaken, LeadChanged, LeadMissing, TooManyAttributes
from leadapi.quarantine.errors import StampsOff
from leadapi.storage.schema import SchemaNotCurrent
from leadapi.storage.write_queue import WriteLockUnavailable
from leadapi.web.downloads import TooManyDownloads
from leadapi.web.security import REALM

logger = logging.getLogger(__name__)

CONFLICT = HTTPStatus.CONFLICT
STATUS: dict[type[Exception], HTTPStatus] = {
    EmailTaken: CONFLICT,
    KeyMalformed: HTTPStatus.BAD_REQUEST,
    KeyReused: HTTPStatus.UNPROCESSABLE_ENTITY,
    RequestRunning: CONFLICT,
    KeyMissing: HTTPStatus.UNAUTHORIZED,
    KeyRefused: HTTPStatus.UNAUTHORIZED,
    ScopeMissing: HTTPStatus.FORBIDDEN,
    LeadChanged: HTTPStatus.PRECONDITION_FAILED,
    LeadMissing: HTTPStatus.NOT_FOUND,
    TooManyAttributes: HTTPStatus.UNPROCESSABLE_ENTITY,
    StampsOff: HTTPStatus.NOT_FOUND,
    SchemaNotCurrent: HTTPStatus.SERVICE_UNAVAILABLE,
    TooManyDownloads: HTTPStatus.SERVICE_UNAVAILABLE,
}

# The headers that some of them bring. RFC 6750, 3.1: who showed nothing is told of no error.
HEADERS: dict[type[Exception], Callable[[Any], Mapping[str, str]]] = {
    RequestRunning: lambda _: {"Retry-After": "1"},
    KeyMissing: lambda _: {"WWW-Authenticate": REALM},
    KeyRefused: lambda _: {"WWW-Authenticate": f'{REALM}, error="invalid_token"'},
    ScopeMissing: lambda exc: {"WWW-Authenticate": f'{REALM}, error="insufficient_scope", scope="{exc.scope}"'},
}

# The database is down, overloaded or locked; the same request may work soon. If the connection broke
# during COMMIT, nobody can tell whether the lead is stored: then the same request is answered 409.
UNAVAILABLE = (OperationalError, InterfaceError, PoolTimeout, WriteLockUnavailable)
RETRY_AFTER_SECONDS = "5"
# PostgreSQL's undefined_table and undefined_column.
UNDEFINED = {"42P01", "42703"}
# PostgreSQL's read_only_sql_transaction: a standby, or a primary that gives way to another.
READ_ONLY = "25006"

# What a client is told where the error itself has no sentence for it.
SENTENCES = {
    HTTPStatus.NOT_FOUND: "There is nothing at this address.",
    HTTPStatus.METHOD_NOT_ALLOWED: "This address does not answer this method.",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "The body of the request is too large.",
    HTTPStatus.INTERNAL_SERVER_ERROR: "The service failed to answer this request.",
    HTTPStatus.SERVICE_UNAVAILABLE: "The database cannot answer now; try again in a moment.",
}


def problem(
    status: HTTPStatus | int,
    detail: str,
    *,
    type: str | None = None,  # noqa: A002  # the standard's name
    errors: Mapping[str, list[str]] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """An error response.

    :param detail: one sentence for people, free of anything a person wrote.
    :param type: a URI, where a client must tell two problems with one status apart.
    :param errors: for a 422, what is wrong with each field.
    """
    body: dict[str, Any] = {"type": type, "detail": detail} if type else {"detail": detail}
    if errors is not None:
        body["errors"] = errors
    response = Response(orjson.dumps(body), int(status), headers, mimetype="application/problem+json")
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        response.headers["Retry-After"] = RETRY_AFTER_SECONDS
    return response


def verdict(error: Exception) -> dict[str, Any]:
    """A business error as one of several verdicts in an answer, with the status it would have got alone."""
    fields = getattr(error, "errors", None)
    return {"status": int(STATUS[type(error)]), "detail": str(error)} | ({"errors": fields} if fields else {})


def init_app(app: Flask) -> None:
    """Answer business errors and a database that cannot answer."""
    for error, status in STATUS.items():
        app.register_error_handler(error, _handler(status, HEADERS.get(error)))
    for error in UNAVAILABLE:
        app.register_error_handler(error, _answer_unavailable)
    app.register_error_handler(ProgrammingError, _answer_wrong_statement)
    app.register_error_handler(InternalError, _answer_internal_error)


def _handler(status: HTTPStatus, headers: Callable[[Any], Mapping[str, str]] | None) -> Any:
    def answer(error: Exception) -> Response:
        told = dict(headers(error)) if headers else {}
        # An error may say which lead it is about, and what is wrong with which field.
        if lead_id := getattr(error, "lead_id", None):
            told["Location"] = f"{request.script_root}/leads/{lead_id}"
        more = {"type": getattr(error, "type", None), "errors": getattr(error, "errors", None)}
        return problem(status, str(error), headers=told, **more)

    return answer


def _answer_unavailable(error: Exception) -> Response:
    # The driver's words tell the operator what is down; this class of error holds no data.
    cause = getattr(error, "orig", None) or error
    logger.warning("database.unavailable", extra={"error": type(cause).__name__, "reason": str(cause).strip()})
    return problem(503, SENTENCES[HTTPStatus.SERVICE_UNAVAILABLE])


def _answer_wrong_statement(error: ProgrammingError) -> Response:
    # Tables that are not there yet are no bug; PostgreSQL says so in this class of error.
    if getattr(error.orig, "sqlstate", None) in UNDEFINED:
        return problem(503, str(SchemaNotCurrent()))
    raise error


def _answer_internal_error(error: InternalError) -> Response:
    if getattr(error.orig, "sqlstate", None) == READ_ONLY:
        return _answer_unavailable(error)
    raise error
