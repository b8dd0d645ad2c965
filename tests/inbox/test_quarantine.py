"""The page of the quarantine."""

import re
from typing import TYPE_CHECKING
from urllib.parse import urljoin

import pytest
from flask import Flask
from flask.testing import FlaskClient

from conftest import MARKER, Json, MakeApp, NewLead, Serve, StoredLead, body
from inbox.conftest import OWN, LogIn, as_text
from leadapi.inbox import quarantine

if TYPE_CHECKING:
    from playwright.sync_api import Page


def trap(client: FlaskClient, lead: Json, key: str = "") -> int:
    """Let something be caught, and return its id."""
    headers = {"Idempotency-Key": key} if key else {}
    response = client.post("/leads", json=lead | {"_gotcha": "x"}, headers=headers)
    assert response.status_code == 201
    return int(body(response)["id"])


def names(html: str) -> list[str]:
    return re.findall(r'<h2 id="caught-\d+"><bdi>(.+?)</bdi>', html)


def submit(client: FlaskClient, path: str, **fields: str) -> str:
    """Send a form, and return the page that it leads to."""
    url = f"/inbox/quarantine{path}"
    response = client.post(url, data=fields, headers=OWN)
    assert response.status_code == 303, response.text
    return client.get(urljoin(url, response.headers["Location"])).text


def test_it_shows_what_was_caught_and_why(client: FlaskClient, new_lead: NewLead) -> None:
    trap(client, new_lead(full_name=f"{MARKER} One"))
    sent = new_lead(full_name=f"{MARKER} <Two>", message="<b>Hello", attributes={"__class__": "<i>", "phone": "555"})
    trap(client, sent)

    html = client.get("/inbox/quarantine").text

    assert names(html) == [f"{MARKER} &lt;Two&gt;", f"{MARKER} One"]
    text = as_text(html)
    for part in ("2 entries", "Hidden field", sent["email"], sent["company"], "<b>Hello", "__class__ <i>", "phone 555"):
        assert part in text


@pytest.mark.one_database
def test_a_form_that_was_sent_too_fast_is_told_from_one_with_the_hidden_field(
    shared_app: MakeApp, new_lead: NewLead
) -> None:
    settings = {"MIN_FILL_SECONDS": "5", "FORM_SECRET": "0123456789abcdef0123456789abcdef"}
    client = shared_app(**settings).test_client()
    client.post("/leads", data=new_lead())

    html = client.get("/inbox/quarantine").text

    assert "Too fast" in html
    assert "faster than a person types" in html
    assert "Hidden field" not in html


@pytest.mark.one_database
def test_what_a_form_had_too_much_of_is_shown(client: FlaskClient, new_lead: NewLead) -> None:
    client.post("/leads", data=new_lead(_gotcha="x") | {"essay": "long " * 500})

    assert "essay " + "long " * 500 in as_text(client.get("/inbox/quarantine").text)


@pytest.mark.one_database
def test_an_empty_quarantine_says_what_it_is_for(client: FlaskClient) -> None:
    assert "Nothing was caught." in client.get("/inbox/quarantine").text


def test_an_entry_is_let_in(client: FlaskClient, new_lead: NewLead) -> None:
    lead = new_lead(full_name=f"{MARKER} Ada")
    item_id = trap(client, lead)

    html = submit(client, f"/{item_id}/release")

    (stored,) = body(client.get("/leads"))["items"]
    assert stored["email"] == lead["email"]
    assert "It is a lead now." in html
    assert f'href="../inbox/leads/{stored["id"]}"' in html
    assert names(html) == []
    # A second click finds nothing.
    assert "It is no longer here" in submit(client, f"/{item_id}/release")


def test_an_entry_with_the_address_of_a_lead_is_added_to_it(
    client: FlaskClient, new_lead: NewLead, stored_lead: StoredLead
) -> None:
    lead = stored_lead()
    item_id = trap(client, new_lead(email=lead["email"], message="Again"))

    html = submit(client, f"/{item_id}/release")

    assert "added to a lead with the same address" in html
    assert f'href="../inbox/leads/{lead["id"]}"' in html
    assert body(client.get(f"/leads/{lead['id']}"))["message"] == "Again"


