"""flask-smorest bent to the contract: one error shape, fast JSON, a document that tells the truth."""

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode

import flask_smorest
import orjson
from flask import Flask, Response, request
from flask.json.provider import JSONProvider
from marshmallow import RAISE, Schema, fields
from werkzeug.exceptions import (
    HTTPException,
    NotAcceptable,
)

from leadapi import errors, logs, security
from leadapi.config import Settings
from leadapi.fields import Cursor
from leadapi.idempotency import once
from leadapi.idempotency.errors import RequestRunning
from leadapi.keys.errors import KeyRefused, ScopeMissing
from leadapi.parsing import Parser

VERSION = "1.0.0"
DESCRIPTION = """\
Captures leads: people who asked to be contacted. Each email address is stored once, whatever its spelling.

Every error is `application/problem+json` (RFC 9457). `detail` is one sentence for people.
A 422 adds `errors`, a map from field to messages.

Where the service asks for keys (`AUTH=on`), each operation says which scope it needs; `admin` includes all others.

Every answer carries `X-Request-Id`: the caller's own when it sent a well-formed one. The log has it too.
"""


def accepted(offered: Mapping[str, str], asked_for: str | None = None) -> str:
    """The media type to answer in.

    :param offered: a short name for each, the preferred one first.
    :param asked_for: a short name that goes before the Accept header.
    :raises NotAcceptable: the client takes none of them (RFC 9110, 12.5.1).
    """
    for media_type, name in offered.items():
        if name == asked_for:
            return media_type
    if not request.accept_mimetypes:
        return next(iter(offered))
    chosen = request.accept_mimetypes.best_match(offered)
    if chosen is None:
        raise NotAcceptable(f"This address answers with {' or '.join(offered)}.")
    return chosen


def next_link(after: int | None) -> dict[str, str]:
    """The header that leads to the next page (RFC 8288), by cursor and with the same filters; none on the last."""
    if after is None:
        return {}
    query = {name: value for name, value in request.args.items() if name != "offset"}
    query["after"] = Cursor.encode(after)
    return {"Link": f'<{request.script_root}{request.path}?{urlencode(query)}>; rel="next"'}


class Blueprint(flask_smorest.Blueprint):
    """A feature's routes."""

    ARGUMENTS_PARSER = Parser()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._prepare_doc_cbks += [self._add_requirement_doc, self._add_idempotency_doc, self._finish_responses_doc]

    def refuses(self, *statuses: int) -> Callable[[Any], Any]:
        """Decorator: the errors this operation can answer with."""

        def decorator(function: Any) -> Any:
            for status in statuses:
                function = self.alt_response(status, HTTPStatus(status).name)(function)
            return function

        return decorator

    def requires(self, scope: str | None, *, public: bool = False) -> Callable[[Any], Any]:
        """Decorator: what a caller of this operation needs. Every operation has one.

        :param scope: one of `keys.service.SCOPES`, or None for everybody.
        :param public: whether it goes without a key while PUBLIC_CAPTURE=on.
        """

        def decorator(function: Any) -> Any:
            # Beside what flask-smorest knows of it, which every decorator hands on. The guard reads it there.
            function._apidoc = {**getattr(function, "_apidoc", {}), "requires": security.Requirement(scope, public)}
            return function

        return decorator

    @staticmethod
    def _add_requirement_doc(doc: Any, doc_info: Any, **kwargs: Any) -> Any:
        requirement = doc_info.get("requires")
        if requirement is not None:
            doc["security"] = security.document(requirement)
            if requirement.scope is not None:
                doc["responses"] |= {401: "UNAUTHORIZED", 403: "FORBIDDEN"}
        return doc

    @staticmethod
    def _add_idempotency_doc(doc: Any, doc_info: Any, **kwargs: Any) -> Any:
        if "idempotent" in doc_info:
            once.describe(doc)
        return doc

    @staticmethod
    def _finish_responses_doc(doc: Any, doc_info: Any, **kwargs: Any) -> Any:
        doc["responses"] = dict(sorted(doc["responses"].items(), key=lambda item: int(item[0])))
        for response in doc["responses"].values():
            # The others are names of components, which have the header already.
            if isinstance(response, dict):
                response["headers"] = {**response.get("headers", {}), "X-Request-Id": "REQUEST_ID"}
        return doc


class ProblemSchema(Schema):
    """What went wrong (RFC 9457)."""

    class Meta:
        unknown = RAISE

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


