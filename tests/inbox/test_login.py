"""Login, sessions and logout."""

import re
from datetime import UTC, datetime, timedelta
from html import unescape

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text
from werkzeug.test import TestResponse

from conftest import MARKER, MakeApp, NewLead, body, make_key
from inbox.conftest import OWN, LogIn, fields_of
from leadapi import storage
from leadapi.keys import service as keys
from leadapi.storage import db


def log_in(client: FlaskClient, key: str, **fields: str) -> tuple[int, str | None]:
    """The status of a login, and where it leads to."""
    response = client.post("/inbox/login", data={"key": key, **fields}, headers=OWN)
    return response.status_code, response.headers.get("Location")


def test_a_key_is_exchanged_for_a_session(guarded: Flask) -> None:
    client = guarded.test_client()
    key = make_key(guarded, "read")

    before = client.get("/inbox")
    response = client.post("/inbox/login", data={"key": f" {key}\n"}, headers=OWN)

    assert (before.status_code, before.headers["Location"]) == (303, "inbox/login")
    assert (response.status_code, response.headers["Location"]) == (303, "../inbox")
    (cookie,) = response.headers.getlist("Set-Cookie")
    assert cookie.startswith("leadapi=")
    assert {"HttpOnly", "SameSite=Lax", "Path=/", "Max-Age=43200"} <= set(cookie.split("; "))
    assert "Secure" not in cookie
    assert client.get("/inbox").status_code == 200
    # Neither the key nor the token is stored, and the key is not in the cookie.
    token = cookie.partition(";")[0].partition("=")[2]
    with guarded.app_context(), db.engine.connect() as connection:
        (row,) = connection.execute(text("SELECT * FROM inbox_sessions")).all()
    assert len(row.token_hash) == 32
    assert token.encode() not in bytes(row.token_hash)
    assert key[16:] not in cookie


@pytest.mark.one_database
@pytest.mark.parametrize(
    ("settings", "base_url"),
    [({"PUBLIC_URL": "https://leads.example.com"}, "http://localhost"), ({}, "https://localhost")],
    ids=["PUBLIC_URL", "https"],
)
def test_the_cookies_are_secure_where_the_service_is(
    shared_app: MakeApp, settings: dict[str, str], base_url: str
) -> None:
    app = shared_app(AUTH="on", **settings)

    response = app.test_client().post(
        "/inbox/login", data={"key": make_key(app, "read")}, headers=OWN, base_url=base_url
    )

    session = response.headers["Set-Cookie"]
    browser = {"Cookie": session.partition(";")[0]}
    seen = app.test_client(use_cookies=False).get("/inbox", headers=browser, base_url=base_url).headers["Set-Cookie"]
    for name, cookie in (("leadapi", session), ("leadapi-seen", seen)):
        assert cookie.startswith(f"__Host-{name}=")
        assert {"HttpOnly", "Secure", "SameSite=Lax", "Path=/"} <= set(cookie.split("; "))
        assert "Domain" not in cookie


def test_what_is_no_key_for_the_inbox_is_refused_in_words(guarded: Flask) -> None:
    client = guarded.test_client()
    expired = make_key(guarded, "read", expires_at=datetime.now(UTC) - timedelta(seconds=1))
    revoked = make_key(guarded, "admin")
    with guarded.app_context():
        keys.revoke_key(revoked.split("_")[1])

    for key in ("", "lk_nonsense", expired, revoked, expired[:-1] + "x"):
        response = client.post("/inbox/login", data={"key": key}, headers=OWN)
        assert (response.status_code, "not a valid key" in response.text) == (403, True)
        assert "Set-Cookie" not in response.headers
    for scope in ("capture", "write"):
        response = client.post("/inbox/login", data={"key": make_key(guarded, scope)}, headers=OWN)
        assert (response.status_code, "cannot read leads" in response.text) == (403, True)
        assert "Set-Cookie" not in response.headers


