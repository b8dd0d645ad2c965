"""The OpenAPI document tells the truth: about what is accepted, and about every answer."""

import re
from collections.abc import Iterator

import orjson
import pytest
from documents import answers, assert_documented, examples, faults, operations, resolve, validator
from flask.testing import FlaskClient
from openapi_spec_validator import OpenAPIV31SpecValidator

from conftest import Json, MakeApp, NewLead, body, make_key

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


def test_each_verdict_of_a_batch_has_the_documented_form(
    client: FlaskClient, new_lead: NewLead, document: Json
) -> None:
    sent = new_lead()
    items = [sent, sent, {"email": "nobody"}, 17]

    refused = client.post("/leads/batch", json={"items": items})
    merged = client.post("/leads/batch", json={"items": items}, headers={"Prefer": "resolution=merge-duplicates"})

    assert [verdict["status"] for verdict in body(refused)["items"]] == [201, 409, 422, 422]
    assert [verdict["status"] for verdict in body(merged)["items"]] == [200, 200, 422, 422]
    assert_documented(document, refused)
    assert_documented(document, merged)


def test_each_event_has_the_documented_form(client: FlaskClient, new_lead: NewLead, document: Json) -> None:
    sent = new_lead(attributes={"page": "one"})
    client.post("/leads", json=sent)
    for wish in ("merge", "ignore"):
        repeat = {"full_name": sent["full_name"], "email": sent["email"], "company": None, "attributes": {"page": wish}}
        client.post("/leads", json=repeat, headers={"Prefer": f"resolution={wish}-duplicates"})
    client.patch("/leads/1", json={"company": None, "status": "lost", "attributes": None})

    kept = client.get("/leads/1/events")
    client.delete("/leads/1")
    erased = client.get("/leads/1/events")

    types = [event["type"] for event in body(kept)["items"]]
    assert types == ["lead.created", "lead.repeated", "lead.repeated", "lead.updated"]
    assert [event["type"] for event in body(erased)["items"]] == ["lead.erased"]
    assert_documented(document, kept, "/leads/{lead_id}/events")
    assert_documented(document, erased, "/leads/{lead_id}/events")


def test_an_event_has_the_documented_form_if_something_was_left_out(
    sqlite_app: MakeApp, new_lead: NewLead, document: Json
) -> None:
    app = sqlite_app(AUTH="on")
    client = app.test_client()
    form = new_lead() | {"page": "a" * 2001}
    client.post("/leads", data=form)
    client.post("/leads", data=form)
    writer, reader = ({"Authorization": f"Bearer {make_key(app, scope)}"} for scope in ("write", "read"))
    for number in (1, 2):
        attributes = {f"{number} {name}": "b" for name in range(49)}
        client.patch("/leads/1", json={"attributes": attributes}, headers=writer)

    kept = client.get("/leads/1/events", headers=reader)

    types = [event["type"] for event in body(kept)["items"] if event["data"].get("left_out")]
    assert types == ["lead.created", "lead.repeated", "lead.updated"]
    assert_documented(document, kept, "/leads/{lead_id}/events")
    schemas = document["components"]["schemas"]
    for name in ("LeadCreated", "LeadRepeated", "LeadUpdated"):
        left_out = schemas[name]["properties"]["left_out"]
        assert faults(document, left_out, left_out["example"]) == []


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
            assert "schema" in content
            assert examples(content), (method, path)


def test_only_json_is_described_except_for_files(document: Json) -> None:
    for _, path, operation in operations(document):
        assert operation.get("requestBody", {}).get("content", {}).keys() <= {"application/json"}
        files = {"text/csv", "application/x-ndjson"} if path == "/leads/export" else set()
        for status, answer in answers(document, operation).items():
            kind = "application/json" if status < 400 else "application/problem+json"
            assert answer.get("content", {}).keys() in (set(), {kind}, files)


def test_a_path_prefix_does_not_break_the_document(document: Json) -> None:
    assert document["servers"] == [{"url": "."}]


def test_traps_are_not_described(document: Json) -> None:
    assert [name for name in document["components"]["schemas"]["NewLead"]["properties"] if name[0] == "_"] == []


def test_what_several_places_share_has_one_name(document: Json) -> None:
    schemas = document["components"]["schemas"]
    status = {"$ref": "#/components/schemas/LeadStatus"}

    assert {name for name, each in schemas.items() if each.get("properties", {}).get("status") == status} == {
        *("Lead", "LeadChanges", "LeadCreated", "SentLead")
    }
    assert schemas["SentLead"]["properties"].keys() == schemas["Lead"]["properties"].keys() - {"id"}
    for path in ("/leads", "/leads/export"):
        (parameter,) = (each for each in document["paths"][path]["get"]["parameters"] if each["name"] == "status")
        assert parameter["schema"] == status
    assert schemas["NewLeadBatch"]["properties"]["items"]["items"] == {"$ref": "#/components/schemas/NewLead"}


def test_patterns_have_no_literal_line_separators(client: FlaskClient) -> None:
    text = client.get("/openapi.json").text

    assert all(pattern.isascii() for pattern in re.findall(r'"pattern": (".*")', text))


KEYS = [{name: ["capture"]} for name in ("bearer", "header", "basic")]


@pytest.mark.parametrize(
    ("settings", "security"),
    [
        ({"AUTH": "off"}, []),
        ({"AUTH": "on"}, [*KEYS, {}]),
        ({"AUTH": "on", "PUBLIC_CAPTURE": "off"}, KEYS),
    ],
)
def test_a_key_is_demanded_only_where_the_settings_do(
    make_app: MakeApp, settings: dict[str, str], security: list[Json]
) -> None:
    document = body(make_app(DATABASE_URL="sqlite://", **settings).test_client().get("/openapi.json"))

    assert document["paths"]["/leads"]["post"]["security"] == security
    assert document["paths"]["/leads/batch"]["post"]["security"] == [one for one in security if one]
    assert document["paths"]["/health"]["get"]["security"] == []
    demanded = {name for _, _, operation in operations(document) for one in operation["security"] for name in one}
    assert document["components"].get("securitySchemes", {}).keys() == demanded


def test_every_example_fits_its_schema(document: Json) -> None:
    for method, path, operation in operations(document):
        for content in bodies(document, operation):
            for example in examples(content):
                assert faults(document, content["schema"], example) == [], (method, path)
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
        # Of a repeat, what was sent is shown; only webhooks have secrets; few errors have a type, and in few events
        # something was left out.
        optional = is_sent or name in ("SentLead", "DestinationWithSecret")
        shown = schema.get("properties", {}).keys() - {"type", "left_out"}
        assert optional or set(schema.get("required", [])) - {"type"} == shown, name


def test_a_field_more_is_nothing_that_a_client_has_to_refuse(document: Json) -> None:
    for method, path, operation in operations(document):
        for answer in answers(document, operation).values():
            for content in answer.get("content", {}).values():
                for example in examples(content):
                    if isinstance(example, dict):
                        later = {**example, "added_later": True}
                        assert validator(document, content["schema"]).is_valid(later), (method, path)


def test_nothing_is_described_that_is_not_used(document: Json) -> None:
    document = dict(document, components=dict(document["components"]))
    text = orjson.dumps(document).decode()
    for kind, components in document["components"].items():
        for name in components:
            assert f'"#/components/{kind}/{name}"' in text
