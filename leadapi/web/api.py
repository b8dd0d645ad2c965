"""flask-smorest bent to the contract: one error shape, fast JSON, a document that tells the truth."""

import inspect
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode

import flask_smorest
import orjson
from apispec.ext.marshmallow import MarshmallowPlugin
from apispec.ext.marshmallow.openapi import OpenAPIConverter
from flask import Flask, Response, request
from flask.json.provider import JSONProvider
from werkzeug.exceptions import HTTPException, NotAcceptable
from werkzeug.routing import IntegerConverter, Map

from leadapi import errors
from leadapi.config import Settings
from leadapi.idempotency import once
from leadapi.limits.policies import HEADERS
from leadapi.web import forms, problems, security
from leadapi.web.fields import MAX_ID, Cursor
from leadapi.web.parsing import Parser
from leadapi.web.preferences import best_media_type

VERSION = "1.0.0"
DESCRIPTION = """\
Captures leads: people who asked to be contacted. Each email address is stored once, whatever its spelling.

Every error is `application/problem+json` (RFC 9457). `detail` is one sentence for people.
A 422 adds `errors`, a map from field to messages.

Where the service asks for keys (`AUTH=on`), each operation says which scope it needs; `admin` includes all others.

Every answer carries `X-Request-Id`: the caller's own when it sent a well-formed one. The log has it too.

Every answer also tells browsers to be careful with it, by `X-Content-Type-Options`, `X-Frame-Options`,
`Referrer-Policy`, `Content-Security-Policy` and `Cache-Control: no-store`. This is not repeated below.
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
    chosen = best_media_type(offered)
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


class IdConverter(IntegerConverter):
    """An id in a path: what no database can have given is at no address."""

    # Plain digits; Python takes those of other scripts for numbers, too.
    regex = "[1-9][0-9]{0,18}"

    def __init__(self, map: Map) -> None:  # noqa: A002  # the name that Werkzeug gives it
        super().__init__(map, min=1, max=MAX_ID)


class Blueprint(flask_smorest.Blueprint):
    """A feature's routes."""

    ARGUMENTS_PARSER = Parser()

    def __init__(self, *args: Any, limited: bool = True, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Whether rate limits are for its operations; see rate_limits.
        self.limited = limited
        self._prepare_doc_cbks += [self._add_doc, self._add_requirement_doc, self._add_idempotency_doc]
        self._prepare_doc_cbks.append(self._finish_responses_doc)

    def refuses(self, *statuses: int) -> Callable[[Any], Any]:
        """Decorator: the errors this operation can answer with."""

        def decorator(function: Any) -> Any:
            for status in statuses:
                # flask-smorest wraps it once for each status, only to have a place for what it says of them.
                function._apidoc = self.alt_response(status, HTTPStatus(status).name)(function)._apidoc
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

    def takes(self, *headers: Mapping[str, Any]) -> Callable[[Any], Any]:
        """Decorator: the request headers that mean something to this operation."""
        return self._adding(parameters=headers)

    def leads_to(self, status: int, links: Mapping[str, Any]) -> Callable[[Any], Any]:
        """Decorator: the operations that a client can go on with after an answer."""
        return self._adding(links=((status, links),))

    @staticmethod
    def _adding(**more: tuple[Any, ...]) -> Callable[[Any], Any]:
        def decorator(function: Any) -> Any:
            doc = getattr(function, "_apidoc", {})
            added = doc.get("added", {})
            function._apidoc = {**doc, "added": {**added, **{name: added.get(name, ()) + more[name] for name in more}}}
            return function

        return decorator

    @staticmethod
    def _add_doc(doc: Any, doc_info: Any, **kwargs: Any) -> Any:
        content = doc.get("requestBody", {}).get("content", {})
        for schema in [described["schema"] for described in content.values()]:
            # Where a body may have several names, it is described under each.
            content |= dict.fromkeys(getattr(schema, "media_types", ()), content["application/json"])
            if hasattr(schema, "form"):
                content |= dict.fromkeys(forms.MEDIA_TYPES, schema.form)
        added = doc_info.get("added", {})
        if "parameters" in added:
            doc["parameters"] = [*doc.get("parameters", []), *added["parameters"]]
        for status, links in added.get("links", ()):
            doc["responses"][status]["links"] = links
        return doc

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

    def _finish_responses_doc(self, doc: Any, doc_info: Any, **kwargs: Any) -> Any:
        if self.limited:
            doc["responses"]["429"] = HTTPStatus.TOO_MANY_REQUESTS.name
        if forms.MULTIPART in doc.get("requestBody", {}).get("content", {}):
            # Whoever sends a form may be a person, who gets a page.
            named = {status: name for status, name in doc["responses"].items() if isinstance(name, str)}
            doc["responses"] |= {status: f"{name}{problems.PAGE}" for status, name in named.items()}
        doc["responses"] = dict(sorted(doc["responses"].items(), key=lambda item: int(item[0])))
        for response in doc["responses"].values():
            # The others are names of components, which have the header already.
            if isinstance(response, dict):
                response["headers"] = {
                    **response.get("headers", {}),
                    "X-Request-Id": "REQUEST_ID",
                    **(HEADERS if self.limited else {}),
                }
        return doc


class DescribingConverter(OpenAPIConverter):
    """Tells readers what the docstring of a schema says, beside which fields it has."""

    def schema2jsonschema(self, schema: Any) -> dict[str, Any]:
        """Not by `Meta.description`, for which apispec leaves out whether other fields are taken."""
        described = super().schema2jsonschema(schema)  # type: ignore[no-untyped-call]  # apispec has no types here
        return {"description": inspect.getdoc(schema), **described}


class DescribingPlugin(MarshmallowPlugin):
    """What makes the document's schemas."""

    Converter = DescribingConverter


class Api(flask_smorest.Api):
    """The OpenAPI document and the answer to every HTTP error."""

    # A catch-all response would hide a status that nobody declared.
    DEFAULT_ERROR_RESPONSE_NAME = None

    def handle_http_exception(self, error: HTTPException) -> Response:
        """Answer in the one error shape, with the headers the status asks for."""
        status = HTTPStatus(error.code or 500)
        headers = dict(error.get_headers())
        detail = errors.SENTENCES.get(status) or str(error.description)
        return errors.problem(status, detail, errors=getattr(error, "errors", None), headers=headers)

    def _register_pagination_header(self) -> None:
        """Leave out of the document what no operation uses."""

    def _register_responses(self) -> None:
        problems.describe(self.spec)


class OrjsonProvider(JSONProvider):
    """JSON for Flask by orjson: keys in their given order, times in UTC as RFC 3339 with a Z."""

    OPTIONS = orjson.OPT_UTC_Z

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
    app.url_map.converters["id"] = IdConverter
    rest = Api(app, spec_kwargs={"marshmallow_plugin": DescribingPlugin()})
    for name, scheme in security.SCHEMES.items():
        rest.spec.components.security_scheme(name, scheme)
    return rest
