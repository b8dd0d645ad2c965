"""What a form may bring that its visitor neither sees nor can correct; see also test_forms.py."""

from collections.abc import Callable
from typing import Any

import orjson
import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from conftest import MARKER, NewLead, body
from leadapi.leads.forms import to_body

pytestmark = pytest.mark.one_database

KINDS = ["application/x-www-form-urlencoded", "multipart/form-data"]

Send = Callable[..., TestResponse]


@pytest.fixture(params=KINDS, ids=["urlencoded", "multipart"])
def send(client: FlaskClient, request: pytest.FixtureRequest) -> Send:
    """Send a form in each way in turn."""

    def post(fields: Any) -> TestResponse:
        return client.post("/leads", data=fields, content_type=request.param)

    return post


@pytest.mark.parametrize(
    ("labels", "name"),
    [
        ({"Name": "Ada Doe"}, "Ada Doe"),
        ({"Your Name": "Ada Doe"}, "Ada Doe"),
        ({"FULL-NAME *": "Ada Doe"}, "Ada Doe"),
        ({"Full name (required) *": "Ada Doe"}, "Ada Doe"),
        ({"Name (First) (required)": "Ada", "Name (Last)": "Doe"}, "Ada Doe"),
        ({"First Name": "Ada", "Last Name": "Doe"}, "Ada Doe"),
        ({"last_name": "Doe", "first_name": "Ada"}, "Ada Doe"),
        ({"firstname": "Ada", "surname": ""}, "Ada"),
        ({"Name": "Ada Doe", "First Name": "Ada", "Last Name": "Doe"}, "Ada Doe"),
        ({"Vorname": "Ada", "Name": "Doe"}, "Ada Doe"),
        ({"Prénom": "Ada", "NOM": "Doe"}, "Ada Doe"),
        ({"Nombre": "Ada", "Apellidos": "Doe Roe"}, "Ada Doe Roe"),
        ({"Nome": "Ada", "Cognome": "Doe"}, "Ada Doe"),
        ({"Imię": "Ada", "Nazwisko": "Doe"}, "Ada Doe"),
        ({"form_fields[name]": "Ada Doe"}, "Ada Doe"),
        ({"full_name": "Ada Doe"}, "Ada Doe"),
    ],
)
def test_common_names_of_a_name_are_understood(
    client: FlaskClient, send: Send, new_lead: NewLead, labels: dict[str, str], name: str
) -> None:
    fields = new_lead()
    del fields["full_name"]

    response = send(labels | fields)

    assert (response.status_code, body(response)["full_name"]) == (201, name)
    attributes = body(response)["attributes"]
    assert attributes == ({"First Name": "Ada", "Last Name": "Doe"} if len(labels) == 3 else {})


@pytest.mark.parametrize(
    ("label", "field"),
    [
        ("E-Mail", "email"),
        ("your email", "email"),
        ("Email_Address", "email"),
        ("E-mail-adresse:", "email"),
        ("contact[email]", "email"),
        ("email[]", "email"),
        ("E-Mail (geschäftlich)", "email"),
        ("Correo electrónico", "email"),
        ("COMPANY", "company"),
        ("Company Name", "company"),
        ("organisation", "company"),
        ("Firma", "company"),
        ("your-message", "message"),
        ("Comments", "message"),
        ("Quelle", "source"),
        ("Nachricht", "message"),
        ("Wiadomość", "message"),
        ("Lead Source", "source"),
    ],
)
def test_common_names_of_the_other_fields_are_understood(send: Send, new_lead: NewLead, label: str, field: str) -> None:
    fields = new_lead()
    fields[label] = fields.pop(field)

    response = send(fields)

    assert response.status_code == 201
    assert (body(response)[field], body(response)["attributes"]) == (fields[label], {})


def test_of_two_names_of_a_field_that_of_the_lead_counts_and_the_other_is_an_attribute(
    send: Send, new_lead: NewLead
) -> None:
    response = send({"Work Email": "work@example.com", "Name": "Ada"} | new_lead())
    empty = send({"Work Email": "home@example.com"} | new_lead(email=""))

    assert body(response)["email"].startswith(MARKER)
    assert body(response)["attributes"] == {"Work Email": "work@example.com", "Name": "Ada"}
    assert (body(empty)["email"], body(empty)["attributes"]) == ("home@example.com", {})


def test_of_several_values_the_first_that_is_not_empty_counts(client: FlaskClient, new_lead: NewLead) -> None:
    fields = new_lead(company=["", " ", "Acme", "Acme"], message=["", ""], source=["one", "two"])
    response = client.post("/leads", data=fields, content_type=KINDS[0])

    lead = body(response)
    assert (lead["company"], lead["message"], lead["source"], lead["attributes"]) == ("Acme", None, "one", {})


def test_what_is_for_others_is_ignored(client: FlaskClient, send: Send, new_lead: NewLead) -> None:
    tokens = ["g-recaptcha-response", "h-captcha-response", "cf-turnstile-response", "frc-captcha-solution", "altcha"]
    tokens += ["smart-token", "fc-token", "geetest_challenge"]
    fields = new_lead(_wpcf7="123", _token="x" * 3000) | dict.fromkeys(tokens, "03AFcWeA" * 300)

    response = send(fields)

    assert (response.status_code, body(response)["attributes"]) == (201, {})


