"""The OpenAPI document tells the truth: about what is accepted, and about every answer."""

import re
from collections.abc import Iterator

import orjson
import pytest
from documents import answers, faults, json_or_text, operations, resolve, validator
from flask.testing import FlaskClient
from openapi_spec_validator import OpenAPIV31SpecValidator
from werkzeug.test import TestResponse

from conftest import Json, MakeApp, NewLead, body

SEED = {
    "full_name": "John Doe",
    "email": "john@example.com",
    "company": "Example Inc",
    "message": "Interested in product",
    "source": "landing-page",
}


# --- requests and answers ------------------------------------------------------------------------


def test_the_documented_example_is_answered_as_documented(client: FlaskClient, document: Json) -> None:
    operation = document["paths"]["/leads"]["post"]
    sent = operation["requestBody"]["content"]["application/json"]["example"]
    shown = answers(document, operation)[201]["content"]["application/json"]["example"]

    response = client.post("/leads", json=sent)

    assert response.status_code == 201
    assert sent == SEED
    time = "2026-02-28T10:00:00Z"
    later = {"status": "new", "attributes": {}, "updated_at": time}
    assert shown == {"id": 1, **SEED, "created_at": time, **later}
    assert list(body(response)) == list(shown)
    assert body(response) | {name: shown[name] for name in ("id", "created_at", "updated_at")} == shown


def test_real_answers_have_the_documented_form(client: FlaskClient, new_lead: NewLead, document: Json) -> None:
    sent = new_lead()
    seen = [
        client.post("/leads", json=sent),
        client.post("/leads", json=sent),
        client.post("/leads", json={"full_name": sent["full_name"], "email": f"another.{sent['email']}"}),
        client.post("/leads", json={}),
        client.post("/leads", data=b"{", content_type="application/json"),
        client.post("/leads", data=b"m" * 2**21, content_type="application/json"),
        client.post("/leads"),
        client.get("/leads"),
        client.get("/leads?limit=1"),
        client.get("/leads?limit=0"),
        client.get("/health"),
        client.get("/ready"),
    ]

    assert [response.status_code for response in seen] == [201, 409, 201, 422, 400, 413, 415, 200, 200, 422, 200, 200]
    for response in seen:
        assert_documented(document, response)


@pytest.mark.parametrize("limit", ["2/minute", "2/minute;100/hour"])
def test_limited_answers_have_the_documented_form(
    make_app: MakeApp, database_url: str, document: Json, limit: str
) -> None:
    client = make_app(DATABASE_URL=database_url, RATE_LIMIT_CAPTURE=limit, RATE_LIMIT_API=limit).test_client()

    seen = [client.open("/leads", method=method) for _ in range(3) for method in ("GET", "POST")]

    assert [response.status_code for response in seen] == [200, 415, 200, 415, 429, 429]
    for response in seen:
        assert {"RateLimit", "RateLimit-Policy"} <= set(response.headers.keys())
        assert_documented(document, response)


def assert_documented(document: Json, response: TestResponse) -> None:
    """The body and the headers have the form that the document gives for this status."""
    operation = document["paths"][response.request.path][response.request.method.lower()]
    documented = answers(document, operation)[response.status_code]
    assert faults(document, documented["content"][response.mimetype]["schema"], response.json) == []
    for name, header in documented["headers"].items():
        told = resolve(document, header)
        value = response.headers.get(name, type=json_or_text)
        assert value is not None or not told.get("required")
        assert value is None or faults(document, told["schema"], value) == []


def test_every_status_that_was_answered_is_documented(document: Json, run_log: list[str]) -> None:
    """Of all the answers to all the tests, which is why this one comes last."""
    documented = {
        (method, re.compile(re.sub(r"\{\w+_id\}", "[0-9]+", path))): answers(document, operation).keys()
        for method, path, operation in operations(document)
    }

    for line in map(orjson.loads, run_log):
        if line.get("event") != "request":
            continue
        for (method, path), statuses in documented.items():
            if line["method"].lower() == method and path.fullmatch(line["path"]):
                assert line["status"] in statuses, line


# --- the document itself -------------------------------------------------------------------------


def test_the_document_is_valid(document: Json) -> None:
    assert document["openapi"].startswith("3.1.")
    assert [error.message for error in OpenAPIV31SpecValidator(document).iter_errors()] == []


def test_every_operation_has_a_name_a_summary_a_tag_and_an_example_of_each_body(document: Json) -> None:
    tags = {tag["name"] for tag in document["tags"]}
    for method, path, operation in operations(document):
        assert re.fullmatch("[a-z]+[A-Z][a-zA-Z]+", operation["operationId"]), (method, path)
        assert operation["summary"], (method, path)
        assert len(operation["tags"]) == 1, (method, path)
        assert tags.issuperset(operation["tags"])
        for content in bodies(document, operation):
            assert content.keys() == {"schema", "example"}, (method, path)


def test_an_answer_of_several_kinds_says_when_it_comes(document: Json) -> None:
    answer = document["paths"]["/leads"]["post"]["responses"]["200"]

    assert answer["description"] == "A repeat, treated as preferred; for people who sent a form, a page"


def test_every_example_fits_its_schema(document: Json) -> None:
    for method, path, operation in operations(document):
        for content in bodies(document, operation):
            assert faults(document, content["schema"], content["example"]) == [], (method, path)
        for answer in answers(document, operation).values():
            for header in (resolve(document, header) for header in answer["headers"].values()):
                assert "example" not in header or faults(document, header["schema"], header["example"]) == []


def test_no_parameter_has_a_value_that_the_page_would_send_by_itself(document: Json) -> None:
    # Swagger UI does with an example. With one for a key, the second lead is another request with the same key.
    for method, path, operation in operations(document):
        for parameter in operation.get("parameters", []):
            assert parameter.keys().isdisjoint({"example", "examples"}), (method, path, parameter["name"])


def bodies(document: Json, operation: Json) -> Iterator[Json]:
    """Every body of an operation: of the request, and of each answer."""
    yield from operation.get("requestBody", {}).get("content", {}).values()
    for answer in answers(document, operation).values():
        yield from answer.get("content", {}).values()


def test_what_is_sent_has_no_other_fields_and_what_is_shown_may_get_more(document: Json) -> None:
    for name, schema in document["components"]["schemas"].items():
        assert schema["description"], name
        is_sent = name.startswith("New") or name.endswith("Changes")
        # Clients that are made from the document would otherwise refuse a lead to which a later version adds a field.
        assert schema.get("additionalProperties", True) is not is_sent, name
        optional = is_sent or name.endswith("Verdict")
        assert optional or set(schema["required"]) == schema["properties"].keys(), name


def test_a_field_more_is_nothing_that_a_client_has_to_refuse(document: Json) -> None:
    for method, path, operation in operations(document):
        for answer in answers(document, operation).values():
            for content in answer.get("content", {}).values():
                if isinstance(content["example"], dict):
                    later = {**content["example"], "added_later": True}
                    assert validator(document, content["schema"]).is_valid(later), (method, path)


def test_nothing_is_described_that_is_not_used(document: Json) -> None:
    document = dict(document, components=dict(document["components"]))
    text = orjson.dumps(document).decode()
    asked_for = {name for _, _, operation in operations(document) for one in operation["security"] for name in one}
    assert document["components"].pop("securitySchemes").keys() == asked_for
    for kind, components in document["components"].items():
        for name in components:
            assert f'"#/components/{kind}/{name}"' in text
