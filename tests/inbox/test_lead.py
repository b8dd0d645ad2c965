"""The page of a lead, and what can be done there."""

import re
from typing import Any
from urllib.parse import unquote

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from conftest import MARKER, Json, NewLead, StoredLead, body, make_key
from inbox.conftest import OWN, LogIn, as_text, fields_of, follow, only
from leadapi.inbox import notices, timeline

MERGE = {"Prefer": "resolution=merge-duplicates"}


def send(client: FlaskClient, lead_id: int, page: str | None = None, **fields: str) -> TestResponse:
    """Send the form of a lead.

    :param page: the page that has the form; None to open it first.
    """
    state = fields_of(page or client.get(f"/inbox/leads/{lead_id}").text)
    return client.post(f"/inbox/leads/{lead_id}", data=state | fields, headers=OWN)


def history(client: FlaskClient, lead: Json) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = body(client.get(f"/leads/{lead['id']}/events"))["items"]
    return items


def test_everything_about_a_lead_is_shown(client: FlaskClient, stored_lead: StoredLead) -> None:
    lead = stored_lead(message="One\nTwo", attributes={"phone": "+1 555 0100"})

    text = as_text(client.get(f"/inbox/leads/{lead['id']}").text)

    for value in (lead["full_name"], lead["email"], lead["company"], "One Two", lead["source"], "phone +1 555 0100"):
        assert value in text
    assert f"Arrived from {lead['source']}" in text


def test_the_mail_has_a_greeting_and_nothing_of_the_name_becomes_a_header(
    client: FlaskClient, stored_lead: StoredLead
) -> None:
    lead = stored_lead(full_name=f'{MARKER}&cc=x@example.com?bcc=y "Ö', email=f"{MARKER}+a%26b@example.com")

    (url,) = re.findall(r'href="(mailto:[^"]+)"', client.get(f"/inbox/leads/{lead['id']}").text)

    address, query = url.removeprefix("mailto:").replace("&amp;", "&").split("?")
    assert unquote(address) == lead["email"]
    assert [part.split("=")[0] for part in query.split("&")] == ["subject", "body"]
    assert unquote(query.split("body=")[1]) == f"Hello {lead['full_name']},\r\n\r\n"


def test_a_status_is_changed_with_one_click_and_undone_with_one(client: FlaskClient, stored_lead: StoredLead) -> None:
    lead = stored_lead()

    marked = follow(client, send(client, lead["id"], status="contacted"))
    assert "Marked contacted. Undo" in as_text(marked)
    assert body(client.get(f"/leads/{lead['id']}"))["status"] == "contacted"

    assert '<button class="button quiet" name="status" value="new">Undo' in marked
    undone = follow(client, send(client, lead["id"], marked, status="new"))
    assert "Marked new. Undo" in as_text(undone)
    assert [item["type"] for item in history(client, lead)] == ["lead.created", "lead.updated", "lead.updated"]


def test_the_undo_is_offered_only_for_the_own_change(log_in: LogIn, guarded: Flask, new_lead: NewLead) -> None:
    lead = body(guarded.test_client().post("/leads", json=new_lead()))
    first, second = log_in("read", "write"), log_in("read", "write")

    changed = send(first, lead["id"], status="contacted")
    second.set_cookie(notices.COOKIE, "saved=status")

    assert "Undo" not in second.get(f"/inbox/leads/{lead['id']}").text
    assert "Undo" in follow(first, changed)
    assert "Undo" not in first.get(f"/inbox/leads/{lead['id']}").text


def test_a_note_is_in_the_history_with_the_name_of_its_author(log_in: LogIn, guarded: Flask, new_lead: NewLead) -> None:
    lead = body(guarded.test_client().post("/leads", json=new_lead()))
    browser = log_in("read", "write")

    page = follow(browser, send(browser, lead["id"], note=" First\r\nSecond "))

    assert "Note added." in as_text(page)
    assert f"{MARKER}'s program added a note just now First Second" in as_text(page)
    assert history(log_in_api(guarded), lead)[-1]["data"] == {"text": "First\nSecond"}


