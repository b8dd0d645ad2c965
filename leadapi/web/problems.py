"""The one shape of every error (RFC 9457, `application/problem+json`), and the registry of business errors.

`detail` is one sentence for people. A 422 adds `errors`, a map from field to messages. `type` appears where a client
must tell two problems with one status apart.
"""

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

import orjson
from flask import Flask, Response, current_app
from marshmallow import Schema, fields
from werkzeug.exceptions import HTTPException

from leadapi.web.fields import ShownSchema

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_SECONDS = "5"

# The sentences for statuses whose errors have none of their own.
SENTENCES = {
    HTTPStatus.NOT_FOUND: "There is nothing at this address.",
    HTTPStatus.METHOD_NOT_ALLOWED: "This address does not answer this method.",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "The body of the request is too large.",
    HTTPStatus.INTERNAL_SERVER_ERROR: "The service failed to answer this request.",
    HTTPStatus.SERVICE_UNAVAILABLE: "The database cannot answer now; try again in a moment.",
}

Headers = Callable[[Any], Mapping[str, str]]


class ProblemSchema(ShownSchema):
    """What went wrong (RFC 9457)."""

    type = fields.String(
        metadata={"format": "uri", "description": "Names the problem where its status alone is ambiguous."}
    )
    detail = fields.String(required=True, metadata={"description": "One sentence for people."})


class InvalidFieldsSchema(ProblemSchema):
    """Which fields are wrong (RFC 9457)."""

    errors = fields.Dict(
        keys=fields.String(),
        values=fields.List(fields.String()),
        required=True,
        metadata={"description": "From field to messages."},
    )


def schema_of(status: int) -> type[Schema]:
    """The schema of an error's body."""
    return InvalidFieldsSchema if status == HTTPStatus.UNPROCESSABLE_ENTITY else ProblemSchema


def problem(
    status: HTTPStatus | int,
    detail: str,
    *,
    type: str | None = None,  # noqa: A002  # the standard's name
    errors: Mapping[str, list[str]] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """An error response.

    :param detail: one sentence for people, free of personal data.
    :param type: a URI, where a client must tell two problems with one status apart.
    :param errors: for a 422, what is wrong with each field.
    """
    body = _body(detail, type, errors)
    response = Response(orjson.dumps(body), int(status), headers, mimetype=MEDIA_TYPE)
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        response.headers["Retry-After"] = RETRY_AFTER_SECONDS
    return response


def body_of(error: Exception) -> dict[str, Any]:
    """The body of the response to an error.

    :param error: a business error or an HTTPException; it may have the attributes `type` and `errors`.
    """
    detail = str(error)
    if isinstance(error, HTTPException):
        detail = SENTENCES.get(HTTPStatus(error.code or 500)) or str(error.description)
    return _body(detail, getattr(error, "type", None), getattr(error, "errors", None))


def register(app: Flask, error: type[Exception], status: HTTPStatus, headers: Headers | None = None) -> None:
    """Answer a business error with this status.

    :param headers: makes response headers from the error.
    """
    app.extensions.setdefault("problems", {})[error] = status

    def answer(error: Exception) -> Response:
        return problem(status, **body_of(error), headers=headers(error) if headers else None)

    app.register_error_handler(error, answer)


def status_of(error: Exception) -> HTTPStatus | None:
    """The status that a business error is registered with; None for any other exception."""
    status: HTTPStatus | None = current_app.extensions["problems"].get(type(error))
    return status


def verdict(error: Exception) -> dict[str, Any]:
    """A business error as one of several results in a response, with the status that it has on its own."""
    return {"status": status_of(error), **body_of(error)}


def _body(detail: str, kind: str | None, errors: Mapping[str, list[str]] | None) -> dict[str, Any]:
    body: dict[str, Any] = {"type": kind, "detail": detail} if kind else {"detail": detail}
    return body if errors is None else {**body, "errors": errors}
