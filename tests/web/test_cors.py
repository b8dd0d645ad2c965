"""Pages of other origins: what a browser is told, and what it makes of it."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from documents import operations
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from conftest import MakeApp, NewLead, Serve, body
from leadapi.web import cors

pytestmark = pytest.mark.one_database

if TYPE_CHECKING:
    from playwright.sync_api import Page

SITE = "https://www.example.com"
OTHER = "https://www.example.org"

MakeClient = Callable[[str], FlaskClient]


@pytest.fixture
def allowing(shared_app: MakeApp) -> MakeClient:
    """A client of a service that allows origins."""
    return lambda origins: shared_app(CORS_ORIGINS=origins).test_client()


def broken() -> str:
    """Fail as only a bug would."""
    raise RuntimeError


def about_origins(response: TestResponse) -> list[str]:
    """The headers that tell a browser about origins."""
    return [name for name, _ in response.headers if name.startswith("Access-Control-")]


def listed(value: str) -> set[str]:
    """The elements of a header."""
    return set(value.split(", "))


def test_a_page_of_an_allowed_origin_is_let_in(allowing: MakeClient, new_lead: NewLead) -> None:
    client = allowing(f"{SITE},http://localhost:3000")

    response = client.post("/leads", json=new_lead(), headers={"Origin": SITE})

    assert response.status_code == 201
    assert response.headers.getlist("Access-Control-Allow-Origin") == [SITE]
    assert listed(response.headers["Access-Control-Expose-Headers"]) == set(cors.SHOWN)
    assert "Access-Control-Allow-Credentials" not in response.headers
    assert response.headers.getlist("Vary") == ["Origin"]


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/nowhere", 404), ("PUT", "/leads", 405), ("POST", "/leads", 415)]
)
def test_an_error_can_be_read_too(allowing: MakeClient, method: str, path: str, status: int) -> None:
    response = allowing(SITE).open(path, method=method, headers={"Origin": SITE})

    assert response.status_code == status
    assert response.headers["Access-Control-Allow-Origin"] == SITE


def test_a_crash_can_be_read_too(make_app: MakeApp) -> None:
    app = make_app(DATABASE_URL="sqlite://", CORS_ORIGINS=SITE)
    app.add_url_rule("/broken", "broken", broken)

    response = app.test_client().get("/broken", headers={"Origin": SITE})

    assert response.status_code == 500
    assert response.headers.getlist("Access-Control-Allow-Origin") == [SITE]


@pytest.mark.parametrize(
    "origin",
    [
        OTHER,
        f"{SITE}.evil.example",
        f"{SITE}:8443",
        SITE.replace("https", "http"),
        SITE.replace(".", "x"),
        "null",
        "*",
        "",
        None,
    ],
)
def test_another_origin_is_told_nothing(allowing: MakeClient, origin: str | None) -> None:
    client = allowing(f"{SITE},http://[::1]:3000")

    response = client.get("/leads", headers={} if origin is None else {"Origin": origin})

    assert response.status_code == 200
    assert about_origins(response) == []
    # Or a cache could hand this answer to the origin that is allowed.
    assert response.headers.getlist("Vary") == ["Origin"]


def test_an_address_in_brackets_is_an_origin_too(allowing: MakeClient) -> None:
    client = allowing("http://[::1]:3000")

    response = client.get("/leads", headers={"Origin": "http://[::1]:3000"})

    assert response.headers["Access-Control-Allow-Origin"] == "http://[::1]:3000"


def test_any_origin_can_be_allowed(allowing: MakeClient) -> None:
    client = allowing("*")

    response = client.get("/leads", headers={"Origin": OTHER})

    assert response.headers["Access-Control-Allow-Origin"] == "*"
    assert "Vary" not in response.headers
    assert about_origins(client.get("/leads")) == []


def test_nothing_is_said_of_origins_unless_asked_for(client: FlaskClient) -> None:
    asked = {"Origin": SITE, "Access-Control-Request-Method": "POST"}

    for response in (client.get("/leads", headers=asked), client.options("/leads", headers=asked)):
        assert response.status_code == 200
        assert about_origins(response) == []
        assert "Vary" not in response.headers


@pytest.mark.parametrize("path", ["/leads", "/leads/export", "/nowhere"])
def test_a_preflight_is_told_what_is_in_use_and_for_how_long(allowing: MakeClient, path: str) -> None:
    wanted = "sentry-trace, baggage, traceparent, hx-request, x-requested-with, authorization"
    asked = {"Origin": SITE, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": wanted}

    response = allowing(SITE).options(path, headers=asked)

    assert (response.status_code, response.data) == (204, b"")
    assert response.headers["Access-Control-Allow-Origin"] == SITE
    assert listed(response.headers["Access-Control-Allow-Methods"]) == set(cors.METHODS)
    assert listed(response.headers["Access-Control-Allow-Headers"]) == listed(wanted)
    assert response.headers["Access-Control-Max-Age"] == "7200"


def test_a_preflight_that_names_too_many_headers_is_told_none(allowing: MakeClient) -> None:
    asked = {"Origin": SITE, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "a," * 2049}

    response = allowing(SITE).options("/leads", headers=asked)

    assert response.headers["Access-Control-Allow-Origin"] == SITE
    assert "Access-Control-Allow-Headers" not in response.headers


def test_who_only_asks_what_an_address_answers_is_told(allowing: MakeClient) -> None:
    response = allowing(SITE).options("/leads", headers={"Origin": SITE})

    assert response.status_code == 200
    assert {"GET", "POST"} <= set(response.headers["Allow"].split(", "))


def test_a_preflight_of_another_origin_is_told_nothing(allowing: MakeClient) -> None:
    asked = {"Origin": OTHER, "Access-Control-Request-Method": "POST"}

    response = allowing(SITE).options("/leads", headers=asked)

    assert about_origins(response) == []


def test_every_method_and_response_header_of_the_document_is_let_through(client: FlaskClient) -> None:
    document = body(client.get("/openapi.json"))
    described = list(operations(document))
    answers = [answer for *_, each in described for answer in each["responses"].values()]
    answers += document["components"]["responses"].values()

    assert {method.upper() for method, *_ in described} <= set(cors.METHODS)
    # A page has no use for the others: it has the file itself, and knows what it asked for.
    used = {name for answer in answers for name in answer.get("headers", {})} - {"Content-Disposition", "Allow"}
    assert used <= set(cors.SHOWN)


# --- in a real browser ---------------------------------------------------------------------------


SEND = """async ([url, lead]) => {
    const headers = {"Content-Type": "application/json", "Prefer": "return=representation"};
    try {
        const answer = await fetch(url, {method: "POST", headers, body: JSON.stringify(lead)});
        return [answer.status, answer.headers.get("Location"), (await answer.json())];
    } catch (error) {
        return error.name;
    }
}"""
FORM = """([url, fields]) => {
    const form = document.body.appendChild(document.createElement("form"));
    Object.assign(form, {method: "post", action: url, enctype: fields.enctype});
    for (const [name, value] of Object.entries(fields.values)) {
        form.appendChild(Object.assign(document.createElement("textarea"), {name, value}));
    }
    form.submit();
}"""


def test_a_browser_lets_one_origin_send_a_lead_and_another_not(
    serve: Serve, page: "Page", sites: tuple[str, str], new_lead: NewLead
) -> None:
    allowed, refused = sites
    server = serve(DATABASE_URL="sqlite:///./leads.db", CORS_ORIGINS=allowed)
    lead = new_lead()

    page.goto(refused)
    from_the_refused = page.evaluate(SEND, [f"{server.url}/leads", lead])
    stored = server.get("/leads").json()["total"]
    page.goto(allowed)
    from_the_allowed = page.evaluate(SEND, [f"{server.url}/leads", lead])
    again = page.evaluate(SEND, [f"{server.url}/leads", lead])

    assert (from_the_refused, stored) == ("TypeError", 0)
    assert from_the_allowed[:2] == [201, "/leads/1"]
    assert from_the_allowed[2]["email"] == lead["email"]
    assert again == [409, "/leads/1", {"detail": "Lead with this email already exists."}]


@pytest.mark.parametrize("enctype", ["application/x-www-form-urlencoded", "multipart/form-data"])
def test_a_plain_form_of_any_page_sends_a_lead_and_its_visitor_goes_where_it_is_listed(
    serve: Serve, page: "Page", sites: tuple[str, str], new_lead: NewLead, enctype: str
) -> None:
    site, other = sites
    server = serve(DATABASE_URL="sqlite:///./leads.db", REDIRECT_URLS=f"{site}/thanks")
    lead = new_lead(message="first\nsecond")
    seen = []

    for fields in (lead | {"_next": f"{site}/thanks"}, lead | {"_next": f"{other}/thanks"}, {"email": "nobody"}):
        page.goto(f"{site}/form")
        with page.expect_navigation():
            page.evaluate(FORM, [f"{server.url}/leads", {"enctype": enctype, "values": fields}])
        seen.append((page.url, page.locator("h1").all_inner_texts()))

    assert seen == [
        (f"{site}/thanks", []),
        (f"{server.url}/leads", ["Thank you"]),
        (f"{server.url}/leads", ["Your message was not sent"]),
    ]
    assert page.locator("dt").all_inner_texts() == ["Name", "Email address"]
    (stored,) = server.get("/leads").json()["items"]
    assert {name: stored[name] for name in lead} == lead