def log_in_api(app: Flask) -> FlaskClient:
    """A client of the API with a key that may read."""
    client = app.test_client()
    client.environ_base["HTTP_X_API_KEY"] = make_key(app, "read")
    return client


def test_a_status_and_a_note_are_saved_together(client: FlaskClient, stored_lead: StoredLead) -> None:
    lead = stored_lead()

    page = follow(client, send(client, lead["id"], status="qualified", note="Has money"))

    assert "Marked qualified. Note added. Undo" in as_text(page)
    assert [item["type"] for item in history(client, lead)][1:] == ["lead.updated", "lead.noted"]


@pytest.mark.parametrize("note", ["", "  ", "x" * 5001, "a\x00b"])
def test_a_note_that_is_not_valid_is_kept_to_be_corrected(
    client: FlaskClient, stored_lead: StoredLead, note: str
) -> None:
    lead = stored_lead()

    response = send(client, lead["id"], note=note)

    assert response.status_code == 422
    assert "Write a note first" in response.text
    assert f">\n{note}</textarea>" in response.text
    assert len(history(client, lead)) == 1


def test_a_change_that_somebody_made_meanwhile_is_shown_and_not_overwritten(
    client: FlaskClient, stored_lead: StoredLead
) -> None:
    lead = stored_lead()
    page = client.get(f"/inbox/leads/{lead['id']}").text
    client.patch(f"/leads/{lead['id']}", json={"status": "lost", "company": "Another"})
    client.post("/leads", json={**only(lead), "message": "Changed my mind"}, headers=MERGE)

    response = send(client, lead["id"], page, status="contacted", note="Called")

    text = as_text(response.text)
    assert response.status_code == 412
    assert "Somebody else changed this lead in the meantime. Nothing was saved." in text
    assert "Status: New → Lost" in text
    assert f"Company: {lead['company']} → Another" in text
    assert "Wrote again" in text
    assert ">\nCalled</textarea>" in response.text
    assert body(client.get(f"/leads/{lead['id']}"))["status"] == "lost"
    assert not [item for item in history(client, lead) if item["type"] == "lead.noted"]
    # The page that was shown has the new state, so that the same button works now.
    saved = as_text(follow(client, send(client, lead["id"], response.text, status="contacted", note="Called")))
    assert "Marked contacted. Note added." in saved


def test_a_note_is_saved_whatever_changed_meanwhile(client: FlaskClient, stored_lead: StoredLead) -> None:
    lead = stored_lead()
    page = client.get(f"/inbox/leads/{lead['id']}").text
    client.patch(f"/leads/{lead['id']}", json={"status": "lost"})

    assert send(client, lead["id"], page, note="Called").status_code == 303


def test_the_history_tells_in_sentences_what_happened(client: FlaskClient, new_lead: NewLead) -> None:
    sent = new_lead(source="page", message="First", attributes={"phone": "1", "page": "x"})
    lead = body(client.post("/leads", json=sent))
    client.post("/leads", json=sent | {"source": "mail", "message": "Second"}, headers=MERGE)
    client.patch(f"/leads/{lead['id']}", json={"attributes": {"phone": "2", "page": None}, "company": None})
    client.patch(f"/leads/{lead['id']}", json={"status": "lost"})
    form = {"name": sent["full_name"], "email": sent["email"], "message": "Third", "source": "y" * 101}
    client.post("/leads", data=form)

    text = as_text(client.get(f"/inbox/leads/{lead['id']}").text)

    sentences = [
        "Arrived from page just now First",
        "Wrote again from mail just now Second Source: page → mail",
        "Somebody without a key changed just now",
        f"Company: {sent['company']} → none",
        "page: x → none",
        "phone: 1 → 2",
        "Somebody without a key changed the status from New to Lost",
        f"Wrote again from {'y' * 100} just now Third",
        f"Full text of what the form sent source {'y' * 101}",
    ]
    for sentence in sentences:
        assert sentence in text, text
    # The newest comes first.
    assert text.index("Third") < text.index("Wrote again from mail")


