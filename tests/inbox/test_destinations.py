"""The pages that show destinations and their deliveries."""

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from urllib.parse import urljoin

import pytest
from destinations.conftest import URL, change_rows, deliveries
from flask import Flask
from flask.testing import FlaskClient

from conftest import MARKER, Json, MakeApp, Serve, StoredLead, body
from inbox.conftest import OWN, LogIn, as_text
from leadapi.inbox import destinations
from webhook_receiver import Receiver

if TYPE_CHECKING:
    from playwright.sync_api import Browser

MAIL = {"SMTP_URL": "smtp://127.0.0.1:25", "MAIL_FROM": "leads@example.com"}
EVENTS = ["lead.created", "lead.repeated"]


@pytest.fixture
def app(shared_app: MakeApp) -> Flask:
    """An app that accepts every host, so that no test looks up a name."""
    return shared_app(THREADS="4", WEBHOOK_ALLOW_PRIVATE="on", **MAIL)


def create(client: FlaskClient, **fields: object) -> int:
    """Create a destination by the API, and return its id."""
    response = client.post("/destinations", json={"kind": "webhook", "url": URL, **fields})
    assert response.status_code == 201, response.json
    return int(body(response)["id"])


def show(client: FlaskClient, destination_id: int = 1) -> Json:
    return body(client.get(f"/destinations/{destination_id}"))


def submit(client: FlaskClient, path: str, **fields: object) -> str:
    """Send a form, and return the page that it leads to."""
    url = f"/inbox/destinations{path}"
    response = client.post(url, data=fields, headers=OWN)
    assert response.status_code in (200, 303), response.text
    if response.status_code == 200:
        return response.text
    return client.get(urljoin(url, response.headers["Location"])).text


def end(app: Flask, delivery_id: int, state: str, error: str | None = None, status: int | None = None) -> None:
    """Store an outcome as a dispatcher does, one minute after another."""
    change_rows(
        app,
        "UPDATE deliveries SET state = :state, error = :error, status = :status, attempts = 2, last_attempt_at = :at,"
        " duration_ms = 1234, excerpt = '<b>no</b>' WHERE id = :id",
        state=state,
        error=error,
        status=status,
        at=f"2026-02-28 10:{delivery_id:02}:00.000000Z",
        id=delivery_id,
    )


def table(html: str) -> list[str]:
    """The text of each line of the table."""
    (found,) = re.findall("(?s)<tbody>(.*?)</tbody>", html)
    return [as_text(row) for row in found.split("</tr>")[:-1]]


# --- list ----------------------------------------------------------------------------------------


def test_the_list_tells_how_each_destination_is(app: Flask, client: FlaskClient, stored_lead: StoredLead) -> None:
    for name in ("Works", "Fails", "Stopped", "Paused"):
        create(client, description=f"{MARKER} {name}")
    stored_lead()
    # PostgreSQL numbers the deliveries of one event in any order.
    first, second, third = (deliveries(client, number)[0]["id"] for number in (1, 2, 3))
    end(app, first, "delivered", status=204)
    end(app, second, "due", "status", 503)
    end(app, third, "failed", "status", 410)
    change_rows(app, "UPDATE destinations SET enabled = false, disabled_reason = 'gone' WHERE id = 3")
    client.patch("/destinations/4", json={"enabled": False})
    create(client, kind="email", url=f"mailto:{MARKER}@example.com,b@example.com")

    works, fails, stopped, paused, unused = table(client.get("/inbox/destinations").text)

    assert works == f"{MARKER} Works {URL} Webhook Working 28 Feb 2026"
    assert "Failing It answered with an error. (503)" in fails
    assert "Stopped The receiver answered that it is gone (410)." in stopped
    assert "Paused" in paused
    assert unused == f"{MARKER}@example.com, b@example.com Mail Nothing sent yet"


@pytest.mark.one_database
def test_without_destinations_it_says_what_they_are(client: FlaskClient) -> None:
    assert "No destinations yet." in client.get("/inbox/destinations").text


