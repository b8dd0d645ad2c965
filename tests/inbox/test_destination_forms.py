"""The forms that add, change and delete destinations, and make new secrets."""

import re

import pytest
from destinations.conftest import URL, change_rows
from flask import Flask
from flask.testing import FlaskClient

import run_log
from conftest import MARKER, MakeApp, StoredLead, body
from inbox.conftest import OWN, as_text
from inbox.test_destinations import EVENTS, MAIL, create, show, submit


@pytest.fixture
def app(shared_app: MakeApp) -> Flask:
    """An app that accepts every host, so that no test looks up a name."""
    return shared_app(THREADS="4", WEBHOOK_ALLOW_PRIVATE="on", **MAIL)


def secret_of(html: str) -> str:
    (secret,) = re.findall(r'<code id="secret">(whsec_[^<]+)</code>', html)
    run_log.secrets.append(secret)
    return str(secret)


def test_a_webhook_is_added_and_its_secret_shown_once(client: FlaskClient) -> None:
    fields = {
        "url": f" {URL} ",
        "description": "CRM",
        "events": ["lead.created", "lead.noted"],
        "sources": "page\r\n\r\n mail ",
        "headers": "X-Token: a:b\nAuthorization:Bearer c",
        "enabled": "yes",
    }

    html = submit(client, "/new", **fields)

    secret = secret_of(html)
    assert secret not in client.get("/inbox/destinations/1").text
    stored = show(client)
    assert (stored["kind"], stored["url"], stored["description"]) == ("webhook", URL, "CRM")
    assert (stored["events"], stored["sources"]) == (["lead.created", "lead.noted"], ["page", "mail"])
    assert (stored["headers"], stored["enabled"]) == (["X-Token", "Authorization"], True)


@pytest.mark.one_database
def test_mail_is_added_by_its_addresses(client: FlaskClient) -> None:
    html = submit(client, "/new?kind=email", url="ann@example.com, o'neil+x@example.com", events=EVENTS)

    assert show(client)["url"] == "mailto:ann@example.com,o'neil+x@example.com"
    assert "The destination was added." in html
    assert "ann@example.com, o'neil+x@example.com" in as_text(html)
    # Without the checkbox, nothing is sent yet.
    assert show(client)["enabled"] is False
    assert submit(client, "/new?kind=email", url="mailto:ann@example.com", events=EVENTS)


@pytest.mark.one_database
def test_the_url_of_a_chat_is_never_shown_and_kept_by_an_empty_field(app: Flask, client: FlaskClient) -> None:
    create(client, kind="chat", url=f"ntfys://ntfy.example.com/{MARKER}-topic")

    form = client.get("/inbox/destinations/1/change").text
    submit(client, "/1/change", url="", description="Chat", events=EVENTS, enabled="yes")

    assert 'name="url" maxlength="2000" spellcheck="false" autocomplete="off" value="" aria' in form
    assert "-topic" not in form + client.get("/inbox/destinations/1").text
    assert show(client)["description"] == "Chat"
    assert "ntfy.example.com" in show(client)["url"]


@pytest.mark.one_database
def test_a_form_that_is_not_valid_is_shown_again_with_what_was_typed(client: FlaskClient) -> None:
    fields = {"url": "ftp://<x>", "description": "Kept", "events": EVENTS, "sources": "x\x00", "headers": "Host: a"}

    response = client.post("/inbox/destinations/new", data=fields, headers=OWN)

    assert response.status_code == 422
    assert 'value="ftp://&lt;x&gt;" required aria-describedby="url-hint"' in response.text
    for part in ('value="Kept"', "Host: The service sets this header itself.", "Must not have control characters."):
        assert part in response.text
    assert response.text.count(" checked") == 2
    for changes, message in (
        ({"sources": "", "headers": ""}, "Must be a URL such as https://example.com/webhooks."),
        ({"headers": "nonsense"}, "Write each header as Name: value."),
        ({"events": []}, 'id="events-error"'),
    ):
        response = client.post("/inbox/destinations/new", data=fields | changes, headers=OWN)
        assert (response.status_code, message in response.text) == (422, True)
    assert body(client.get("/destinations"))["total"] == 0


@pytest.mark.one_database
def test_a_destination_is_changed(client: FlaskClient) -> None:
    create(client, sources=["page"], headers={"X-Old": "1", "X-Kept": "2"}, description="Before", events=["lead.*"])

    form = client.get("/inbox/destinations/1/change").text
    html = submit(
        client, "/1/change", url=f"{URL}/2", events="lead.noted", removed="X-Old", headers="X-New: 3", description=""
    )

    assert 'value="lead.*" checked' in form
    assert "\npage</textarea>" in form
    assert "The changes were saved." in html
    assert "X-Kept, X-New" in html
    stored = show(client)
    assert (stored["url"], stored["events"], stored["sources"]) == (f"{URL}/2", ["lead.noted"], None)
    assert (stored["headers"], stored["description"], stored["enabled"]) == (["X-Kept", "X-New"], None, False)


def test_a_destination_is_deleted_after_a_question(client: FlaskClient, stored_lead: StoredLead) -> None:
    create(client, description=f"{MARKER} CRM")
    stored_lead()

    question = client.get("/inbox/destinations/1/delete").text
    html = submit(client, "/1/delete")

    assert f"{MARKER} CRM" in question
    assert "1 delivery is still waiting." in question
    assert "The destination and its deliveries were deleted." in html
    assert client.get("/inbox/destinations/1").status_code == 404


@pytest.mark.one_database
def test_a_secret_is_rotated_and_shown_once(client: FlaskClient) -> None:
    html = submit(client, "/new", url=URL, events=EVENTS)

    assert secret_of(submit(client, "/1/rotate")) != secret_of(html)


def test_a_destination_that_was_stopped_is_switched_on(app: Flask, client: FlaskClient) -> None:
    create(client)
    change_rows(app, "UPDATE destinations SET enabled = false, disabled_reason = 'failing'")

    before = client.get("/inbox/destinations/1").text
    html = submit(client, "/1/enable")

    assert "Every attempt has failed for 5 days." in before
    assert "Send a test" not in before
    assert "It is enabled again" in html
    assert show(client)["enabled"] is True
    # Somebody else may have paused it since the page was shown.
    client.patch("/destinations/1", json={"enabled": False})
    response = client.post("/inbox/destinations/1/test", headers=OWN)
    assert (response.status_code, "enable it first" in response.text) == (409, True)
