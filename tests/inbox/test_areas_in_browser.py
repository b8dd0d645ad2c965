"""Quarantine, numbers and destinations in Chromium, full of attacks: nothing runs, and axe-core finds nothing."""

from typing import TYPE_CHECKING

import pytest
from axe_playwright_python.sync_playwright import Axe
from sqlalchemy import create_engine, text

from conftest import MARKER, Serve
from inbox.test_attacks import ATTACKS, HARMLESS, INVENTORY
from leadapi.inbox import notices
from servers import Server

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.one_database

PATHS = [
    "/inbox/quarantine",
    "/inbox/numbers",
    "/inbox/destinations",
    "/inbox/destinations/1",
    "/inbox/destinations/1/change",
    "/inbox/destinations/1/delete",
    "/inbox/destinations/new?kind=chat",
]


@pytest.fixture
def server(serve: Serve, database_url: str) -> Server:
    """A service with attacks in the quarantine, the sources, a destination and the answer of its receiver."""
    server = serve(DATABASE_URL=database_url, DELIVERY="external", WEBHOOK_ALLOW_PRIVATE="on")
    destination = {
        "kind": "webhook",
        "url": "http://127.0.0.1:9/?\"'><script>document.title=1</script>",
        "description": ATTACKS[0],
        "sources": [attack[:100] for attack in ATTACKS],
        "headers": {"X-Token": ATTACKS[1]},
    }
    assert server.post("/destinations", destination).status == 201
    for number, attack in enumerate(ATTACKS):
        lead = {
            "full_name": attack[:255],
            "email": f"{MARKER}.{number}@example.com",
            "company": attack[:255],
            "message": f"{attack}\n{attack}",
            "source": attack[:100],
            "attributes": {attack[:100]: attack},
        }
        assert server.post("/leads", lead).status == 201
        assert server.post("/leads", lead | {"_gotcha": "x"}).status == 201
    failure = "state = 'failed', attempts = 2, last_attempt_at = '2026-02-28 10:00:00.000000Z', error = 'status'"
    engine = create_engine(database_url)
    with engine.begin() as connection:
        for number, attack in enumerate(ATTACKS, 1):
            statement = text(f"UPDATE deliveries SET {failure}, excerpt = :answer WHERE id = :id")
            assert connection.execute(statement, {"answer": attack, "id": number}).rowcount == 1
    engine.dispose()
    return server


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_nothing_runs_or_breaks_out_and_axe_finds_nothing(
    server: Server, browser: "Browser", width: int, scheme: str
) -> None:
    reports: list[str] = []
    with browser.new_context(viewport={"width": width, "height": 800}) as context:
        page = context.new_page()
        page.on("console", lambda message: reports.append(message.text))
        page.on("pageerror", lambda error: reports.append(str(error)))
        page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
        for path in PATHS:
            notice = "done=tested&added=1&deleted=1"
            context.add_cookies([{"name": notices.COOKIE, "value": notice, "url": server.url}])
            page.goto(server.url + path)
            charts = page.locator("svg.chart, svg.share").count()
            assert page.evaluate(INVENTORY) == HARMLESS | {"loading": charts}, path
            page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true })")
            results = Axe().run(page)
            assert results.violations_count == 0, f"{path}: {results.generate_report()}"
            assert page.evaluate("document.documentElement.scrollWidth") <= width, path
        # 400 % on a screen of 1280 pixels.
        page.set_viewport_size({"width": 320, "height": 256})
        for path in PATHS:
            page.goto(server.url + path)
            assert page.evaluate("document.documentElement.scrollWidth") <= 320, path

    assert reports == []