def test_a_login_leads_to_the_page_that_was_asked_for_and_never_elsewhere(guarded: Flask) -> None:
    client = guarded.test_client()
    key = make_key(guarded, "read")

    asked = client.get("/inbox/leads/7?saved=note")
    assert asked.headers["Location"] == "../../inbox/login?next=/inbox/leads/7?saved%3Dnote"
    assert (
        'name="next" value="/inbox/leads/7?saved=note"'
        in client.get("/inbox/login?next=/inbox/leads/7?saved%3Dnote").text
    )

    assert log_in(client, key, next="/inbox/leads/7?saved=note") == (303, "../inbox/leads/7?saved=note")
    for page in (
        "https://evil.example/inbox",
        "//evil.example/inbox",
        "/\\evil.example/inbox",
        "/inbox/../leads",
        "/inbox//evil.example",
        "/inboxes",
        "/leads",
        "/inbox/\r\nX: y",
        "javascript:alert(1)",
        f"/inbox/{'x' * 3000}",
    ):
        assert log_in(client, key, next=page) == (303, "../inbox"), page


def test_a_session_ends_with_its_key(guarded: Flask, log_in: LogIn) -> None:
    browser = log_in("read")
    assert browser.get("/inbox").status_code == 200

    with guarded.app_context():
        (key,) = keys.list_keys()
        keys.revoke_key(key.id)

    assert browser.get("/inbox").status_code == 303


def test_a_session_ends_after_twelve_hours(guarded: Flask, log_in: LogIn) -> None:
    browser = log_in("read")
    _age_sessions(guarded)

    assert browser.get("/inbox").status_code == 303

    # The next login deletes what has expired.
    log_in("read")
    assert _count_sessions(guarded) == 1


def test_a_button_that_was_pressed_after_the_session_ended_can_be_pressed(guarded: Flask) -> None:
    browser = guarded.test_client()
    page = "/inbox/quarantine/1/release"

    ended = browser.post(page, headers=OWN)
    hidden = dict(re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)">', ended.text))
    asked = browser.post("/inbox/login", data={**hidden, "key": make_key(guarded, "read", "write")}, headers=OWN)

    assert hidden == {"next": page, "unsent": "1"}
    assert (ended.status_code, asked.status_code) == (403, 200)
    assert re.findall(r'<form [^>]*action="([^"]+)"', asked.text)[-1] == "../inbox/quarantine/1/release"


def test_a_form_that_was_sent_after_the_session_ended_is_kept(
    guarded: Flask, log_in: LogIn, new_lead: NewLead, client: FlaskClient
) -> None:
    lead = body(client.post("/leads", json=new_lead()))
    browser = log_in("read", "write")
    url = f"/inbox/leads/{lead['id']}?q=zebedee"
    note = f'{MARKER} said "two\r\nlines" </textarea><script>'
    form = fields_of(browser.get(url).text) | {"note": note}
    _age_sessions(guarded)

    def fill_in(response: TestResponse, **fields: str) -> TestResponse:
        """Send the form of a page as a browser does, with some fields filled in."""
        (page,) = re.findall(r'<form[^>]* method="post"(.*?)</form>', response.text, re.DOTALL)
        hidden = re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)">', page)
        written = re.findall(r'<textarea [^>]*name="([^"]+)"[^>]*>\n(.*?)</textarea>', page, re.DOTALL)
        (action,) = re.findall(r'^ action="([^"]+)"', page)
        sent = {name: unescape(value) for name, value in [*hidden, *written]} | fields
        return browser.post(f"/{unescape(action).lstrip('./')}", data=sent, headers=OWN)

    ended = browser.post(url, data=form, headers=OWN)
    refused = fill_in(ended, key="lk_wrong")
    asked = fill_in(refused, key=make_key(guarded, "read", "write"))
    assert len(body(client.get(f"/leads/{lead['id']}/events"))["items"]) == 1
    saved = fill_in(asked)

    assert [response.status_code for response in (ended, refused, asked, saved)] == [403, 403, 200, 303]
    assert saved.headers["Location"] == f"../../inbox/leads/{lead['id']}?q=zebedee"
    noted = body(client.get(f"/leads/{lead['id']}/events"))["items"][-1]
    assert noted["data"] == {"text": note.replace("\r\n", "\n")}


def test_a_session_ends_on_logout_in_every_tab(guarded: Flask, log_in: LogIn) -> None:
    browser = log_in("read")
    (cookie,) = [cookie for cookie in [browser.get_cookie("leadapi")] if cookie]

    response = browser.post("/inbox/logout", headers=OWN)

    assert (response.status_code, response.headers["Location"]) == (303, "../inbox/login")
    assert _count_sessions(guarded) == 0
    browser.set_cookie("leadapi", cookie.value)
    assert browser.get("/inbox").status_code == 303


