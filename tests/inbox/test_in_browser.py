"""The inbox in Chromium: by keyboard alone, without a script, and judged by axe-core."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from axe_playwright_python.sync_playwright import Axe

from conftest import MARKER, Json, MakeApp, Serve, make_key
from leadapi.inbox import notices
from servers import Server

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.one_database

DEMO = {
    "full_name": f"{MARKER} Ada",
    "email": f"{MARKER}.ada@example.com",
    "company": "Engines",
    "message": "I would like a demo.\nSoon.",
    "source": "landing-page",
    "attributes": {"phone": "+1 555 0100"},
}


@pytest.fixture(scope="module")
def running(serve_module: Serve) -> Server:
    return serve_module()


@pytest.fixture
def server(running: Server) -> Server:
    """A service with three leads, whose ids differ from test to test."""
    server = running
    for lead_id in ids(server):
        assert server.pool.request("DELETE", f"/leads/{lead_id}").status == 204
    for number in range(2):
        # The longest source, without a place to break it.
        one = {"full_name": f"{MARKER} {number}", "email": f"{MARKER}.{number}@example.com", "source": "x" * 100}
        store(server, DEMO | one)
    store(server, DEMO)
    return server


def store(server: Server, lead: Json) -> None:
    assert server.post("/leads", lead).status == 201


def ids(server: Server) -> list[int]:
    """The ids of the leads, the oldest first."""
    return [lead["id"] for lead in server.get("/leads").json()["items"]]


@pytest.fixture(params=[False, True], ids=["keyboard", "no script"])
def plain_page(request: pytest.FixtureRequest, browser: "Browser") -> Iterator["Page"]:
    """A page of a browser with and without scripts."""
    with browser.new_context(java_script_enabled=not request.param) as context:
        yield context.new_page()


def press_until(page: "Page", name: str) -> None:
    """Press Tab until the control with this name has the focus."""
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.locator("*:focus").count() and name in page.locator("*:focus").inner_text():
            return
    raise AssertionError(f"Tab does not reach {name}")


def test_every_task_can_be_done_by_keyboard_alone_and_without_a_script(server: Server, plain_page: "Page") -> None:
    page = plain_page
    page.goto(f"{server.url}/inbox")
    page.keyboard.press("Tab")
    assert page.locator("*:focus").inner_text() == "Skip to content"

    press_until(page, f"{MARKER} Ada")
    page.keyboard.press("Enter")
    page.get_by_role("heading", name=f"{MARKER} Ada").wait_for()
    press_until(page, "Lost")
    page.keyboard.press("Tab")
    page.keyboard.type("Called her")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.get_by_text("Note added.").wait_for()
    press_until(page, "Contacted")
    page.keyboard.press("Enter")
    page.get_by_text("Marked contacted.").wait_for()
    press_until(page, "Undo")
    page.keyboard.press("Enter")
    page.get_by_text("Marked new.").wait_for()
    press_until(page, "Erase this lead")
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Erase this lead?").wait_for()
    while not page.locator("input:focus").count():
        page.keyboard.press("Tab")
    page.keyboard.press("Space")
    press_until(page, "Erase for good")
    page.keyboard.press("Enter")
    page.get_by_text("was erased.").wait_for()

    assert server.get("/leads").json()["total"] == 2


def test_the_keys_move_open_and_explain(server: Server, page: "Page") -> None:
    page.goto(f"{server.url}/inbox")
    focused = page.locator("*:focus")

    page.keyboard.press("j")
    assert focused.inner_text() == f"{MARKER} Ada"
    page.keyboard.press("j")
    page.keyboard.press("k")
    page.keyboard.press("j")
    assert focused.inner_text() == f"{MARKER} 1"
    page.keyboard.press("?")
    page.get_by_role("dialog").wait_for()
    page.keyboard.press("Escape")
    page.get_by_role("dialog").wait_for(state="hidden")
    page.keyboard.press("Enter")
    page.get_by_role("heading", name=f"{MARKER} 1").wait_for()
    page.keyboard.press("s")
    assert focused.inner_text() == "New"
    # In a field, letters are letters.
    page.get_by_label("Note").focus()
    page.keyboard.type("j?k")
    assert page.get_by_label("Note").input_value() == "j?k"


def test_the_address_can_be_copied(server: Server, page: "Page") -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.goto(f"{server.url}/inbox/leads/{ids(server)[2]}")

    page.get_by_role("button", name="Copy address").click()
    page.get_by_role("button", name="Copied").wait_for()

    assert page.evaluate("navigator.clipboard.readText()") == DEMO["email"]


def test_the_list_refreshes_itself_and_keeps_the_focus(server: Server, page: "Page") -> None:
    page.clock.install()
    page.goto(f"{server.url}/inbox")
    page.keyboard.press("j")
    store(server, DEMO | {"full_name": f"{MARKER} Grace", "email": f"{MARKER}.grace@example.com"})

    with page.expect_response("**/inbox"):
        page.clock.fast_forward(31_000)
    page.get_by_role("link", name=f"{MARKER} Grace").wait_for()

    assert page.title() == "(4) Leads · leadapi"
    assert page.locator("*:focus").inner_text() == f"{MARKER} Ada"
    assert page.get_by_text("Unseen").count() == 1


PATHS = [
    "/inbox",
    "/inbox?q=demo&source=landing-page&status=new",
    "/inbox?q=nowhere",
    "/inbox/leads/{id}",
    "/inbox/leads/{id}?q=demo",
    "/inbox/leads/{id}/erase",
    "/inbox/leads/999999",
]


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_axe_finds_nothing(server: Server, browser: "Browser", width: int, scheme: str) -> None:
    lead_id = ids(server)[0]
    changed = server.pool.request("PATCH", f"/leads/{lead_id}", json={"status": "lost", "attributes": {"phone": "2"}})
    assert changed.status == 200
    with browser.new_context(viewport={"width": width, "height": 800}) as context:
        page = context.new_page()
        page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
        for path in PATHS:
            if "?" in path:
                notice = "saved=status-note&erased=2"
                context.add_cookies([{"name": notices.COOKIE, "value": notice, "url": server.url}])
            page.goto(server.url + path.format(id=lead_id))
            results = Axe().run(page)
            assert results.violations_count == 0, f"{path}: {results.generate_report()}"
            assert page.evaluate("document.documentElement.scrollWidth") <= width, path


def test_axe_finds_nothing_at_the_door_and_in_an_empty_inbox(
    serve: Serve, shared_app: MakeApp, database_url: str, page: "Page"
) -> None:
    guarded = serve(DATABASE_URL=database_url, AUTH="on")
    key = make_key(shared_app(), "read", "write")

    def judge(heading: str) -> None:
        page.get_by_role("heading", name=heading).wait_for()
        results = Axe().run(page)
        assert results.violations_count == 0, f"{heading}: {results.generate_report()}"

    def log_in() -> None:
        page.get_by_label("API key").fill(key)
        page.get_by_role("button", name="Log in").click()

    page.goto(f"{guarded.url}/inbox")
    judge("Log in")
    log_in()
    judge("Leads")
    store(guarded, DEMO)
    page.goto(f"{guarded.url}/inbox/leads/1")
    page.context.clear_cookies()
    page.get_by_role("button", name="Contacted").click()
    judge("Log in")
    log_in()
    judge("Send it again?")


def test_nothing_moves_where_motion_is_unwanted(server: Server, page: "Page") -> None:
    page.emulate_media(reduced_motion="reduce")
    page.goto(f"{server.url}/inbox/leads/{ids(server)[0]}")

    durations = page.locator("*").evaluate_all("all => all.map(each => getComputedStyle(each).transitionDuration)")
    assert set(durations) == {"0s"}


def test_a_page_of_twice_the_size_needs_no_sideways_scrolling(server: Server, browser: "Browser") -> None:
    lead_id = ids(server)[0]
    # 200 % on a screen of 1280 pixels is as narrow as 640.
    with browser.new_context(viewport={"width": 640, "height": 400}, device_scale_factor=2) as context:
        page = context.new_page()
        for path in PATHS:
            if "?" in path:
                notice = "saved=status-note&erased=2"
                context.add_cookies([{"name": notices.COOKIE, "value": notice, "url": server.url}])
            page.goto(server.url + path.format(id=lead_id))
            assert page.evaluate("document.documentElement.scrollWidth") <= 640, path
