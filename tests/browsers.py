"""Fixtures of the tests in a browser: Chromium, its pages, and pages of other origins."""

import shutil
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

DRIVER_IS_MISSING = "Playwright is missing: pip install -r tests/requirements.txt"
BROWSER_IS_MISSING = "Chromium is missing: apt-get install chromium"
# Without these, Chromium sends requests to Google's servers, or refuses to run as root.
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    """A browser. Its driver keeps an event loop running, so it does not outlive the module that uses it."""
    sync_api = pytest.importorskip("playwright.sync_api", reason=DRIVER_IS_MISSING)
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip(BROWSER_IS_MISSING)
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: "Browser") -> Iterator["Page"]:
    """An empty page of a browser, without the cookies and caches of other tests."""
    with browser.new_context() as context:
        yield context.new_page()


@pytest.fixture
def sites() -> Iterator[tuple[str, str]]:
    """Two origins that answer every request with an empty page."""

    class EmptyPage(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()

        def log_message(self, *arguments: Any) -> None:
            pass

    servers = [ThreadingHTTPServer(("127.0.0.1", 0), EmptyPage) for _ in range(2)]
    for server in servers:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    first, second = (f"http://127.0.0.1:{server.server_port}" for server in servers)
    yield first, second
    for server in servers:
        server.shutdown()
        server.server_close()
