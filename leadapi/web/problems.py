"""What the OpenAPI document says of every error: its shape, an example, and its headers."""

from http import HTTPStatus
from typing import Any

from marshmallow import fields

from leadapi import errors, logs
from leadapi.idempotency import once
from leadapi.keys.errors import KeyRefused, ScopeMissing
from leadapi.limits.policies import FIELD, HEADERS, POLICY_FIELD
from leadapi.web import security
from leadapi.web.fields import ShownSchema


class ProblemSchema(ShownSchema):
    """What went wrong (RFC 9457)."""

    detail = fields.String(required=True, metadata={"description": "One sentence for people."})


class TypedProblemSchema(ProblemSchema):
    """What went wrong, where the status alone does not tell (RFC 9457)."""

    type = fields.String(required=True, metadata={"format": "uri"})


class InvalidFieldsSchema(ProblemSchema):
    """What is wrong with which field (RFC 9457)."""

    errors = fields.Dict(
        keys=fields.String(),
        values=fields.List(fields.String()),
        required=True,
        metadata={"description": "From field to messages."},
    )


# An example of what each error says.
PROBLEMS: dict[HTTPStatus, str] = {
    HTTPStatus.BAD_REQUEST: "The body is not valid JSON at line 1, column 2.",
    HTTPStatus.UNAUTHORIZED: str(KeyRefused("")),
    HTTPStatus.FORBIDDEN: str(ScopeMissing("read")),
    HTTPStatus.NOT_FOUND: "There is no lead with this id.",
    HTTPStatus.NOT_ACCEPTABLE: "This address answers with text/csv or application/x-ndjson.",
    HTTPStatus.CONFLICT: "Lead with this email already exists.",
    HTTPStatus.PRECONDITION_FAILED: "The lead is not as If-Match or If-None-Match expects; get it again.",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: errors.SENTENCES[HTTPStatus.REQUEST_ENTITY_TOO_LARGE],
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: "Send the body as application/json.",
    HTTPStatus.UNPROCESSABLE_ENTITY: "This field is not valid: email.",
    HTTPStatus.TOO_MANY_REQUESTS: "Too many requests; try again in 37 s.",
    HTTPStatus.INTERNAL_SERVER_ERROR: errors.SENTENCES[HTTPStatus.INTERNAL_SERVER_ERROR],
    HTTPStatus.SERVICE_UNAVAILABLE: errors.SENTENCES[HTTPStatus.SERVICE_UNAVAILABLE],
}
EMAIL_ERRORS = {"email": ["Not a valid email address."]}
RETRY_AFTER = {
    "description": "After how many seconds to try again.",
    "required": True,
    "schema": {"type": "integer", "minimum": 1},
}
TAKEN = {
    "description": "Where the lead with this address is; only for who may read leads.",
    "schema": {"type": "string", "format": "uri-reference"},
    "example": "/leads/1",
}
REQUEST_ID = {
    "description": "Names this request in the log.",
    "required": True,
    "schema": {"type": "string", "pattern": logs.REQUEST_ID.pattern},
}


# The same errors where they may also be told to people.
PAGE = "_OR_PAGE"
HTML = {"schema": {"type": "string"}, "example": "<!doctype html>…"}


def describe(spec: Any) -> None:
    """Add them to the components of an apispec document; what no operation names is left out."""
    spec.components.header("REQUEST_ID", REQUEST_ID)
    spec.components.header("RATE_LIMIT", FIELD)
    spec.components.header("RATE_LIMIT_POLICY", POLICY_FIELD)
    for status, detail in PROBLEMS.items():
        invalid = status == HTTPStatus.UNPROCESSABLE_ENTITY
        content = {
            "schema": InvalidFieldsSchema if invalid else ProblemSchema,
            "example": {"detail": detail} | ({"errors": EMAIL_ERRORS} if invalid else {}),
        }
        headers: dict[str, Any] = {"X-Request-Id": "REQUEST_ID", **HEADERS}
        if status in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE):
            headers["Retry-After"] = RETRY_AFTER
        if status in security.CHALLENGES:
            headers["WWW-Authenticate"] = security.CHALLENGES[status]
        if status == HTTPStatus.CONFLICT:
            headers["Location"] = TAKEN
        _register(spec, status.name, status.phrase, content, headers)
    running = {"schema": TypedProblemSchema, "example": once.RUNNING}
    taken = {
        # The one that asks for more comes first, for clients that take the first one that fits.
        "schema": {"anyOf": [TypedProblemSchema, ProblemSchema]},
        "example": {"detail": PROBLEMS[HTTPStatus.CONFLICT]},
    }
    headers = {
        "X-Request-Id": "REQUEST_ID",
        **HEADERS,
        "Retry-After": {**RETRY_AFTER, "required": False},
    }
    _register(spec, "RUNNING", "Conflict", running, headers)
    headers = {**headers, "Location": TAKEN, "Idempotent-Replayed": once.REPLAYED}
    _register(spec, "CONFLICT_OR_RUNNING", "Conflict", taken, headers)


def _register(spec: Any, name: str, phrase: str, content: Any, headers: Any) -> None:
    for suffix, page in (("", {}), (PAGE, {"text/html": HTML})):
        contents = {"application/problem+json": content, **page}
        answer = {"description": phrase, "content": contents, "headers": headers}
        spec.components.response(f"{name}{suffix}", answer, lazy=True)
