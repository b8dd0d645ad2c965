"""Bodies of JSON: their encoding, their content type, and what an error says about them."""

import json
from codecs import BOM_UTF8
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from conftest import MakeApp, NewLead, body

CASES = Path(__file__).with_name("cases")
JSON = "application/json"
FORM = "application/x-www-form-urlencoded"


@pytest.fixture
def app(sqlite_app: MakeApp) -> Flask:
    """An app on SQLite, because no test here depends on the database."""
    return sqlite_app()


def test_a_byte_order_mark_is_taken(client: FlaskClient) -> None:
    content = (CASES / "bom.json").read_bytes()
    assert content.startswith(b"\xef\xbb\xbf")

    response = client.post("/leads", data=content, content_type=JSON)

    assert response.status_code == 201
    assert body(response)["email"] == json.loads(content)["email"]


def test_another_encoding_is_named_with_the_first_wrong_byte(client: FlaskClient) -> None:
    content = (CASES / "latin1.json").read_bytes()

    response = client.post("/leads", data=content, content_type=JSON)

    wrong = next(place for place, byte in enumerate(content) if byte > 127)
    assert response.status_code == 400
    assert body(response) == {"detail": f"The body is not UTF-8: its byte {wrong + 1} is invalid."}


@pytest.mark.parametrize(
    ("content", "detail"),
    [
        (b"", "The body is empty."),
        (b" \r\n", "The body is empty."),
        (b"\xef\xbb\xbf", "The body is empty."),
        ("{}".encode("utf-16"), "The body is not UTF-8: its byte 1 is invalid."),
        (b'{"full_name":\n x}', "The body is not valid JSON at line 2, column 2."),
        ('{"full_name": "é"'.encode(), "The body is not valid JSON at line 1, column 18."),
    ],
)
def test_an_error_is_at_its_real_place(client: FlaskClient, content: bytes, detail: str) -> None:
    response = client.post("/leads", data=content, content_type=JSON)

    assert (response.status_code, body(response)) == (400, {"detail": detail})


@pytest.mark.parametrize(
    ("path", "content_type", "detail"),
    [
        ("/leads", None, "The Content-Type is missing; send the body as application/json."),
        ("/leads", "text/plain", "Send the body as application/json."),
        ("/leads", FORM, "The body looks like JSON. Send it as application/json."),
        ("/leads/batch", None, "The Content-Type is missing; send the body as application/json."),
        ("/leads/batch", FORM, "Send the body as application/json."),
    ],
)
def test_a_content_type_that_is_missing_or_wrong_is_told(
    client: FlaskClient, new_lead: NewLead, path: str, content_type: str | None, detail: str
) -> None:
    response = client.post(path, data=json.dumps(new_lead()), content_type=content_type)

    assert (response.status_code, body(response)) == (415, {"detail": detail})


def test_json_with_a_byte_order_mark_in_a_form_is_told(client: FlaskClient, new_lead: NewLead) -> None:
    response = client.post("/leads", data=BOM_UTF8 + json.dumps(new_lead()).encode(), content_type=FORM)

    assert (response.status_code, body(response)["detail"]) == (
        415,
        "The body looks like JSON. Send it as application/json.",
    )


@pytest.mark.parametrize("coding", ["", " ", "identity", "Identity", "IDENTITY, identity"])
def test_no_encoding_of_the_content_is_taken_in_any_spelling(
    client: FlaskClient, new_lead: NewLead, coding: str
) -> None:
    headers = {"Content-Encoding": coding}

    assert client.post("/leads", json=new_lead(), headers=headers).status_code == 201
    assert client.post("/leads", data=new_lead(), headers=headers).status_code == 201


@pytest.mark.parametrize("coding", ["GZIP", "identity, br"])
def test_an_encoded_body_is_refused(client: FlaskClient, new_lead: NewLead, coding: str) -> None:
    response = client.post("/leads", json=new_lead(), headers={"Content-Encoding": coding})

    assert (response.status_code, body(response)) == (415, {"detail": "Send the body without a Content-Encoding."})


def test_a_space_where_only_a_plus_can_stand_is_one(client: FlaskClient, new_lead: NewLead) -> None:
    lead = body(client.post("/leads", json=new_lead(email="zebedee+tag@example.com")))

    for query, total in (
        ("created_from=2020-01-01T00:00:00+02:00", 1),
        ("created_to=2020-01-01T00:00:00.5+02:00", 0),
        ("created_to=2020-01-01T00:00:00%2B02:00", 0),
        (f"email={lead['email']}", 1),
        (f"email=+{lead['email']}+", 1),
    ):
        response = client.get(f"/leads?{query}")
        assert (response.status_code, body(response).get("total")) == (200, total), query


@pytest.mark.parametrize("time", ["2020-01-01+00:00:00Z", "2020-01-01T00:00:00+Z", "2020-01-01T00:00:00++02:00"])
def test_any_other_space_in_a_time_is_none(client: FlaskClient, time: str) -> None:
    assert client.get(f"/leads?created_from={time}").status_code == 422


@pytest.mark.one_database
def test_every_unknown_field_is_named(client: FlaskClient, new_lead: NewLead) -> None:
    answers = {
        "_schema foo": client.post("/leads", json=new_lead(_schema=1, foo=2)),
        "_schema": client.get("/leads?_schema=1"),
        "foo limit": client.get("/leads?limit=1&limit=2&foo=1"),
    }

    for names, response in answers.items():
        assert (response.status_code, sorted(body(response)["errors"])) == (422, names.split())


@pytest.mark.one_database
def test_bytes_in_a_query_that_are_no_text_stop_nothing(client: FlaskClient, new_lead: NewLead) -> None:
    environ = {"QUERY_STRING": "q=\xff"}

    searched = client.get("/leads", environ_overrides=environ)
    captured = client.post("/leads", data=new_lead(), environ_overrides=environ)
    refused = client.post("/leads", json=new_lead(), environ_overrides=environ)
    shown = client.get("/inbox", environ_overrides=environ)

    assert [each.status_code for each in (searched, captured, refused, shown)] == [200, 201, 422, 200]
