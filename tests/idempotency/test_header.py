"""Idempotency-Key: what the header may be."""

import pytest
from flask.testing import FlaskClient

from conftest import NewLead, body
from leadapi.idempotency.decorator import read_key

pytestmark = pytest.mark.one_database


@pytest.mark.parametrize(
    ("header", "key"),
    [
        ("abc", "abc"),
        ('"abc"', "abc"),
        (' "abc" ', "abc"),
        ('"a, b"', "a, b"),
        (r'"a\"b\\c"', r'a"b\c'),
        ("x" * 255, "x" * 255),
        (f'"{"x" * 255}"', "x" * 255),
        ("8e03978e-40d5-43dd-bc93-6894a57f9324", "8e03978e-40d5-43dd-bc93-6894a57f9324"),
    ],
)
def test_a_key_may_have_quotes(header: str, key: str) -> None:
    assert read_key(header) == key


@pytest.mark.parametrize(
    "header", ["", " ", '""', '"abc', '"a"b"', "a b", "a,b", '"a", "b"', r'"a\b"', "\x7f", "é", "x" * 256, '"abc";q=1']
)
def test_a_malformed_key_is_a_400(client: FlaskClient, new_lead: NewLead, header: str) -> None:
    response = client.post("/leads", json=new_lead(), headers={"Idempotency-Key": header})

    assert response.status_code == 400
    assert list(body(response)) == ["detail"]
    assert body(client.get("/leads"))["total"] == 0
