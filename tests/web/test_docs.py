"""Swagger UI at /docs, opened in a real browser."""

import re
from typing import TYPE_CHECKING

import pytest
from flask.testing import FlaskClient

from conftest import Serve

pytestmark = pytest.mark.one_database

if TYPE_CHECKING:
    from playwright.sync_api import Page


def test_the_bare_address_leads_to_the_page(client: FlaskClient) -> None:
    response = client.get("/")

    assert (response.status_code, response.headers["Location"]) == (302, "/docs")


def test_everything_the_page_needs_is_served_here(client: FlaskClient) -> None:
    html = client.get("/docs").text

    needed = re.findall(r' (?:src|href|data-document)="([^"]+)"', html)
    assert len(needed) == 5
    for address in needed:
        with client.get(address) as response:
            assert response.status_code == 200, address
    assert "<script>" not in html


def test_a_lead_can_be_captured_from_the_page_under_its_policy(serve: Serve, page: "Page") -> None:
    server = serve(DATABASE_URL="sqlite:///./leads.db")
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


@pytest.mark.parametrize("path", ["/docs/start.js", "/docs/assets/swagger-ui.css"])
@pytest.mark.parametrize("name", ["If-Modified-Since", "If-Range"])
def test_a_date_that_no_calendar_has_does_no_harm(client: FlaskClient, name: str, path: str) -> None:
    headers = {name: "Mon, 01 Jan 99999999999 00:00:00 GMT", "Range": "bytes=0-1"}

    with client.get(path, headers=headers) as response:
        assert response.status_code == 200
