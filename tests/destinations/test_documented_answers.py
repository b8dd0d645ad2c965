"""Every answer about destinations has the form that the OpenAPI document gives."""

from destinations.conftest import URL, change_rows
from documents import answers, assert_documented, operations
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from conftest import Json, StoredLead, body

ONE = "/destinations/{destination_id}"
MAIL = {"kind": "email", "url": "mailto:sales@example.com"}
SINCE = {"since": "2026-02-28T10:00:00Z"}


def ask(client: FlaskClient, document: Json, request: str, sent: Json | None = None, status: int = 200) -> TestResponse:
    """The response to a request, whose status and form are checked."""
    method, path = request.split()
    concrete = path.replace("{destination_id}", "1").replace("{delivery_id}", "1")

    response = client.open(concrete, method=method, json=sent)

    assert response.status_code == status, response.text
    assert_documented(document, response, path)
    return response


def test_answers_about_a_webhook_are_documented(
    app: Flask, client: FlaskClient, document: Json, stored_lead: StoredLead
) -> None:
    ask(client, document, "POST /destinations", {"kind": "webhook", "url": URL, "headers": {"A": "b"}}, 201)
    ask(client, document, f"POST {ONE}/test", status=202)
    ask(client, document, f"POST {ONE}/deliveries/{{delivery_id}}/replay", status=409)
    outcome = "state = 'failed', last_attempt_at = :at, status = 500, error = 'status', duration_ms = 7, excerpt = 'x'"
    change_rows(app, f"UPDATE deliveries SET {outcome}", at="2026-02-28 10:00:00.000000Z")
    ask(client, document, f"GET {ONE}/deliveries")
    ask(client, document, f"POST {ONE}/deliveries/{{delivery_id}}/replay", status=202)
    ask(client, document, f"POST {ONE}/replay", SINCE, 202)
    ask(client, document, f"POST {ONE}/rotate")
    ask(client, document, "GET /destinations")
    ask(client, document, f"PATCH {ONE}", {"enabled": False})
    ask(client, document, f"POST {ONE}/test", status=409)
    shown = ask(client, document, f"GET {ONE}")
    ask(client, document, f"DELETE {ONE}", status=204)
    ask(client, document, f"GET {ONE}", status=404)

    assert body(shown)["last_delivery"]["error"] == "status"


def test_answers_about_mail_are_documented(client: FlaskClient, document: Json) -> None:
    ask(client, document, "POST /destinations", MAIL, 201)
    ask(client, document, f"PATCH {ONE}", {"headers": {"A": "b"}}, 422)
    ask(client, document, f"POST {ONE}/rotate", status=409)
    ask(client, document, f"POST {ONE}/replay", SINCE, 202)


def test_the_documented_examples_are_accepted(client: FlaskClient, document: Json) -> None:
    client.post("/destinations", json={"kind": "webhook", "url": URL})
    accepted = {}
    for method, path, operation in operations(document):
        if path.startswith("/destinations") and "requestBody" in operation:
            example = operation["requestBody"]["content"]["application/json"]["example"]
            concrete = path.replace("{destination_id}", "1")
            accepted[method, path] = client.open(concrete, method=method.upper(), json=example).status_code

    assert accepted == {("post", "/destinations"): 201, ("patch", ONE): 200, ("post", f"{ONE}/replay"): 202}


def test_fields_are_documented_in_the_order_in_which_they_are_shown(client: FlaskClient, document: Json) -> None:
    created = client.post("/destinations", json={"kind": "webhook", "url": URL})
    tried = client.post("/destinations/1/test")

    for response, path in ((created, "/destinations"), (tried, f"{ONE}/test")):
        documented = answers(document, document["paths"][path]["post"])[response.status_code]
        assert list(body(response)) == list(documented["content"]["application/json"]["example"])
