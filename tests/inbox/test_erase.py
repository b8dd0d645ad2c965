"""The erasure of a lead in the inbox."""

import pytest
from flask.testing import FlaskClient

from conftest import MARKER, StoredLead
from inbox.conftest import OWN, as_text, fields_of, follow, only
from leadapi.inbox import notices

MERGE = {"Prefer": "resolution=merge-duplicates"}


def test_a_lead_is_erased_after_a_confirmation(client: FlaskClient, stored_lead: StoredLead) -> None:
    lead = stored_lead()
    path = f"/inbox/leads/{lead['id']}/erase"
    page = client.get(path).text
    assert lead["full_name"] in page

    unconfirmed = client.post(path, data=fields_of(page), headers=OWN)
    assert (unconfirmed.status_code, "Tick the box" in unconfirmed.text) == (422, True)
    assert client.get(f"/leads/{lead['id']}").status_code == 200

    response = client.post(path, data=fields_of(page) | {"confirmed": "yes"}, headers=OWN)

    (cookie,) = response.headers.getlist("Set-Cookie")
    assert {"HttpOnly", "SameSite=Strict", "Max-Age=60"} <= set(cookie.split("; "))
    assert f"Lead {lead['id']} was erased." in follow(client, response)
    assert "was erased" not in client.get("/inbox").text
    assert client.get(f"/leads/{lead['id']}").status_code == 404
    gone = client.get(f"/inbox/leads/{lead['id']}")
    assert (gone.status_code, "erased this lead" in gone.text) == (404, True)
    assert MARKER not in gone.text


@pytest.mark.one_database
def test_no_link_can_claim_an_erasure(client: FlaskClient, stored_lead: StoredLead) -> None:
    stored_lead()

    assert "was erased" not in client.get("/inbox?erased=5").text
    assert "added" not in client.get("/inbox/leads/1?saved=note").text
    assert "deleted" not in client.get("/inbox/destinations?deleted=1").text


@pytest.mark.one_database
@pytest.mark.parametrize("value", ["x", "erased=x", "%", "&&==;", "erased=-1&erased=2&number=x"])
def test_a_notice_that_is_garbled_is_no_error(client: FlaskClient, value: str) -> None:
    for path in ("/inbox", "/inbox/quarantine", "/inbox/destinations"):
        client.set_cookie(notices.COOKIE, value)
        assert client.get(path).status_code == 200


def test_a_lead_that_changed_is_not_erased_unseen(client: FlaskClient, stored_lead: StoredLead) -> None:
    lead = stored_lead()
    path = f"/inbox/leads/{lead['id']}/erase"
    page = client.get(path).text
    client.post("/leads", json={**only(lead), "message": "Please answer"}, headers=MERGE)

    response = client.post(path, data=fields_of(page) | {"confirmed": "yes"}, headers=OWN)

    assert (response.status_code, "Please answer" in response.text) == (412, True)
    assert client.get(f"/leads/{lead['id']}").status_code == 200


@pytest.mark.parametrize("what", ["repeat", "note"])
def test_a_lead_is_not_erased_before_its_newest_words_were_seen(
    client: FlaskClient, stored_lead: StoredLead, what: str
) -> None:
    lead = stored_lead()
    page = f"/inbox/leads/{lead['id']}/erase"
    shown = fields_of(client.get(page).text) | {"confirmed": "yes"}
    if what == "note":
        client.post(f"/leads/{lead['id']}/notes", json={"text": f"{MARKER} again"})
    else:
        repeat = {"full_name": "Ann Poe", "email": lead["email"], "message": f"{MARKER} again"}
        client.post("/leads", json=repeat, headers={"Prefer": "resolution=ignore-duplicates"})

    refused = client.post(page, data=shown, headers=OWN)

    assert refused.status_code == 412
    assert f"{MARKER} again" in as_text(refused.text)
    assert client.post(page, data=fields_of(refused.text) | {"confirmed": "yes"}, headers=OWN).status_code == 303
    assert client.get(f"/leads/{lead['id']}").status_code == 404
