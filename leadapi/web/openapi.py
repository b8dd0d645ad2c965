"""The OpenAPI document: how schemas and fields are described, and the hooks by which features add to it."""

import inspect
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from apispec import APISpec, BasePlugin
from apispec.ext.marshmallow import MarshmallowPlugin
from apispec.ext.marshmallow.openapi import OpenAPIConverter
from flask import Flask
from marshmallow import fields
from werkzeug.routing import Rule

from leadapi.web import problems
from leadapi.web.fields import Choice, OneOf

RETRY_AFTER = {
    "description": "After how many seconds to try again.",
    "required": True,
    "schema": {"type": "integer", "minimum": 1},
}
NEXT = {
    "description": "The next page (RFC 8288), relative to the requested URL, or absolute where `PUBLIC_URL` is set;"
    " absent on the last one.",
    "schema": {"type": "string"},
    "example": '<?limit=50&after=AAAAAAAAADI>; rel="next"',
}


def mark(function: Callable[..., Any], **marks: Any) -> None:
    """Attach facts about an operation to its function; every decorator that uses `functools.wraps` passes them on."""
    function.__dict__["operation_marks"] = {**marks_of(function), **marks}


def marks_of(function: object) -> Mapping[str, Any]:
    """The facts that `mark` attached."""
    marks: Mapping[str, Any] = getattr(function, "operation_marks", {})
    return marks


@dataclass(frozen=True)
class Operation:
    """An operation while its part of the document is being built.

    :param doc: the OpenAPI operation object. `responses` maps a status to a response, or to the name of a component.
    :param marks: see `mark`.
    :param limited: whether rate limits apply to its blueprint.
    """

    doc: dict[str, Any]
    marks: Mapping[str, Any]
    limited: bool

    def add_parameters(self, parameters: Collection[Mapping[str, Any]]) -> None:
        if parameters:
            self.doc["parameters"] = [*self.doc.get("parameters", []), *parameters]

    def add_problems(self, *statuses: int) -> None:
        """Document that the operation can answer with these errors."""
        self.doc["responses"] |= {status: HTTPStatus(status).name for status in statuses}

    def add_headers(self, headers: Mapping[str, Any]) -> None:
        """Document response headers of every answer that is not an error."""
        for response in self.doc["responses"].values():
            if isinstance(response, dict):
                response["headers"] = {**response.get("headers", {}), **headers}


class Document(BasePlugin):
    """What web and the features add to the document.

    It is an apispec plugin: apispec calls `operation_helper` for each path. Features register with it before the
    blueprints.
    """

    def __init__(self, app: Flask) -> None:
        super().__init__()
        self._app = app
        self._describers: list[Callable[[Operation], None]] = []
        self._examples: dict[int, dict[str, Any]] = defaultdict(dict)
        self._headers: dict[int, dict[str, Any]] = defaultdict(dict)
        self._common_headers: dict[str, str] = {}
        self.spec: APISpec

    def init_spec(self, spec: APISpec) -> None:
        self.spec = spec

    def describe_operations(self, describe: Callable[[Operation], None]) -> None:
        """Register a function that adds to every operation."""
        self._describers.append(describe)

    def describe_problem(
        self, status: int, *examples: Exception, headers: Mapping[str, Mapping[str, Any]] | None = None
    ) -> None:
        """Add examples and headers to the response component of an error status."""
        self._examples[status] |= {type(error).__name__: {"value": problems.body_of(error)} for error in examples}
        self._headers[status] |= headers or {}

    def add_header(self, name: str, header: Mapping[str, Any]) -> dict[str, str]:
        """Add a header to every error, and return it as a reference for other answers."""
        component = name.upper().replace("-", "_")
        self.spec.components.header(component, dict(header))
        self._common_headers[name] = component
        return {name: component}

    def operation_helper(
        self, path: str | None = None, operations: dict[str, Any] | None = None, **kwargs: Any
    ) -> None:
        rule: Rule = kwargs["rule"]
        view: Any = self._app.view_functions[rule.endpoint]
        blueprint = self._app.blueprints[rule.endpoint.partition(".")[0]]
        for method, doc in (operations or {}).items():
            doc["responses"] = {int(status): response for status, response in doc["responses"].items()}
            marks = marks_of(getattr(view.view_class, method))
            operation = Operation(doc, marks, limited=getattr(blueprint, "limited", False))
            for describe in self._describers:
                describe(operation)
            for status, response in doc["responses"].items():
                if isinstance(response, str):
                    self._add_problem(HTTPStatus(status))
            doc["responses"] = dict(sorted(doc["responses"].items()))

    def _add_problem(self, status: HTTPStatus) -> None:
        """Add the response component of an error, when the first operation refers to it."""
        if status.name not in self.spec.components.responses:
            content = {"schema": problems.schema_of(status), "examples": self._examples[status]}
            response = {
                "description": status.phrase,
                "content": {problems.MEDIA_TYPE: content},
                "headers": {**self._common_headers, **self._headers[status]},
            }
            # Lazy, because flask-smorest has registered a lazy one under this name, which this one replaces.
            self.spec.components.response(status.name, response, lazy=True)


class DescribingConverter(OpenAPIConverter):
    """apispec's converter, extended by docstrings, hidden fields, named fields and `OneOf`."""

    def schema2jsonschema(self, schema: Any) -> dict[str, Any]:
        # Meta.description would do the same, but makes apispec drop additionalProperties.
        described = super().schema2jsonschema(schema)  # type: ignore[no-untyped-call]  # apispec has no types here
        return {"description": inspect.getdoc(schema), **described}

    def fields2jsonschema(self, fields: Mapping[str, fields.Field[Any]], *, partial: Any = None) -> dict[str, Any]:
        shown = {name: field for name, field in fields.items() if not field.metadata.get("hidden")}
        described: dict[str, Any] = super().fields2jsonschema(shown, partial=partial)  # type: ignore[no-untyped-call]  # the same
        return described

    def field2property(self, field: fields.Field[Any]) -> dict[str, Any]:
        described = super().field2property(field) | getattr(field, "json_schema", {})
        if isinstance(field, OneOf):
            described |= self._one_of(field)
        return self._shared(field, described) if isinstance(field, OneOf | Choice) else described

    def _one_of(self, field: OneOf) -> dict[str, Any]:
        references: list[dict[str, str]] = [
            self.resolve_nested_schema(schema)  # type: ignore[no-untyped-call]  # the same
            for schema in field.schemas
        ]
        if field.discriminator is None:
            return {"oneOf": references}
        mapping = dict(zip(field.values(), (reference["$ref"] for reference in references), strict=True))
        return {"oneOf": references, "discriminator": {"propertyName": field.discriminator, "mapping": mapping}}

    def _shared(self, field: OneOf | Choice, described: dict[str, Any]) -> dict[str, Any]:
        """A reference to a component with this schema. The field keeps its own description."""
        own = {"description": described.pop("description")} if "description" in described else {}
        components = self.spec.components
        if field.component not in components.schemas:
            components.schema(field.component, {"description": field.about, **described})
        return {**components.get_ref("schema", field.component), **own}


class DescribingPlugin(MarshmallowPlugin):
    """apispec's plugin for marshmallow with the converter above."""

    Converter = DescribingConverter