def test_entries_are_thrown_away_with_the_answers_that_show_them(
    app: Flask, client: FlaskClient, new_lead: NewLead
) -> None:
    sent = [new_lead(full_name=f"{MARKER} {number}") for number in range(3)]
    ids = [trap(client, lead, f"k{lead['email']}") for lead in sent]

    one = submit(client, "/discard", ids=str(ids[1]))
    assert "1 entry was thrown away." in one
    assert names(one) == [f"{MARKER} 2", f"{MARKER} 0"]
    rest = submit(client, "/discard", ids=",".join(map(str, ids)))
    assert "2 entries were thrown away." in rest
    assert "Nothing was caught." in rest
    assert "It is no longer here" in submit(client, "/discard", ids=str(ids[0]))

    assert body(client.get("/leads"))["total"] == 0
    # The key is free again, so this is another lead.
    assert trap(client, sent[0], f"k{sent[0]['email']}") > max(ids)


@pytest.mark.one_database
@pytest.mark.parametrize("ids", ["", "x", "1,x", "0", "9" * 30, ",".join(["1"] * 101)])
def test_what_is_no_entry_is_refused(client: FlaskClient, ids: str) -> None:
    assert client.post("/inbox/quarantine/discard", data={"ids": ids}, headers=OWN).status_code == 422


@pytest.mark.one_database
@pytest.mark.parametrize("name", ["__class__", "__init__", "items"])
def test_an_unknown_field_is_told_by_its_name(client: FlaskClient, name: str) -> None:
    response = client.post("/inbox/quarantine/discard", data={name: "x"}, headers=OWN)

    assert response.status_code == 422
    assert f"{name}: Unknown field." in as_text(response.text)


def test_the_pages_have_every_entry_once_and_a_form_returns_to_its_page(
    client: FlaskClient, new_lead: NewLead, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quarantine, "PAGE", 2)
    ids = [trap(client, new_lead(full_name=f"{MARKER} {number}")) for number in range(5)]

    first = client.get("/inbox/quarantine").text
    (older,) = re.findall(r'rel="next" href="quarantine(\?[^"]+)"', first.replace("../inbox/", ""))
    second = client.get(f"/inbox/quarantine{older}").text
    back = submit(client, f"/{ids[1]}/release{older}")

    assert names(first) == [f"{MARKER} 4", f"{MARKER} 3"]
    assert names(second) == [f"{MARKER} 2", f"{MARKER} 1"]
    assert "Newest" in second
    assert "5 entries" in first
    assert names(back) == [f"{MARKER} 2", f"{MARKER} 0"]


@pytest.mark.one_database
def test_a_key_that_cannot_write_only_looks(guarded: Flask, log_in: LogIn, new_lead: NewLead) -> None:
    item_id = trap(guarded.test_client(), new_lead(full_name=f"{MARKER} Ada"))
    reader = log_in("read")

    html = reader.get("/inbox/quarantine").text

    assert names(html) == [f"{MARKER} Ada"]
    assert "<form" not in re.findall("(?s)<main.*</main>", html)[0]
    for path in (f"/{item_id}/release", "/discard"):
        response = reader.post(f"/inbox/quarantine{path}", data={"ids": item_id}, headers=OWN)
        assert (response.status_code, response.mimetype) == (403, "text/html")
    assert names(reader.get("/inbox/quarantine").text) == [f"{MARKER} Ada"]


@pytest.mark.one_database
def test_it_is_used_by_keyboard(serve: Serve, page: "Page", new_lead: NewLead) -> None:
    server = serve(DATABASE_URL="sqlite:///./leads.db")
    for name in ("Ada", "Bot"):
        server.post("/leads", json=new_lead(full_name=f"{MARKER} {name}", _gotcha="x"))
    page.goto(f"{server.url}/inbox/quarantine")

    page.get_by_role("button", name=f"Let in {MARKER} Ada").focus()
    page.keyboard.press("Enter")
    page.get_by_text("It is a lead now.").wait_for()
    # Two steps, without a script of ours.
    page.get_by_label(f"Throw away {MARKER} Bot").focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.get_by_text("Nothing was caught.").wait_for()

    assert server.total() == 1
