"""POST /leads."""

import re
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from flask.testing import FlaskClient

from conftest import MARKER, NewLead, StoredLead, body

TAKEN = b'{"detail":"Lead with this email already exists."}'


def test_stores_a_lead_and_shows_it(client: FlaskClient, new_lead: NewLead) -> None:
    sent = new_lead()

    response = client.post("/leads", json=sent)

    assert response.status_code == 201
    assert response.headers["Location"] == "/leads/1"
    assert response.mimetype == "application/json"
    shown = body(response)
    seven = ["id", "full_name", "email", "company", "message", "source", "created_at"]
    assert list(shown) == [*seven, "status", "attributes", "updated_at"]
    created_at = shown.pop("created_at")
    assert (shown.pop("status"), shown.pop("attributes"), shown.pop("updated_at")) == ("new", {}, created_at)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", created_at)
    assert abs((datetime.now(UTC) - datetime.fromisoformat(created_at)).total_seconds()) < 60
    assert shown == {"id": 1, **sent}


def test_needs_only_a_name_and_an_address(client: FlaskClient, new_lead: NewLead) -> None:
    sent = {name: value for name, value in new_lead().items() if name in ("full_name", "email")}

    shown = body(client.post("/leads", json=sent))

    assert (shown["company"], shown["message"], shown["source"]) == (None, None, None)


@pytest.mark.parametrize("field", ["company", "message", "source"])
def test_takes_null_for_what_is_optional(client: FlaskClient, new_lead: NewLead, field: str) -> None:
    response = client.post("/leads", json=new_lead(**{field: None}))

    assert response.status_code == 201
    assert body(response)[field] is None


def test_removes_the_spaces_around_a_name_and_an_address(client: FlaskClient, new_lead: NewLead) -> None:
    sent = new_lead()

    shown = body(
        client.post(
            "/leads", json=sent | {"full_name": f" \t\u3000{sent['full_name']}\n", "email": f" {sent['email']} "}
        )
    )

    assert (shown["full_name"], shown["email"]) == (sent["full_name"], sent["email"])


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("full_name", "Zé"),
        ("full_name", "𝔷" * 255),
        ("full_name", " " * 300 + "Zebedee"),
        ("email", "x@" + ".".join(["a" * 62] * 3) + ".example.com"),
        ("email", "zebedee+tag@example.com"),
        ("email", "zébédée@bücher.example"),
        ("company", " "),
        ("company", "é" * 255),
        ("message", "𝔷" * 2000),
        ("message", "one\ntwo\tthree\r\nfour"),
        ("source", "s" * 100),
    ],
)
def test_takes_what_is_just_within_the_rules(client: FlaskClient, new_lead: NewLead, field: str, value: str) -> None:
    response = client.post("/leads", json=new_lead(**{field: value}))

    assert response.status_code == 201
    assert body(response)[field] == (value.strip() or value)


