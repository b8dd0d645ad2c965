"""flask-smorest adapted to the contract: one shape of errors, orjson, and decorators that complete the document."""

from collections.abc import Callable, Mapping
from typing import Any

import flask_smorest
import orjson
from flask import Flask, Response, request
from flask.json.provider import JSONProvider
from werkzeug import exceptions
from werkzeug.exceptions import HTTPException, NotAcceptable
from werkzeug.routing import IntegerConverter, Map

from leadapi import logs
from leadapi.config import Settings
from leadapi.web import problems
from leadapi.web.fields import MAX_ID, Cursor
from leadapi.web.headers import public_url
from leadapi.web.openapi import RETRY_AFTER, DescribingPlugin, Document, Operation, mark, marks_of
from leadapi.web.parsing import LENGTH_REQUIRED, InvalidFields, Parser
from leadapi.web.security import Requirement

VERSION = "1.0.0"
DESCRIPTION = """\
Captures leads: people who asked to be contacted. Each email address is stored once, whatever its spelling.

**Quick start.** Open *Capture a lead* below and press *Execute*. The status is 201. The same request again is a 409,
because the address is stored now. *List leads* shows what is stored. Where the service asks for keys (`AUTH=on`), press
*Authorize* first; each operation names the scope it needs, and `admin` includes all others.

**Safe repetition.** A client that got no response sends the request again with the same `Idempotency-Key`, a random
text such as a UUID: the lead is stored once, and the repetition gets the first answer. To merge a lead whose address is
stored, instead of a 409, send `Prefer: resolution=merge-duplicates`.

**Pages.** `GET /leads` returns up to `limit` leads. Follow the URL in `Link` (`rel="next"`), which has the cursor
`after`, until a response has no `Link`. No lead is missed or repeated, even while leads arrive.

**HTML forms.** `POST /leads` also takes forms of web pages (`application/x-www-form-urlencoded` and
`multipart/form-data`) without a script. This document describes JSON only; the guide describes forms.

**Destinations.** Events about leads are sent to webhooks, mail addresses and chats. *Create a destination* returns the
secret that signs the requests of a webhook; *Try a destination* sends a test.

**Errors.** Every error is `application/problem+json` (RFC 9457). `detail` is one sentence for people. A 422 adds
`errors`, a map from field to messages.

Every response has an `X-Request-Id`: the one from the request where it is well formed. The log has it too.
Every response also has `X-Content-Type-Options`, `X-Frame-Options`, `Referrer-Policy`, `Content-Security-Policy` and
`Cache-Control: no-store`. They are not repeated below.
"""
REQUEST_ID = {
    "description": "Names this request in the log.",
    "required": True,
    "schema": {"type": "string", "pattern": logs.REQUEST_ID.pattern},
}
# Errors that web itself raises. Features add theirs.
EXAMPLES: tuple[HTTPException, ...] = (
    exceptions.BadRequest("The body is not valid JSON at line 1, column 2."),
    exceptions.NotFound(),
    NotAcceptable("This address answers with text/csv or application/x-ndjson."),
    exceptions.LengthRequired(LENGTH_REQUIRED),
    exceptions.RequestEntityTooLarge(),
    exceptions.UnsupportedMediaType("Send the body as application/json."),
    InvalidFields({"email": ["Not a valid email address."]}),
    exceptions.InternalServerError(),
    exceptions.ServiceUnavailable(),
)


def next_link(after: int | str | None) -> dict[str, str]:
    """The Link header to the next page (RFC 8288), by cursor and with the same filters; none on the last page.

    :param after: the id after which the next page begins, or a cursor; None on the last page.
    """
    if after is None:
        return {}
    query = {name: value for name, value in request.args.items() if name != "offset"}
    query["after"] = after if isinstance(after, str) else Cursor.encode(after)
    return {"Link": f'<{public_url(request.path, query)}>; rel="next"'}


class IdConverter(IntegerConverter):
    """An id in a path. Ids that no database can assign match no route."""

    # ASCII digits only: int() accepts those of other scripts, too.
    regex = "[1-9][0-9]{0,18}"

    def __init__(self, map: Map) -> None:  # noqa: A002  # the name that Werkzeug gives it
        super().__init__(map, min=1, max=MAX_ID)


