"""POST /leads as an HTML form."""

import base64
import hashlib
import io
import re
from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from conftest import MARKER, Json, MakeApp, NewLead, StoredLead, body

pytestmark = pytest.mark.one_database

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
JSON = "application/json"
THANKS = "https://www.example.com/thanks?from=form"
KINDS = ["application/x-www-form-urlencoded", "multipart/form-data"]

Send = Callable[..., TestResponse]


@pytest.fixture
def client(shared_app: MakeApp) -> FlaskClient:
    """A service that knows a page to send visitors to."""
    return shared_app(REDIRECT_URLS=f"https://www.example.com/other,{THANKS}").test_client()


@pytest.fixture(params=KINDS, ids=["urlencoded", "multipart"])
def send(client: FlaskClient, request: pytest.FixtureRequest) -> Send:
    """Send a form in each way in turn."""

    def post(fields: Any, accept: str = BROWSER) -> TestResponse:
        return client.post("/leads", data=fields, content_type=request.param, headers={"Accept": accept})

    return post


def leads(client: FlaskClient) -> list[Json]:
    """All that is stored."""
    items: list[Json] = body(client.get("/leads"))["items"]
    return items


def test_a_form_is_a_lead_and_its_visitor_is_thanked(client: FlaskClient, send: Send, new_lead: NewLead) -> None:
    sent = new_lead()

    response = send(sent)

    assert (response.status_code, response.mimetype) == (200, "text/html")
    assert "<h1>Thank you</h1>" in response.text
    assert MARKER not in response.text.lower()
    assert "Location" not in response.headers
    assert "ETag" not in response.headers
    (lead,) = leads(client)
    assert {name: lead[name] for name in sent} == sent