@pytest.mark.one_database
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("full_name", None),
        ("full_name", "Z"),
        ("full_name", "  Z  "),
        ("full_name", "z" * 256),
        ("full_name", 17),
        ("full_name", ["Zebedee"]),
        ("full_name", "Zebe\0dee"),
        ("full_name", "Zebe\ndee"),
        ("full_name", "Zebe\x9bdee"),
        ("email", None),
        ("email", ""),
        ("email", "zebedee"),
        ("email", "zebedee@localhost"),
        ("email", "zebedee@[127.0.0.1]"),
        ("email", "zebedee@example.test"),
        ("email", "zebedee@example.com\0"),
        ("email", "zebedee@exam ple.com"),
        ("email", '"zebedee"@example.com'),
        ("email", "z@" + ".".join(["a" * 60] * 4) + ".example.com"),
        ("email", "z" * 100_000),
        ("email", True),
        ("company", "c" * 256),
        ("company", "Zebedee\x07"),
        ("company", {}),
        ("message", "m" * 2001),
        ("message", "Zebedee\0"),
        ("message", "Zebedee\x1b[2J"),
        ("message", "Zebedee\rDee"),
        ("source", "s" * 101),
        ("source", "a\tb"),
        ("source", 1.5),
        ("created_at", "2026-02-28T10:00:00Z"),
        ("id", 7),
        ("status", "qualified"),
        ("updated_at", "2026-02-28T10:00:00Z"),
        ("attributes", {str(number): "z" for number in range(51)}),
        ("attributes", {"": "zebedee"}),
        ("attributes", {"n" * 101: "zebedee"}),
        ("attributes", {"na\nme": "zebedee"}),
        # 16 KiB and a byte as JSON, and much more of it in characters that JSON escapes.
        ("attributes", {**{str(number): "z" * 2000 for number in range(8)}, "z": "z" * (16385 - 8 * 2007 - 8)}),
        ("attributes", {str(number): "\x01" * 2000 for number in range(2)}),
        ("nonsense", None),
    ],
)
def test_refuses_a_field_that_breaks_its_rule_by_name(
    client: FlaskClient, new_lead: NewLead, field: str, value: Any
) -> None:
    response = client.post("/leads", json=new_lead(**{field: value}))

    assert response.status_code == 422
    assert response.mimetype == "application/problem+json"
    assert body(response)["detail"] == f"This field is not valid: {field}."
    assert list(body(response)["errors"]) == [field]
    assert body(client.get("/leads"))["total"] == 0


def test_an_empty_value_is_as_good_as_none(client: FlaskClient, new_lead: NewLead) -> None:
    sent = new_lead(company="", message="", source="", attributes={"page": "", "phone": MARKER})

    lead = body(client.post("/leads", json=sent))

    assert (lead["company"], lead["message"], lead["source"]) == (None, None, None)
    assert lead["attributes"] == {"phone": MARKER}
    assert body(client.get("/leads/1")) == lead


def test_names_every_field_that_is_wrong(client: FlaskClient) -> None:
    response = client.post("/leads", json={"email": "nobody", "company": 1, "surname": "Dee"})

    assert response.status_code == 422
    assert set(body(response)["errors"]) == {"full_name", "email", "company", "surname"}


@pytest.mark.one_database
@pytest.mark.parametrize("sent", [[], "text", 1, None, True])
def test_refuses_a_body_that_is_no_object(client: FlaskClient, sent: Any) -> None:
    response = client.post("/leads", data=orjson.dumps(sent), content_type="application/json")

    assert response.status_code == 422
    assert list(body(response)["errors"]) == ["body"]


def test_refuses_an_email_already_taken(client: FlaskClient, new_lead: NewLead, stored_lead: StoredLead) -> None:
    taken = stored_lead()["email"]

    response = client.post("/leads", json=new_lead(email=taken.upper()))

    assert response.status_code == 409
    assert response.mimetype == "application/problem+json"
    assert response.data == TAKEN
    assert response.headers["Location"] == "/leads/1"
    assert body(client.get("/leads"))["total"] == 1


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (f"{MARKER}@bücher.example", f"{MARKER}@xn--bcher-kva.example"),
        (f"{MARKER}@BÜCHER.example", f"{MARKER.upper()}@bu\u0308cher.EXAMPLE"),
        (f"{MARKER}.é@example.com", f"{MARKER}.e\u0301@example.com"),
        (f"{MARKER}.straße@example.com", f"{MARKER}.STRASSE@example.com"),
        (f"{MARKER}.İ@example.com", f"{MARKER}.i\u0307@example.com"),
    ],
)
def test_takes_two_spellings_of_one_address_for_the_same(
    client: FlaskClient, new_lead: NewLead, stored_lead: StoredLead, first: str, second: str
) -> None:
    stored_lead(email=first)

    response = client.post("/leads", json=new_lead(email=second))

    assert (response.status_code, response.data) == (409, TAKEN)


def test_takes_addresses_that_differ_for_two_people(client: FlaskClient, stored_lead: StoredLead) -> None:
    for email in ("z.dee@example.com", "zdee@example.com", "zdee+1@example.com", "zdee@mail.example.com"):
        stored_lead(email=email)

    assert body(client.get("/leads"))["total"] == 4


