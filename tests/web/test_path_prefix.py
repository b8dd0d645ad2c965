"""The service behind a proxy that serves it below a path prefix, in a real browser."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from conftest import MARKER, Serve
from servers import Server

pytestmark = pytest.mark.one_database

if TYPE_CHECKING:
    from playwright.sync_api import Page

# A page as people write it by hand. No charset is declared, and a captcha widget has added its token.
FORM = f"""<!doctype html>
<title>Kontakt</title>
<form method="post" action="/leadapi/leads?utm_source=page" enctype="%s">
  <label>Name <input name="Your Name" required></label>
  <label>E-Mail <input name="E-Mail" type="email" required></label>
  <textarea name="g-recaptcha-response" hidden>{"x" * 3000}</textarea>
  <button>Senden</button>
</form>
"""
ENCTYPES = ["application/x-www-form-urlencoded", "multipart/form-data"]


class Proxy(BaseHTTPRequestHandler):
    """A site with a page, and the service below /leadapi/.

    `strips` is nginx's difference between `proxy_pass http://service/;` and `proxy_pass http://service;`.
    """

    service: Server
    strips: bool

    def do_GET(self) -> None:
        if self.path.startswith("/leadapi/"):
            self.do_POST()
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write((FORM % self.path[1:]).encode())

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        headers = {name: value for name, value in self.headers.items() if name.lower() != "host"}
        path = self.path.removeprefix("/leadapi") if self.strips else self.path
        answer = self.service.pool.request(self.command, path, body=body, headers=headers, redirect=False)
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(answer.data)

    def log_message(self, *arguments: Any) -> None:
        pass


@pytest.fixture(scope="module", params=[True, False], ids=["prefix removed", "prefix kept"])
def site(request: pytest.FixtureRequest, serve_module: Serve) -> Iterator[tuple[str, Server]]:
    """The URL of the site, and the service behind it."""
    settings = {} if request.param else {"SCRIPT_NAME": "/leadapi"}
    service = serve_module(**settings)
    handler = type("Handler", (Proxy,), {"service": service, "strips": request.param})
    proxy = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=proxy.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{proxy.server_port}", service
    proxy.shutdown()
    proxy.server_close()


def test_a_lead_can_be_captured_from_the_documentation(site: tuple[str, Server], page: "Page") -> None:
    url, _ = site

    page.goto(f"{url}/leadapi/")
    operation = page.locator("#operations-leads-createLead")
    operation.click()
    operation.get_by_role("button", name="Execute").click()
    status = operation.locator(".live-responses-table .response .response-col_status")
    status.wait_for()

    assert page.url.partition("#")[0] == f"{url}/leadapi/docs"
    assert status.inner_text().startswith("201")


def test_the_inbox_works_below_the_prefix(site: tuple[str, Server], page: "Page") -> None:
    url, service = site
    service.post("/leads", {"full_name": f"{MARKER} Ada", "email": f"{MARKER}@example.com"})

    page.goto(f"{url}/leadapi/inbox/")
    page.get_by_role("link", name=f"{MARKER} Ada").click()
    page.get_by_label("Note").fill("Called her")
    page.get_by_role("button", name="Contacted").click()
    page.get_by_text("Marked contacted. Note added.").wait_for()
    page.get_by_role("link", name="← Leads").click()
    page.get_by_role("link", name="Contacted 1").click()

    assert page.url == f"{url}/leadapi/inbox?status=contacted"
    assert page.get_by_role("link", name=f"{MARKER} Ada").is_visible()
    # The style is loaded.
    assert page.locator(".badge").first.evaluate("badge => getComputedStyle(badge).borderRadius") == "16px"


@pytest.mark.parametrize("enctype", ENCTYPES)
def test_a_form_on_a_page_without_a_charset_keeps_a_name_whole_and_is_answered_in_german(
    site: tuple[str, Server], page: "Page", enctype: str
) -> None:
    url, service = site
    email = f"{MARKER}.{ENCTYPES.index(enctype)}@example.com"
    name = f"{MARKER} Müller-Strauß “Őry” €"
    page.set_extra_http_headers({"Accept-Language": "de-AT,de;q=0.9,en;q=0.8"})

    page.goto(f"{url}/{enctype}")
    charset = page.evaluate("document.characterSet")
    page.get_by_label("Name").fill(name)
    page.get_by_label("E-Mail").fill(email)
    page.get_by_role("button").click()
    page.get_by_role("heading", name="Vielen Dank").wait_for()

    assert charset == "windows-1252"
    assert page.url == f"{url}/leadapi/leads?utm_source=page"
    # The policy lets the page have its style.
    assert page.locator("body").evaluate("body => getComputedStyle(body).display") == "grid"
    (stored,) = service.get(f"/leads?email={email}").json()["items"]
    assert (stored["full_name"], stored["attributes"]) == (name, {})