def test_a_page_for_people_has_no_script_and_a_strict_policy(send: Send, new_lead: NewLead) -> None:
    for fields in (new_lead(), {}):
        response = send(fields)

        assert "<script" not in response.text
        policy = response.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        (style,) = re.findall("<style>(.+)</style>", response.text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
        assert f"style-src 'sha256-{digest}'" in policy
        assert response.headers["Cache-Control"] == "no-store"
        assert '<html lang="en">' in response.text
        assert response.text.count("<h1>") == response.text.count("<main>") == response.text.count("<title>") == 1


def test_other_fields_are_attributes_and_empty_ones_are_absent(
    client: FlaskClient, send: Send, new_lead: NewLead
) -> None:
    send(
        new_lead(company="", source="", phone="+1 555 0100", fax="", interest=["tea", "", "cakes"], status="x")
        | {"_subject": "A form builder's own", "_next": "https://evil.example/", "_gotcha": ""}
    )

    (lead,) = leads(client)
    assert (lead["company"], lead["source"], lead["status"]) == (None, None, "new")
    assert lead["attributes"] == {"phone": "+1 555 0100", "interest": "tea, cakes", "status": "x"}


def test_text_comes_as_it_was_written(client: FlaskClient, send: Send, new_lead: NewLead) -> None:
    send(new_lead(full_name=f"{MARKER} Zoë & Söhne = 100 % +;", message="first\r\nsecond\n\nlast 𝔷"))

    (lead,) = leads(client)
    assert lead["full_name"] == f"{MARKER} Zoë & Söhne = 100 % +;"
    assert lead["message"] == "first\nsecond\n\nlast 𝔷"


def test_a_repeat_is_merged_and_looks_as_the_first(client: FlaskClient, send: Send, stored_lead: StoredLead) -> None:
    first = stored_lead()

    response = send({"full_name": f"{MARKER} again", "email": first["email"].upper(), "company": "", "phone": "1"})

    assert response.status_code == 200
    assert "<h1>Thank you</h1>" in response.text
    (lead,) = leads(client)
    assert (lead["full_name"], lead["company"]) == (f"{MARKER} again", first["company"])
    assert lead["attributes"] == {"phone": "1"}
    events = body(client.get(f"/leads/{first['id']}/events"))["items"]
    assert [event["type"] for event in events] == ["lead.created", "lead.repeated"]


def test_of_a_repeat_with_too_many_attributes_what_fits_is_merged_and_all_is_kept_in_the_history(
    client: FlaskClient, send: Send, stored_lead: StoredLead
) -> None:
    first = stored_lead(attributes={f"a{number}": "1" for number in range(49)})
    sent = {"full_name": f"{MARKER} again", "email": first["email"], "message": f"{MARKER} once more"}

    response = send({**sent, "phone": "2", "a0": "3", "fax": "4"})

    assert (response.status_code, response.mimetype) == (200, "text/html")
    (lead,) = leads(client)
    assert {name: lead[name] for name in sent} == sent
    assert lead["attributes"] == {**first["attributes"], "a0": "3", "phone": "2"}
    event = body(client.get("/leads/1/events"))["items"][-1]
    assert event["data"]["resolution"] == "merge-duplicates"
    assert event["data"]["sent"] == {**sent, "attributes": {"phone": "2", "a0": "3", "fax": "4"}}
    assert event["data"]["changes"]["attributes"] == {"from": first["attributes"], "to": lead["attributes"]}


def test_the_visitor_is_sent_where_the_operator_allows(client: FlaskClient, send: Send, new_lead: NewLead) -> None:
    response = send(new_lead(_next=THANKS))

    assert (response.status_code, response.headers["Location"], response.data) == (303, THANKS, b"")
    assert len(leads(client)) == 1


@pytest.mark.parametrize(
    "wish",
    [
        f"{THANKS}#",
        f"{THANKS}&a=1",
        THANKS.upper(),
        THANKS.replace("https", "http"),
        f" {THANKS}",
        f"{THANKS}\n",
        "https://www.example.com/",
        "//www.example.com/thanks",
        "javascript:alert(1)",
        "/docs",
        "",
        ["https://www.example.com/other", THANKS],
    ],
)
def test_the_visitor_is_sent_nowhere_else(client: FlaskClient, send: Send, new_lead: NewLead, wish: Any) -> None:
    response = send(new_lead(_next=wish))

    assert response.status_code == 200
    assert "Location" not in response.headers
    assert len(leads(client)) == 1


def test_a_program_gets_json(client: FlaskClient, send: Send, new_lead: NewLead) -> None:
    sent = new_lead(_next=THANKS)

    created, repeated, refused = send(sent, JSON), send(sent, JSON), send({"email": "nobody"}, JSON)

    assert (created.status_code, created.mimetype) == (201, JSON)
    assert created.headers["Location"] == "/leads/1"
    assert body(created) == leads(client)[0]
    assert (repeated.status_code, repeated.headers["Preference-Applied"]) == (200, "resolution=merge-duplicates")
    assert (refused.status_code, refused.mimetype) == (422, "application/problem+json")
    assert set(body(refused)["errors"]) == {"full_name", "email"}


@pytest.mark.parametrize(
    ("accept", "mimetype"),
    [
        # What curl, fetch and most libraries send.
        ("*/*", JSON),
        ("", JSON),
        ("text/*", JSON),
        ("application/xhtml+xml, */*;q=0.8", JSON),
        (BROWSER, "text/html"),
        ("TEXT/HTML ; Q=0.5", "text/html"),
        ("text/html, */*; q=0.01", "text/html"),
        ("text/html;q=0", JSON),
        ("text/html;q=0.5, */*", JSON),
        ("application/json;q=0.9, text/html", "text/html"),
        ("application/json, text/html;q=0.9", JSON),
        ("application/*", JSON),
        # What axios and many other programs send.
        ("application/json, text/plain, */*", JSON),
        ("application/json; charset=utf-8", JSON),
        # What n8n sends.
        (
            "application/json,text/html,application/xhtml+xml,application/xml,text/*;q=0.9, */*;q=0.7",
            JSON,
        ),
        ("text/html; charset=utf-8, application/json; charset=utf-8", "text/html"),
        ("image/png", JSON),
    ],
)
def test_a_page_is_for_those_who_name_html(send: Send, new_lead: NewLead, accept: str, mimetype: str) -> None:
    assert send(new_lead(), accept).mimetype == mimetype


def test_the_page_of_a_refused_form_names_the_faults(client: FlaskClient, send: Send, new_lead: NewLead) -> None:
    response = send(new_lead(full_name="Z", email="", message="m" * 2001, phone="<b>"))

    assert (response.status_code, response.mimetype) == (422, "text/html")
    assert re.findall(r"<dt>(.+)</dt>", response.text) == ["Name", "Email address", "Message"]
    assert '<p role="alert">' in response.text
    assert "Please enter your name, with 2 to 255 characters." in response.text
    assert leads(client) == []


def test_a_file_is_named_on_a_page_as_the_form_names_it(client: FlaskClient, new_lead: NewLead) -> None:
    fields = new_lead() | {"your-<b>_cv": (io.BytesIO(b"x"), "cv.txt")}

    response = client.post("/leads", data=fields, content_type=KINDS[1], headers={"Accept": BROWSER})

    assert response.status_code == 422
    assert re.findall(r"<dt>(.+)</dt>", response.text) == ["Your &lt;b&gt; cv"]
    assert "Files cannot be sent." in response.text


def test_a_trap_that_is_filled_looks_like_success_and_stores_nothing(
    client: FlaskClient, send: Send, new_lead: NewLead, stored_lead: StoredLead
) -> None:
    known = stored_lead()
    traps = [new_lead(_gotcha="x"), new_lead(_gotcha=["", "x"]), new_lead(email=known["email"], _gotcha="x")]

    caught = [send(fields) for fields in traps]
    redirected = send(new_lead(_gotcha="x", _next=THANKS))
    told = send(traps[0], JSON)
    free = send(new_lead(email=traps[0]["email"]), JSON)

    honest = send(new_lead())
    for response in caught:
        assert (response.status_code, response.text) == (honest.status_code, honest.text)
        assert dict(response.headers).keys() == dict(honest.headers).keys()
    assert (redirected.status_code, redirected.headers["Location"]) == (303, THANKS)
    assert (told.status_code, list(body(told))) == (201, list(body(free)))
    assert free.status_code == 201
    assert leads(client)[0]["full_name"] == known["full_name"]
    assert len(leads(client)) == 3


def test_a_form_is_a_form_only_where_leads_are_captured(client: FlaskClient) -> None:
    form: dict[str, Any] = {"data": {"a": "b"}, "content_type": KINDS[0], "headers": {"Accept": BROWSER}}
    batch, listed, put = (
        client.open(path, method=method, **form)
        for method, path in (("POST", "/leads/batch"), ("GET", "/leads"), ("PUT", "/leads"))
    )

    assert (batch.status_code, batch.mimetype) == (415, "application/problem+json")
    assert (listed.status_code, listed.mimetype) == (200, "application/json")
    assert (put.status_code, put.mimetype) == (405, "application/problem+json")


def test_a_visitor_who_must_wait_is_told_so_on_a_page(make_app: MakeApp, database_url: str, new_lead: NewLead) -> None:
    client = make_app(DATABASE_URL=database_url, RATE_LIMIT_CAPTURE="1/minute").test_client()

    client.post("/leads", data=new_lead(), headers={"Accept": BROWSER})
    response = client.post("/leads", data=new_lead(), headers={"Accept": BROWSER})

    assert (response.status_code, response.mimetype) == (429, "text/html")
    seconds = int(response.headers["Retry-After"])
    assert f"Please try again in {seconds} seconds." in response.text
    assert response.headers["RateLimit"].startswith('"capture";r=0;')