class Blueprint(flask_smorest.Blueprint):
    """A feature's routes.

    :param limited: whether rate limits apply to its operations.
    """

    ARGUMENTS_PARSER = Parser()
    # The order of a path's operations in the document, and so in /docs.
    HTTP_METHODS = ("POST", "GET", "PATCH", "DELETE")

    def __init__(self, *args: Any, limited: bool = True, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.limited = limited

    def refuses(self, *statuses: int) -> Callable[[Any], Any]:
        """Decorator: the errors this operation can answer with."""
        return _marking(refuses=statuses)

    def requires(self, scope: str | None, *, public: bool = False) -> Callable[[Any], Any]:
        """Decorator: what a caller of this operation needs. Every operation has one.

        :param scope: one of `keys.service.SCOPES`, or None for everybody.
        :param public: whether a caller without a key passes while PUBLIC_CAPTURE=on.
        """
        return _marking(requires=Requirement(scope, public))

    def takes(self, *headers: Mapping[str, Any]) -> Callable[[Any], Any]:
        """Decorator: the request headers that this operation reads."""
        return _marking(takes=headers)

    def leads_to(self, status: int, links: Mapping[str, Any]) -> Callable[[Any], Any]:
        """Decorator: the operations that a client can continue with after a response (OpenAPI's links)."""

        def decorator(function: Any) -> Any:
            mark(function, links={**marks_of(function).get("links", {}), status: links})
            return function

        return decorator


def _marking(**marks: Any) -> Callable[[Any], Any]:
    def decorator(function: Any) -> Any:
        mark(function, **marks)
        return function

    return decorator


class Api(flask_smorest.Api):
    """The OpenAPI document, and the response to every HTTP error.

    :param document: what web and the features add to the document.
    """

    # A catch-all response would hide a status that is not declared.
    DEFAULT_ERROR_RESPONSE_NAME = None
    ERROR_SCHEMA = problems.ProblemSchema

    def __init__(self, app: Flask) -> None:
        self.document = Document(app)
        super().__init__(app, spec_kwargs={"marshmallow_plugin": DescribingPlugin(), "extra_plugins": [self.document]})
        # flask-smorest describes its own pagination, which no operation uses.
        self.spec.components.schemas.pop("PaginationMetadata", None)
        self._describe()

    def _describe(self) -> None:
        headers = self.document.add_header("X-Request-Id", REQUEST_ID)
        for example in EXAMPLES:
            self.document.describe_problem(example.code or 500, example)
        self.document.describe_problem(503, headers={"Retry-After": RETRY_AFTER})

        def describe(operation: Operation) -> None:
            operation.add_problems(*operation.marks.get("refuses", ()))
            operation.add_parameters(operation.marks.get("takes", ()))
            operation.add_headers(headers)
            for status, links in operation.marks.get("links", {}).items():
                operation.doc["responses"][status]["links"] = links

        self.document.describe_operations(describe)

    def handle_http_exception(self, error: HTTPException) -> Response:
        """Answer in the one shape of errors, with the headers that the status requires."""
        return problems.problem(error.code or 500, **problems.body_of(error), headers=dict(error.get_headers()))


class OrjsonProvider(JSONProvider):
    """JSON for Flask by orjson: keys in their given order, times in UTC as RFC 3339, to the second and with a Z."""

    OPTIONS = orjson.OPT_UTC_Z | orjson.OPT_OMIT_MICROSECONDS

    def dumps(self, obj: Any, *, indent: int | None = None, **kwargs: Any) -> str:
        options = self.OPTIONS | (orjson.OPT_INDENT_2 if indent else 0)
        return orjson.dumps(obj, option=options).decode()

    def loads(self, s: str | bytes, **kwargs: Any) -> Any:
        return orjson.loads(s)


def init_app(app: Flask, settings: Settings) -> Api:
    """Set up JSON, the limit of bodies and the OpenAPI document. Blueprints are registered with the result."""
    app.json = OrjsonProvider(app)
    # One byte more than is accepted: see `parsing.read_body`.
    app.config["MAX_CONTENT_LENGTH"] = settings.max_body_bytes + 1
    app.config.update(
        API_TITLE="leadapi",
        API_VERSION=VERSION,
        OPENAPI_VERSION="3.1.0",
        OPENAPI_URL_PREFIX="/",
        OPENAPI_JSON_PATH="openapi.json",
        # Relative to the document's own address, so that it also fits behind a path prefix.
        API_SPEC_OPTIONS={"info": {"description": DESCRIPTION}, "servers": [{"url": "."}]},
    )
    app.url_map.converters["id"] = IdConverter
    return Api(app)