def test_the_pages_have_every_destination_once(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(destinations, "PAGE", 2)
    for number in range(3):
        create(client, description=f"{MARKER} {number}")

    first = client.get("/inbox/destinations").text
    (after,) = re.findall(r'rel="next" href="[^"?]+(\?[^"]+)"', first)

    assert [line[:9] for line in table(first)] == [f"{MARKER} 0", f"{MARKER} 1"]
    assert [line[:9] for line in table(client.get(f"/inbox/destinations{after}").text)] == [f"{MARKER} 2"]


# --- deliveries ----------------------------------------------------------------------------------


def test_deliveries_are_listed_by_state_and_page(
    app: Flask, client: FlaskClient, stored_lead: StoredLead, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(destinations, "DELIVERIES", 2)
    create(client)
    for _ in range(3):
        stored_lead()
    end(app, 1, "delivered", status=204)
    end(app, 2, "failed", "status", 500)

    first = client.get("/inbox/destinations/1").text
    (after,) = re.findall(r'rel="next" href="[^"?]+(\?[^"]+)"', first)
    due, failed = table(first)

    assert due == "New lead Lead 3 Waiting"
    assert failed.startswith("New lead Lead 2 Failed 2 attempts It answered with an error. (500) in 1,234 ms")
    assert "&lt;b&gt;no&lt;/b&gt;" in first
    assert [line[:15] for line in table(client.get(f"/inbox/destinations/1{after}").text)] == ["New lead Lead 1"]
    assert [line[:15] for line in table(client.get("/inbox/destinations/1?state=failed").text)] == ["New lead Lead 2"]
    assert "No delivery is in this state." in client.get("/inbox/destinations/1?state=cancelled").text


@pytest.mark.one_database
def test_a_test_is_sent(client: FlaskClient) -> None:
    create(client)

    html = submit(client, "/1/test")

    assert "The test is on its way." in html
    assert table(html) == ["Test Waiting"]


def test_deliveries_are_sent_again(app: Flask, client: FlaskClient, stored_lead: StoredLead) -> None:
    create(client)
    stored_lead()
    end(app, 1, "delivered", status=204)

    assert "The delivery is being sent again." in submit(client, "/1/deliveries/1/replay")
    response = client.post("/inbox/destinations/1/deliveries/1/replay", headers=OWN)
    assert (response.status_code, response.mimetype) == (409, "text/html")
    assert "Nothing failed in this period." in submit(client, "/1/replay", hours="1")


def test_what_failed_lately_is_sent_again(app: Flask, client: FlaskClient, stored_lead: StoredLead) -> None:
    create(client)
    for number in range(1, 4):
        stored_lead()
        end(app, number, "failed", "timeout")
    two_hours_ago = datetime.now(UTC) - timedelta(hours=2)
    change_rows(app, "UPDATE deliveries SET last_attempt_at = :at WHERE id > 1", at=f"{two_hours_ago:%F %T.000000}Z")

    hour = submit(client, "/1/replay", hours="1")
    day = submit(client, "/1/replay", hours="24")

    assert "Nothing failed" in hour
    assert "2 deliveries are being sent again." in day
    assert client.post("/inbox/destinations/1/replay", data={"hours": "2"}, headers=OWN).status_code == 422


# --- what may not be done ------------------------------------------------------------------------


@pytest.mark.one_database
def test_the_destination_of_a_setting_is_fixed(make_app: MakeApp, database_url: str) -> None:
    app = make_app(DATABASE_URL=database_url, NOTIFY_EMAIL="sales@example.com", **MAIL)
    client = app.test_client()

    html = client.get("/inbox/destinations/1").text

    assert "It comes from the setting NOTIFY_EMAIL." in html
    assert "Send a test" in html
    assert "/change" not in html
    for path in ("change", "delete", "enable"):
        fields = {"url": "a@example.com", "events": EVENTS}
        response = client.post(f"/inbox/destinations/1/{path}", data=fields, headers=OWN)
        assert (response.status_code, response.mimetype) == (409, "text/html")


@pytest.mark.one_database
def test_only_an_admin_sees_destinations(guarded: Flask, log_in: LogIn) -> None:
    # It tells what a path can do, whoever asks.
    assert guarded.test_client().options("/inbox/destinations").status_code == 200
    writer, admin = log_in("read", "write"), log_in("read", "admin")
    with guarded.test_request_context():
        paths = [
            (method, re.sub("<id:[a-z_]+>", "1", rule.rule))
            for rule in guarded.url_map.iter_rules()
            if rule.endpoint.startswith("inbox.destinations.")
            for method in (rule.methods or set()) & {"GET", "POST"}
        ]

    assert len(paths) == 13
    for method, path in paths:
        assert writer.open(path, method=method, headers=OWN).status_code == 403, path
        assert admin.open(path, method=method, headers=OWN).status_code in (200, 404, 422), path
    assert "Destinations" not in writer.get("/inbox").text
    assert "Destinations" in admin.get("/inbox").text


# --- in a browser --------------------------------------------------------------------------------


@pytest.mark.one_database
def test_a_webhook_is_added_and_tested_by_keyboard_without_a_script(serve: Serve, browser: "Browser") -> None:
    receiver = Receiver()
    server = serve(DATABASE_URL="sqlite:///./leads.db", WEBHOOK_ALLOW_PRIVATE="on")
    with browser.new_context(java_script_enabled=False) as context:
        page = context.new_page()
        page.goto(f"{server.url}/inbox/destinations")
        page.get_by_role("link", name="Add a destination").press("Enter")
        page.get_by_label("URL").fill(receiver.url)
        page.keyboard.press("Enter")
        page.get_by_role("heading", name="The secret of the webhook").wait_for()
        page.get_by_role("link", name="To the destination").press("Enter")
        page.get_by_role("button", name="Send a test").press("Enter")
        page.get_by_text("The test is on its way.").wait_for()
        receiver.until(1)
        page.get_by_role("link", name="Reload").press("Enter")
        # The outcome is stored after the answer.
        while not page.get_by_text("Working").count():
            page.reload()
    receiver.close()