@pytest.mark.one_database
def test_a_browser_forgets_its_session_while_the_database_is_down(make_app: MakeApp) -> None:
    browser = make_app(DATABASE_URL="postgresql://127.0.0.1:1/none", AUTH="on").test_client()
    browser.set_cookie("leadapi", "token")

    response = browser.post("/inbox/logout", headers=OWN)

    assert (response.status_code, response.headers["Location"]) == (303, "../inbox/login")
    assert browser.get_cookie("leadapi") is None


def test_a_new_login_ends_the_session_that_the_browser_had(guarded: Flask, log_in: LogIn) -> None:
    browser, other = log_in("read"), log_in("read")
    before = browser.get_cookie("leadapi")
    assert before is not None

    again = browser.post("/inbox/login", data={"key": make_key(guarded, "read")}, headers=OWN)

    assert again.status_code == 303
    assert _count_sessions(guarded) == 2
    assert (browser.get("/inbox").status_code, other.get("/inbox").status_code) == (200, 200)
    browser.set_cookie("leadapi", before.value)
    assert browser.get("/inbox").status_code == 303


def test_a_cookie_that_nobody_issued_opens_nothing(guarded: Flask) -> None:
    client = guarded.test_client()

    for value in ("", "x", "ä", "lk_" + "0" * 60, make_key(guarded, "admin")):
        client.set_cookie("leadapi", value)
        assert client.get("/inbox").status_code == 303


def test_a_key_in_a_header_opens_nothing(guarded: Flask) -> None:
    response = guarded.test_client().get("/inbox", headers={"X-API-Key": make_key(guarded, "admin")})

    assert response.status_code == 303


@pytest.mark.one_database
@pytest.mark.parametrize("settings", [{}, {"ENV": "production", "RATE_LIMIT_API": "2/minute"}], ids=["local", "API"])
def test_tries_are_limited(make_app: MakeApp, database_url: str, settings: dict[str, str]) -> None:
    app = make_app(DATABASE_URL=database_url, AUTH="on", **settings)
    client = app.test_client()
    key = make_key(app, "read")

    # Only those that fail count.
    assert [log_in(client, key)[0] for _ in range(11)] == [303] * 11
    assert [log_in(client, f"lk_{number}")[0] for number in range(11)] == [403] * 10 + [429]
    response = client.post("/inbox/login", data={"key": key}, headers=OWN)
    assert (response.status_code, response.mimetype) == (429, "text/html")
    assert 50 < int(response.headers["Retry-After"]) <= 60
    # Another address is not affected.
    elsewhere = {"REMOTE_ADDR": "192.0.2.7"}
    assert client.post("/inbox/login", data={"key": key}, headers=OWN, environ_base=elsewhere).status_code == 303


def test_everybody_may_open_the_inbox_where_no_key_is_asked_for(client: FlaskClient) -> None:
    assert client.get("/inbox").status_code == 200
    response = client.get("/inbox/login")
    assert (response.status_code, response.headers["Location"]) == (303, "../inbox")


@pytest.mark.one_database
def test_there_is_no_inbox_where_it_is_off(make_app: MakeApp) -> None:
    client = make_app(DATABASE_URL="sqlite://", INBOX="off").test_client()

    for path in ("/inbox", "/inbox/login", "/inbox/assets/inbox.css"):
        response = client.get(path)
        assert (response.status_code, response.mimetype) == (404, "application/problem+json")


def test_the_last_use_of_a_key_is_recorded_at_the_login(guarded: Flask, log_in: LogIn) -> None:
    log_in("read")

    with guarded.app_context():
        (key,) = keys.list_keys()
    assert key.last_used_at is not None


def _age_sessions(app: Flask) -> None:
    with app.app_context(), storage.write() as tx:
        tx.execute(text("UPDATE inbox_sessions SET expires_at = :time"), {"time": _stored(storage.now())})


def _stored(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M:%S.%f}"


def _count_sessions(app: Flask) -> int:
    with app.app_context(), db.engine.connect() as connection:
        return int(connection.execute(text("SELECT count(*) FROM inbox_sessions")).scalar_one())
