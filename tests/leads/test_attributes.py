"""The attributes of a lead in POST /leads."""

from typing import Any

import pytest
from flask.testing import FlaskClient

from conftest import MARKER, NewLead, body

# As JSON, 16 KiB are 320 characters more.
NEARLY_ALL = {str(number): "v" * 2000 for number in range(8)}


@pytest.mark.one_database
def test_the_limit_of_attributes_is_named(client: FlaskClient, new_lead: NewLead) -> None:
    response = client.post("/leads", json=new_lead(attributes={str(number): "z" for number in range(51)}))

    assert body(response)["errors"] == {"attributes": ["Has more than 50 attributes."]}


@pytest.mark.one_database
@pytest.mark.parametrize(
    "attributes",
    [
        [1],
        "",
        {str(number): "z" for number in range(51)},
        {"": "zebedee"},
        {"n" * 101: "zebedee"},
        {"na\nme": "zebedee"},
        NEARLY_ALL | {"8": "v" * 321},
        {str(number): "é" * 1024 for number in range(8)},
    ],
)
def test_refuses_attributes_that_break_a_rule(client: FlaskClient, new_lead: NewLead, attributes: Any) -> None:
    response = client.post("/leads", json=new_lead(attributes=attributes))

    assert response.status_code == 422
    assert list(body(response)["errors"]) == ["attributes"]


@pytest.mark.one_database
@pytest.mark.parametrize("value", ["v" * 2001, None, 17, {"phone": "zebedee"}])
def test_refuses_an_attribute_that_breaks_its_rule_by_name(client: FlaskClient, new_lead: NewLead, value: Any) -> None:
    response = client.post("/leads", json=new_lead(attributes={"page": "zebedee", "phone": value}))

    assert response.status_code == 422
    assert list(body(response)["errors"]) == ["attributes.phone"]


@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"utm_source": MARKER, "Página 𝔷": 'one\r\ntwo\t\0 "=1+1"'},
        {f"{number:0100}": MARKER for number in range(50)},
        {"n" * 100: "𝔷" * 2000},
        NEARLY_ALL | {"8": "v" * 320},
    ],
)
def test_keeps_attributes_as_they_are(client: FlaskClient, new_lead: NewLead, attributes: dict[str, str]) -> None:
    response = client.post("/leads", json=new_lead(attributes=attributes))

    assert response.status_code == 201
    assert body(response)["attributes"] == attributes
    assert list(body(client.get("/leads/1"))["attributes"]) == list(attributes)
    assert body(client.get("/leads"))["items"][0]["attributes"] == attributes


def test_an_empty_list_is_the_empty_object_of_php(client: FlaskClient, new_lead: NewLead) -> None:
    response = client.post("/leads", json=new_lead(attributes=[]))

    assert response.status_code == 201
    assert body(response)["attributes"] == {}
