"""Reads an OpenAPI document."""

from collections.abc import Iterator
from typing import Any

from jsonschema_rs import Draft202012Validator
from werkzeug.test import TestResponse

from conftest import Json

METHODS = ("get", "put", "post", "patch", "delete")


def operations(document: Json) -> Iterator[tuple[str, str, Json]]:
    """The method, the path and the description of each operation."""
    for path, item in document["paths"].items():
        for method in METHODS:
            if method in item:
                yield method, path, item[method]


def answers(document: Json, operation: Json) -> dict[int, Json]:
    """The documented response for each status of an operation."""
    return {int(status): resolve(document, answer) for status, answer in operation["responses"].items()}


def resolve(document: Json, node: Json) -> Json:
    """Follow a reference; a node that is not a reference is returned as it is."""
    if "$ref" not in node:
        return node
    kind, name = node["$ref"].removeprefix("#/components/").split("/")
    found: Json = document["components"][kind][name]
    return found


def validator(document: Json, schema: Json) -> Draft202012Validator:
    """A validator for a schema of the document, which also checks formats."""
    return Draft202012Validator({**schema, "components": document["components"]}, validate_formats=True)


def examples(content: Json) -> list[Any]:
    """The example of a body, or each of its examples."""
    return [each["value"] for each in content["examples"].values()] if "examples" in content else [content["example"]]


def json_or_text(value: str) -> Any:
    """The value of a header, as a number if it consists of digits."""
    return int(value) if value.isdecimal() else value


def faults(document: Json, schema: Json, value: Any) -> list[str]:
    """The faults of a value by a schema of the document; a field that the schema does not name is a fault."""
    schemas = {
        name: {"additionalProperties": False, **each} if each.get("type") == "object" else each
        for name, each in document["components"]["schemas"].items()
    }
    closed = {"components": {**document["components"], "schemas": schemas}}
    return [f"{error.instance_path}: {error.message}" for error in validator(closed, schema).iter_errors(value)]


def assert_documented(document: Json, response: TestResponse, path: str | None = None) -> None:
    """The body and the headers have the form that the document gives for this status."""
    operation = document["paths"][path or response.request.path][response.request.method.lower()]
    documented = answers(document, operation)[response.status_code]
    if response.data:
        assert faults(document, documented["content"][response.mimetype]["schema"], response.json) == []
    for name, header in documented["headers"].items():
        told = resolve(document, header)
        value = response.headers.get(name, type=json_or_text)
        assert value is not None or not told.get("required")
        assert value is None or faults(document, told["schema"], value) == []