def test_a_form_s_url_may_have_any_parameters(client: FlaskClient, new_lead: NewLead) -> None:
    query = "?_gl=1*abc&utm_source=x&utm_source=y&limit=0"

    form = client.post(f"/leads{query}", data=new_lead(), content_type=KINDS[0])
    json = client.post(f"/leads{query}", json=new_lead())

    assert (form.status_code, body(form)["attributes"]) == (201, {})
    assert json.status_code == 422


def test_what_is_too_long_or_too_much_is_cut(client: FlaskClient, send: Send, new_lead: NewLead) -> None:
    url = "https://www.example.com/?" + "x" * 3000

    response = send(new_lead(source="s" * 101, landing_page=url) | {"n" * 101: "1", "n" * 1100: "2"})

    lead = body(response)
    assert response.status_code == 201
    assert lead["source"] == "s" * 100
    assert lead["attributes"] == {"landing_page": url[:2000], "n" * 100: "1"}
    (event,) = body(client.get(f"/leads/{lead['id']}/events"))["items"]
    left_out = event["data"].pop("left_out")
    assert event["data"] == lead
    assert left_out["landing_page"] == url


def test_a_lead_keeps_as_many_attributes_as_it_has_room_for(send: Send, new_lead: NewLead) -> None:
    many = send(new_lead(**{f"a{number}": "1" for number in range(60)}))
    large = send(new_lead(**{f"a{number:02}": "é\n" * 1000 for number in range(9)}, last="1"))

    assert list(body(many)["attributes"]) == [f"a{number}" for number in range(50)]
    attributes = body(large)["attributes"]
    assert list(attributes) == ["a00", "a01", "a02", "a03", "last"]
    assert len(orjson.dumps(attributes)) <= 16 * 1024


def test_all_that_was_cut_is_handed_on_for_the_history() -> None:
    url = "https://www.example.com/?" + "x" * 3000
    form = {
        "full_name": ["Ada", "Ada Doe"],
        "source": ["s" * 101],
        "landing_page": [url],
        "n" * 101: ["1"],
        **{f"a{number}": ["1"] for number in range(49)},
        "company": ["Acme", "Acme"],
    }

    given, left_out = to_body(form)

    assert (given["full_name"], given["company"]) == ("Ada", "Acme")
    assert left_out == {
        "full_name": "Ada Doe",
        "source": "s" * 101,
        "landing_page": url,
        "n" * 101: "1",
        "a48": "1",
    }


def test_what_is_handed_on_is_bounded() -> None:
    _, left_out = to_body({f"{number}": ["é" * 10_000] for number in range(90)})

    assert sum(len(f"{name}{text}".encode()) for name, text in left_out.items()) <= 64 * 1024
    assert left_out["3"] == "é" * (64 * 1024 // 2 - 3 * 10_000 - 2)


@pytest.mark.parametrize(
    ("field", "sent", "stored"),
    [
        (
            "message",
            "one\vtwo\fthree\rfour\r\nfive\tsix\x00seven\x85eight",
            "one\ntwo\nthree\nfour\nfive\tsix seven\neight",
        ),
        ("full_name", "Ada\x0bDoe\x00", "Ada Doe"),
        ("full_name", "\u200bAda\u00a0Doe\ufeff\u3164", "Ada\u00a0Doe"),
        ("company", "Acme\r\nInc\x9f", "Acme Inc "),
        ("source", "page\x1f", "page "),
        ("email", "\u202aada.invisible@exa\u200bmple.com\u202c\xad", "ada.invisible@example.com"),
        ("email", "ada.spaces@example.com\u00a0\u200d", "ada.spaces@example.com"),
        ("email", "ada\ufe0f.selector@example\U000e0020.com", "ada.selector@example.com"),
        ("full_name", "Ada \u2764\ufe0f", "Ada \u2764\ufe0f"),
    ],
)
def test_characters_that_nobody_sees_are_no_reason_to_refuse(
    send: Send, new_lead: NewLead, field: str, sent: str, stored: str
) -> None:
    response = send(new_lead(**{field: sent}))

    assert (response.status_code, body(response).get(field)) == (201, stored)


def test_names_and_values_of_attributes_have_no_control_characters(send: Send, new_lead: NewLead) -> None:
    response = send(new_lead() | {"\x00 your\x1fphone": "1\x002\v3", "\x00\u200b": "x"})

    assert body(response)["attributes"] == {"your phone": "1 2\n3"}


@pytest.mark.parametrize(
    "name",
    [
        "\u200b\u200b",
        "\u3164\u3164\u3164",
        " \u00ad\u2060\ufeff ",
        "\u2800\u2800",
        "\x00\x01",
        "\ufe0f\ufe0f",
        "\ufe00 \u180b",
        "\U000e0041\U000e0042",
        "\U000e0100\U000e0100",
    ],
)
def test_a_name_that_nobody_sees_is_none(client: FlaskClient, send: Send, new_lead: NewLead, name: str) -> None:
    form = send(new_lead(full_name=name))
    json = client.post("/leads", json=new_lead(full_name=name))

    assert (form.status_code, list(body(form)["errors"])) == (422, ["full_name"])
    assert (json.status_code, list(body(json)["errors"])) == (422, ["full_name"])