# An example of each error, and the headers it brings.
PROBLEMS: dict[HTTPStatus, str] = {
    HTTPStatus.BAD_REQUEST: "The body is not valid JSON at line 1, column 2.",
    HTTPStatus.UNAUTHORIZED: str(KeyRefused("")),
    HTTPStatus.FORBIDDEN: str(ScopeMissing("read")),
    HTTPStatus.NOT_ACCEPTABLE: "This address answers with text/csv or application/x-ndjson.",
    HTTPStatus.CONFLICT: "Lead with this email already exists.",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: errors.SENTENCES[HTTPStatus.REQUEST_ENTITY_TOO_LARGE],
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: "Send the body as application/json.",
    HTTPStatus.UNPROCESSABLE_ENTITY: "This field is not valid: email.",
    HTTPStatus.INTERNAL_SERVER_ERROR: errors.SENTENCES[HTTPStatus.INTERNAL_SERVER_ERROR],
    HTTPStatus.SERVICE_UNAVAILABLE: errors.SENTENCES[HTTPStatus.SERVICE_UNAVAILABLE],
}
EMAIL_ERRORS = {"email": ["Not a valid email address."]}
RETRY_AFTER = {
    "description": "After how many seconds to try again.",
    "required": True,
    "schema": {"type": "integer", "minimum": 1},
}
REQUEST_ID = {
    "description": "Names this request in the log.",
    "required": True,
    "schema": {"type": "string", "pattern": logs.REQUEST_ID.pattern},
}


class Api(flask_smorest.Api):
    """The OpenAPI document and the answer to every HTTP error."""

    # A catch-all response would hide a status that nobody declared.
    DEFAULT_ERROR_RESPONSE_NAME = None

    def handle_http_exception(self, error: HTTPException) -> Response:
        """Answer in the one error shape, with the headers the status asks for."""
        status = HTTPStatus(error.code or 500)
        headers = {name: value for name, value in error.get_headers() if name != "Content-Type"}
        detail = errors.SENTENCES.get(status) or str(error.description)
        return errors.problem(status, detail, errors=getattr(error, "errors", None), headers=headers)

    def _register_pagination_header(self) -> None:
        """Leave out of the document what no operation uses."""

    def _register_responses(self) -> None:
        self.spec.components.header("REQUEST_ID", REQUEST_ID)
        for status, detail in PROBLEMS.items():
            invalid = status == HTTPStatus.UNPROCESSABLE_ENTITY
            content = {
                "schema": InvalidFieldsSchema if invalid else ProblemSchema,
                "example": {"detail": detail} | ({"errors": EMAIL_ERRORS} if invalid else {}),
            }
            headers: dict[str, Any] = {"X-Request-Id": "REQUEST_ID"}
            if status == HTTPStatus.SERVICE_UNAVAILABLE:
                headers["Retry-After"] = RETRY_AFTER
            if status in security.CHALLENGES:
                headers["WWW-Authenticate"] = security.CHALLENGES[status]
            self._register_problem(status.name, status.phrase, content, headers)
        running = {"type": RequestRunning.type, "detail": str(RequestRunning())}
        either = {"oneOf": [ProblemSchema, TypedProblemSchema]}
        taken = {"schema": either, "example": {"detail": PROBLEMS[HTTPStatus.CONFLICT]}}
        headers = {"X-Request-Id": "REQUEST_ID", "Idempotent-Replayed": once.REPLAYED}
        self._register_problem("CONFLICT_OR_RUNNING", "Conflict", taken, headers)
        still = {"schema": TypedProblemSchema, "example": running}
        self._register_problem("RUNNING", "Conflict", still, headers)

    def _register_problem(self, name: str, phrase: str, content: Any, headers: Any) -> None:
        answer = {"description": phrase, "content": {"application/problem+json": content}, "headers": headers}
        self.spec.components.response(name, answer, lazy=True)


class OrjsonProvider(JSONProvider):
    """JSON for Flask by orjson: keys in their given order, times in UTC as RFC 3339 with a Z."""

    OPTIONS = orjson.OPT_UTC_Z | orjson.OPT_NON_STR_KEYS

    def dumps(self, obj: Any, *, indent: int | None = None, **kwargs: Any) -> str:
        options = self.OPTIONS | (orjson.OPT_INDENT_2 if indent else 0)
        return orjson.dumps(obj, option=options).decode()

    def loads(self, s: str | bytes, **kwargs: Any) -> Any:
        return orjson.loads(s)

    def response(self, *args: Any, **kwargs: Any) -> Response:
        body = orjson.dumps(self._prepare_response_obj(args, kwargs), option=self.OPTIONS)
        return Response(body, mimetype="application/json")


def init_app(app: Flask, settings: Settings) -> Api:
    """Give the app its JSON, its limits and its OpenAPI document, to which blueprints are then added."""
    app.json = OrjsonProvider(app)
    # One byte more than is accepted: see read_body.
    app.config["MAX_CONTENT_LENGTH"] = settings.max_body_bytes + 1
    app.config.update(
        API_TITLE="leadapi",
        API_VERSION=VERSION,
        OPENAPI_VERSION="3.1.0",
        OPENAPI_URL_PREFIX="/",
        OPENAPI_JSON_PATH="openapi.json",
        API_SPEC_OPTIONS={"info": {"description": DESCRIPTION}},
    )
    rest = Api(app)
    for name, scheme in security.SCHEMES.items():
        rest.spec.components.security_scheme(name, scheme)
    return rest