def test_a_long_history_is_shown_in_two_steps(
    client: FlaskClient, stored_lead: StoredLead, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timeline, "SHOWN", 3)
    lead = stored_lead()
    for number in range(5):
        client.post(f"/leads/{lead['id']}/notes", json={"text": f"Note {number}!"})

    html = client.get(f"/inbox/leads/{lead['id']}").text
    whole = client.get(f"/inbox/leads/{lead['id']}?history=all").text

    assert re.findall("Note [0-9]!", html) == ["Note 4!", "Note 3!", "Note 2!"]
    assert "Show all 6 events" in html
    assert len(re.findall("Note [0-9]!", whole)) == 5
    assert "Show all" not in whole


def test_the_page_tells_where_the_lead_was_delivered(client: FlaskClient, new_lead: NewLead) -> None:
    destination = {"kind": "webhook", "url": "https://93.184.215.14/secret-path", "description": "The CRM"}
    response = client.post("/destinations", json=destination)
    assert response.status_code == 201, response.json
    lead = body(client.post("/leads", json=new_lead()))
    other = body(client.post("/leads", json=new_lead()))

    html = client.get(f"/inbox/leads/{lead['id']}").text

    assert "Deliveries The CRM Waiting New lead" in as_text(html)
    assert "secret-path" not in html
    assert html.count("The CRM") == client.get(f"/inbox/leads/{other['id']}").text.count("The CRM") == 1


def test_a_key_that_may_only_read_sees_no_form_and_can_send_none(
    log_in: LogIn, guarded: Flask, new_lead: NewLead
) -> None:
    lead = body(guarded.test_client().post("/leads", json=new_lead()))
    path = f"/inbox/leads/{lead['id']}"
    reader, writer = log_in("read"), log_in("read", "write")
    state = fields_of(writer.get(path).text)

    page = reader.get(path)
    assert page.status_code == 200
    assert 'name="note"' not in page.text
    assert "erase" not in page.text

    for response in (
        reader.post(path, data=state | {"status": "lost"}, headers=OWN),
        reader.get(f"{path}/erase"),
        reader.post(f"{path}/erase", data=state | {"confirmed": "yes"}, headers=OWN),
    ):
        assert (response.status_code, response.mimetype) == (403, "text/html")
    assert body(log_in_api(guarded).get(f"/leads/{lead['id']}"))["status"] == "new"


def test_the_history_names_the_key_that_did_it(log_in: LogIn, guarded: Flask, new_lead: NewLead) -> None:
    lead = body(guarded.test_client().post("/leads", json=new_lead()))
    browser = log_in("read", "write")

    page = follow(browser, send(browser, lead["id"], status="lost"))

    assert f"{MARKER}'s program changed the status from New to Lost" in as_text(page)
    (event,) = history(log_in_api(guarded), lead)[1:]
    assert event["actor"]


@pytest.mark.parametrize("path", ["/inbox/leads/7", "/inbox/leads/7/erase", "/inbox/leads/0", "/inbox/leads/x"])
def test_a_lead_that_never_was_is_told_on_a_page(client: FlaskClient, path: str) -> None:
    response = client.get(path)

    assert (response.status_code, response.mimetype) == (404, "text/html")


@pytest.mark.parametrize(
    "fields", [{"status": "new"}, {"if_match": "x", "status": "lost"}, {"if_match": "x", "seen": "-1", "note": "x"}]
)
def test_a_form_without_its_state_changes_nothing(
    client: FlaskClient, stored_lead: StoredLead, fields: dict[str, str]
) -> None:
    lead = stored_lead()

    response = client.post(f"/inbox/leads/{lead['id']}", data=fields, headers=OWN)

    assert response.status_code == 422
    assert len(history(client, lead)) == 1


def test_a_form_of_another_site_changes_nothing(client: FlaskClient, stored_lead: StoredLead) -> None:
    lead = stored_lead()
    state = fields_of(client.get(f"/inbox/leads/{lead['id']}").text)

    for path, fields in (("", {"status": "lost"}), ("/erase", {"confirmed": "yes"})):
        url = f"/inbox/leads/{lead['id']}{path}"
        assert client.post(url, data=state | fields, headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403
    assert len(history(client, lead)) == 1
