"""Swagger UI at /docs, opened in a real browser."""

import re
from typing import TYPE_CHECKING

import pytest
from flask.testing import FlaskClient

from conftest import Json, Serve
from servers import Server

pytestmark = pytest.mark.one_database

if TYPE_CHECKING:
    from playwright.sync_api import Page


def test_the_bare_address_leads_to_the_page(client: FlaskClient) -> None:
    response = client.get("/")

    assert (response.status_code, response.headers["Location"]) == (302, "docs")


def test_everything_the_page_needs_is_served_here(client: FlaskClient) -> None:
    html = client.get("/docs").text

    needed = re.findall(r' (?:src|href|data-document)="([^"]+)"', html)
    assert len(needed) == 6
    for address in needed:
        # Relative, because a proxy may serve the page below a prefix.
        assert not address.startswith("/")
        with client.get(f"/{address}") as response:
            assert response.status_code == 200, address
    assert "<script>" not in html


@pytest.fixture(scope="module")
def server(serve_module: Serve) -> Server:
    """A service with the default settings."""
    return serve_module()


def test_a_lead_can_be_captured_from_the_page_under_its_policy(server: Server, page: "Page") -> None:
    asked: list[str] = []
    faults: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: faults.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: faults.append(str(error)))

    shown = page.goto(f"{server.url}/docs")
    page.locator("#operations-leads-listLeads").wait_for()
    # What is folded may need something else of the policy than what is not.
    for folded in page.locator("#operations-leads-exportLeads, .model-container button[aria-expanded=false]").all():
        folded.click()
    operation = page.locator("#operations-leads-createLead")
    operation.click()
    operation.get_by_role("button", name="Execute").click()
    answer = operation.locator(".live-responses-table .response")
    answer.wait_for()

    assert shown is not None
    assert "script-src 'self'; style-src 'self';" in shown.headers["content-security-policy"]
    assert answer.locator(".response-col_status").inner_text().startswith("201")
    assert "john@example.com" in answer.inner_text()
    leads = server.get("/leads").json()
    assert (leads["total"], leads["items"][0]["email"]) == (1, "john@example.com")
    assert [url for url in asked if not url.startswith((f"{server.url}/", "data:"))] == []
    assert faults == []


def open_docs(page: "Page", url: str) -> None:
    page.goto(f"{url}/docs")
    page.locator("#operations-leads-createLead").wait_for()


def test_capture_comes_first_and_nothing_asks_for_a_key_without_auth(server: Server, page: "Page") -> None:
    open_docs(page, server.url)

    shown = [each.get_attribute("id") for each in page.locator(".opblock").all()]
    assert shown.index("operations-leads-createLead") == 0
    assert page.locator(".authorization__btn, .btn.authorize").count() == 0


def test_the_key_is_kept_on_reload(serve: Serve, page: "Page") -> None:
    open_docs(page, serve(AUTH="on").url)
    page.locator(".btn.authorize").click()
    page.locator(".auth-container input[aria-label=auth-bearer-value]").fill("lk_key")
    page.locator(".auth-container .btn.authorize").first.click()
    page.reload()
    operation = page.locator("#operations-leads-listLeads")
    operation.click()
    with page.expect_request("**/leads?*") as sent:
        operation.get_by_role("button", name="Execute").click()

    assert sent.value.headers["authorization"] == "Bearer lk_key"


# The luminance of a colour, and the contrast of each element's text with the page (WCAG 2.2).
CONTRASTS = """elements => elements.map(element => {
  const luminance = colour => colour.match(/[0-9.]+/g).slice(0, 3).map(part => part / 255)
    .map(part => part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
    .reduce((sum, part, index) => sum + part * [0.2126, 0.7152, 0.0722][index], 0)
  const page = luminance(getComputedStyle(document.documentElement).backgroundColor)
  const text = luminance(getComputedStyle(element).color)
  return [page, (Math.max(page, text) + 0.05) / (Math.min(page, text) + 0.05)]
})"""


def test_the_page_is_dark_where_the_browser_is(server: Server, page: "Page") -> None:
    page.emulate_media(color_scheme="dark")
    open_docs(page, server.url)
    page.locator("#operations-leads-createLead").click()
    texts = page.locator("h2.title, .info p, .opblock-summary-description, .header-col, .response-col_status")
    page.locator(".header-col").first.wait_for()

    measured = texts.evaluate_all(CONTRASTS)
    assert max(luminance for luminance, _ in measured) < 0.05
    assert min(contrast for _, contrast in measured) > 4.5

    page.emulate_media(color_scheme="light")
    page.locator("html:not(.dark-mode)").wait_for()


def test_the_description_says_how_to_begin(document: Json) -> None:
    text = document["info"]["description"]

    for word in ("Quick start", "Idempotency-Key", "`Link`", "`after`", "HTML forms"):
        assert word in text


@pytest.mark.parametrize("path", ["/docs/start.js", "/docs/style.css", "/docs/assets/swagger-ui.css"])
@pytest.mark.parametrize("name", ["If-Modified-Since", "If-Range"])
def test_a_date_that_no_calendar_has_does_no_harm(client: FlaskClient, name: str, path: str) -> None:
    headers = {name: "Mon, 01 Jan 99999999999 00:00:00 GMT", "Range": "bytes=0-1"}

    with client.get(path, headers=headers) as response:
        assert response.status_code == 200
