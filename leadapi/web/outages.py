"""Answers 503 while the database cannot answer."""

import logging
from http import HTTPStatus

from flask import Flask, Response
from sqlalchemy.exc import InternalError, OperationalError, ProgrammingError

from leadapi.storage import UNAVAILABLE
from leadapi.storage.schema import SchemaNotCurrent, lacks_schema
from leadapi.web.problems import SENTENCES, problem

# PostgreSQL's read_only_sql_transaction: a standby, or a primary during a failover.
READ_ONLY = "25006"

logger = logging.getLogger(__name__)


def init_app(app: Flask) -> None:
    """Register the handlers."""
    for error in UNAVAILABLE:
        app.register_error_handler(error, _answer_unavailable)
    app.register_error_handler(ProgrammingError, _answer_programming_error)
    app.register_error_handler(InternalError, _answer_internal_error)


def _answer_unavailable(error: Exception) -> Response:
    # The same request may succeed soon. If the connection broke during COMMIT, the lead may be stored: then the
    # repeated request gets 409.
    if isinstance(error, OperationalError) and lacks_schema(error):
        return problem(503, str(SchemaNotCurrent()))
    if getattr(getattr(error, "orig", None), "sqlite_errorname", None) == "SQLITE_ERROR":
        # A faulty statement, which PostgreSQL reports as a ProgrammingError.
        raise error
    # The driver's message tells the operator what is down. In these classes it contains no data.
    cause = getattr(error, "orig", None) or error
    logger.warning("database.unavailable", extra={"error": type(cause).__name__, "reason": str(cause).strip()})
    return problem(503, SENTENCES[HTTPStatus.SERVICE_UNAVAILABLE])


def _answer_programming_error(error: ProgrammingError) -> Response:
    if lacks_schema(error):
        return problem(503, str(SchemaNotCurrent()))
    raise error


def _answer_internal_error(error: InternalError) -> Response:
    if getattr(error.orig, "sqlstate", None) == READ_ONLY:
        return _answer_unavailable(error)
    raise error