def test_shows_an_address_as_normalised(client: FlaskClient, stored_lead: StoredLead) -> None:
    assert stored_lead(email="Zebedee.É@XN--BCHER-KVA.Example")["email"] == "Zebedee.É@bücher.example"


@pytest.mark.one_database
@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"NaN",
        b'{"full_name": NaN}',
        b"[" * 100_000 + b"]" * 100_000,
        b'{"full_name": ' + b"9" * 5000 + b"}",
        b'{"full_name": "\\ud800"}',
        b'{"full_name": "\xff"}',
        b"{'full_name': 'Zebedee'}",
    ],
    ids=["empty", "cut", "NaN", "NaN inside", "deep", "long number", "surrogate", "bad UTF-8", "not JSON"],
)
def test_refuses_what_is_not_json(client: FlaskClient, data: bytes) -> None:
    response = client.post("/leads", data=data, content_type="application/json")

    assert response.status_code == 400
    assert response.mimetype == "application/problem+json"
    assert list(body(response)) == ["detail"]


@pytest.mark.one_database
@pytest.mark.parametrize("content_type", [None, "text/plain", "application/xml", "application/json-seq", "garbage"])
def test_refuses_another_content_type(client: FlaskClient, content_type: str | None) -> None:
    response = client.post("/leads", data=b"{}", content_type=content_type)

    assert response.status_code == 415
    assert response.mimetype == "application/problem+json"


def test_refuses_a_query_by_name(client: FlaskClient, new_lead: NewLead) -> None:
    response = client.post("/leads?source=elsewhere", json=new_lead())

    assert response.status_code == 422
    assert body(response)["errors"] == {"source": ["Unknown field."]}


def test_refuses_a_content_encoding(client: FlaskClient, new_lead: NewLead) -> None:
    response = client.post("/leads", json=new_lead(), headers={"Content-Encoding": "gzip"})

    assert response.status_code == 415
    assert body(response) == {"detail": "Send the body without a Content-Encoding."}


def test_refuses_more_fields_than_it_would_name(client: FlaskClient, new_lead: NewLead) -> None:
    lead = new_lead()
    more = {f"field {number}": 0 for number in range(101 - len(lead))}

    response = client.post("/leads", json=lead | more)
    assert response.status_code == 422
    assert body(response)["errors"] == {"body": ["Has more than 100 fields."]}

    more.popitem()
    assert body(client.post("/leads", json=lead | more))["errors"].keys() == more.keys()


def test_names_no_more_than_a_sentence_can_hold(client: FlaskClient, new_lead: NewLead) -> None:
    names = [f"{number}{'x' * 60}" for number in range(6)]

    problem = body(client.post("/leads", json=new_lead(**dict.fromkeys(names, 0))))

    assert re.fullmatch(r"These fields are not valid: (\dx{39}, ){5}….", problem["detail"])
    assert sorted(problem["errors"]) == names


def test_takes_a_content_type_with_a_charset(client: FlaskClient, new_lead: NewLead) -> None:
    sent = client.application.json.dumps(new_lead())

    response = client.post("/leads", data=sent, content_type="Application/JSON; charset=utf-8")

    assert response.status_code == 201


def test_refuses_a_body_that_is_too_large(client: FlaskClient, new_lead: NewLead) -> None:
    response = client.post("/leads", json=new_lead(message="m" * 2**20))

    assert response.status_code == 413
    assert response.mimetype == "application/problem+json"


def test_keeps_markup_and_quotes_as_they_are(client: FlaskClient, new_lead: NewLead) -> None:
    text = "<script>alert('zebedee')</script> \"; DROP TABLE leads; -- %s %(x)s {} \\ \u202e"
    response = client.post("/leads", json=new_lead(message=text))

    assert body(response)["message"] == text
    assert body(client.get("/leads"))["items"][0]["message"] == text
