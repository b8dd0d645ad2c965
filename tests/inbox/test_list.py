"""The list of leads."""

import re
from html import unescape

import pytest
from flask import Flask
from flask.testing import FlaskClient

from conftest import MARKER, MakeApp, StoredLead, make_key
from inbox.conftest import OWN, LogIn, fields_of
from leadapi.inbox import visits


def names(html: str) -> list[str]:
    """The names of the leads on a page, in order."""
    return re.findall(r'data-row="\d+"[^>]*><bdi>(.+?)</bdi>', html)


def title(html: str) -> str:
    (found,) = re.findall("<title>(.+?)</title>", html)
    return str(found)


def test_the_newest_lead_comes_first_with_what_tells_it_apart(client: FlaskClient, stored_lead: StoredLead) -> None:
    stored_lead(full_name=f"{MARKER} One")
    lead = stored_lead(full_name=f"{MARKER} Two", company="Inc", message="First line\nSecond", source="page")

    html = client.get("/inbox").text

    assert names(html) == [f"{MARKER} Two", f"{MARKER} One"]
    for part in ("Inc", "First line", "page", "New", f'datetime="{lead["created_at"]}"'):
        assert part in html
    assert "Second" not in html
    assert title(html) == "(2) Leads · leadapi"


def test_leads_are_filtered_by_links_and_counted_by_status(client: FlaskClient, stored_lead: StoredLead) -> None:
    for number, source in enumerate(["page", "page", "mail"]):
        lead = stored_lead(full_name=f"{MARKER} {number}", source=source)
    client.patch(f"/leads/{lead['id']}", json={"status": "lost"})

    html = client.get("/inbox").text
    lost = client.get("/inbox?status=lost").text
    page = client.get("/inbox?source=page&status=new").text

    assert re.search(r'href="inbox\?status=lost">Lost <span class="count">1</span>', html)
    assert names(lost) == [f"{MARKER} 2"]
    assert names(page) == [f"{MARKER} 1", f"{MARKER} 0"]
    # A filter is kept by the links to the others, and can be removed.
    assert 'href="inbox?source=page&amp;status=lost"' in page
    assert 'class="chip" href="inbox?status=new"' in page
    assert "No lead matches." in client.get("/inbox?source=nowhere").text


def test_a_search_holds_with_filters_and_can_be_left(client: FlaskClient, stored_lead: StoredLead) -> None:
    stored_lead(full_name=f"{MARKER} One", message="A zeppelin", source="page")
    stored_lead(full_name=f"{MARKER} Two", message="A Zéppelin", source="mail")
    stored_lead(full_name=f"{MARKER} Three", message="A balloon", source="page")

    html = client.get("/inbox?source=page&q=zeppelin").text
    export = re.findall(r'href="inbox(/export[^"]*)"', html)
    none = client.get("/inbox?source=page&q=submarine").text

    assert names(client.get("/inbox?q=zeppelin").text) == [f"{MARKER} Two", f"{MARKER} One"]
    assert names(html) == [f"{MARKER} One"]
    # The box has the words, and its form keeps the filter.
    assert '<input type="hidden" name="source" value="page">' in html
    assert 'type="search" maxlength="200" value="zeppelin"' in html
    # The filters keep the search, and both can be removed. The numbers of all leads would be wrong beside them.
    assert 'href="inbox?source=page&amp;q=zeppelin&amp;status=lost">Lost</a>' in html
    assert 'class="chip" href="inbox?source=page"' in html
    assert 'class="chip" href="inbox?q=zeppelin"' in html
    assert title(html) == "(3) Leads · leadapi"
    with client.get(f"/inbox{unescape(export[0])}") as response:
        assert [line.split(",")[1] for line in response.get_data(as_text=True).splitlines()] == [
            "full_name",
            f"{MARKER} One",
        ]
    assert "No lead matches." in none
    assert '<a class="button" href="inbox">Show all leads</a>' in none
    assert "/export" not in none


@pytest.mark.one_database
@pytest.mark.parametrize(
    ("message", "line"),
    [
        ("Hello\nA Zéppelin, please", "A Zéppelin, please"),
        (f"{'long ' * 50}zeppelin, please", f"… {'long ' * 8}zeppelin, please"),
        ("Hello\nSend a brochure of your airship", "Hello"),
        # The first sign is 18 characters after normalisation.
        (f"{'ﷺ' * 9} zeppelin", f"{'ﷺ' * 9} zeppelin"),
    ],
)
def test_a_search_shows_the_line_that_was_found(
    client: FlaskClient, stored_lead: StoredLead, message: str, line: str
) -> None:
    stored_lead(message=message, attributes={"wanted": "zeppelin"})

    assert f'<td class="line"><bdi>{line}</bdi>' in client.get("/inbox?q=ZEPPELIN").text


def test_a_lead_leads_back_to_the_page_of_the_list_that_it_was_opened_from(
    client: FlaskClient, stored_lead: StoredLead
) -> None:
    lead = stored_lead(source="page")
    query = "source=page&amp;q=zebedee"
    listed = client.get("/inbox?source=page&q=zebedee").text

    page = client.get(f"/inbox/leads/{lead['id']}?source=page&q=zebedee").text
    (action,) = re.findall('id="change" method="post" action="([^"]+)"', page)
    saved = client.post(f"/{unescape(action).lstrip('./')}", data=fields_of(page) | {"status": "lost"}, headers=OWN)

    assert f'href="inbox/leads/{lead["id"]}?{query}"' in listed
    reopened = client.get(f"/{saved.headers['Location'].lstrip('./')}").text
    for html in (page, reopened):
        assert f'inbox?{query}">← Leads' in html
    assert f"/erase?{query}" in page


@pytest.mark.parametrize("query", ["status=unknown", "after=x", "created_from=yesterday"])
def test_a_filter_that_is_not_valid_is_told_on_a_page(client: FlaskClient, query: str) -> None:
    response = client.get(f"/inbox?{query}")

    assert (response.status_code, response.mimetype) == (422, "text/html")
    assert "Not valid" in response.text


def test_the_pages_have_every_lead_once(client: FlaskClient, stored_lead: StoredLead) -> None:
    stored = [stored_lead(full_name=f"{MARKER} {number:03}")["full_name"] for number in range(103)]

    found = []
    url: str | None = "/inbox"
    while url:
        html = client.get(url).text
        found += names(html)
        links = re.findall(r'rel="next" href="inbox(\?[^"]+)"', html)
        url = f"/inbox{links[0]}" if links else None
        # Leads that arrive meanwhile are on no later page.
        if url:
            stored_lead(full_name=f"{MARKER} later")

    assert found == stored[::-1]
    assert 'href="inbox">Newest' in html


def test_leads_since_the_last_visit_are_marked(
    client: FlaskClient, stored_lead: StoredLead, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unseen() -> list[str]:
        return re.findall(
            r'data-row="\d+"[^>]*><bdi>([^<]+)</bdi></a> <span class="badge badge-unseen', client.get("/inbox").text
        )

    stored_lead(full_name=f"{MARKER} One")
    stored_lead(full_name=f"{MARKER} Lost", source="elsewhere")
    # Of the first visit, nothing is new, even if it begins at a filter.
    assert client.get(f"/inbox?source={MARKER}-page").status_code == 200
    assert unseen() == []
    stored_lead(full_name=f"{MARKER} Two")
    # What arrives during a visit stays marked until its end.
    assert unseen() == unseen() == [f"{MARKER} Two"]

    monkeypatch.setattr(visits, "PAUSE", -visits.PAUSE)
    assert unseen() == []
    monkeypatch.undo()
    stored_lead(full_name=f"{MARKER} Three")
    assert unseen() == [f"{MARKER} Three"]


@pytest.mark.one_database
@pytest.mark.parametrize("value", ["", "x", "1.2", "9" * 40, "1.1.99999999999999999", "-1.1.1"])
def test_a_cookie_that_is_garbled_marks_nothing(client: FlaskClient, stored_lead: StoredLead, value: str) -> None:
    stored_lead()
    client.set_cookie(visits.COOKIE, value)

    response = client.get("/inbox")

    assert response.status_code == 200
    assert "badge-unseen" not in response.text


def test_what_is_filtered_is_exported_as_a_spreadsheet_reads_it(client: FlaskClient, stored_lead: StoredLead) -> None:
    stored_lead(full_name=f"{MARKER} Ö", source="page")
    stored_lead(full_name=f"{MARKER} Two", source="mail")

    link = re.findall(r'href="inbox(/export[^"]*)"', client.get("/inbox?source=page").text)
    response = client.get(f"/inbox{link[0]}")

    assert (response.status_code, response.mimetype) == (200, "text/csv")
    assert response.headers["Content-Disposition"] == "attachment; filename=leads.csv"
    lines = response.get_data().decode("utf-8-sig").splitlines()
    assert [line.split(",")[1] for line in lines] == ["full_name", f"{MARKER} Ö"]


def test_the_export_needs_a_session(guarded: Flask, log_in: LogIn) -> None:
    assert guarded.test_client().get("/inbox/export").status_code == 303
    with log_in("read").get("/inbox/export") as response:
        assert response.status_code == 200


@pytest.mark.one_database
@pytest.mark.parametrize(
    ("settings", "address"),
    [
        ({}, "http://localhost/leads"),
        ({"PUBLIC_URL": "https://www.example.com/api"}, "https://www.example.com/api/leads"),
        ({"SCRIPT_NAME": "/below"}, "http://localhost/below/leads"),
    ],
)
def test_an_empty_inbox_says_how_to_send_the_first_lead(
    shared_app: MakeApp, settings: dict[str, str], address: str
) -> None:
    html = shared_app(**settings).test_client().get("/inbox").text

    assert f"curl {address} -H" in html
    assert f"action=&#34;{address}&#34;" in html
    assert "Bearer" not in html


@pytest.mark.one_database
@pytest.mark.parametrize("public_capture", ["on", "off"])
def test_an_empty_inbox_tells_of_the_key_where_senders_need_one(shared_app: MakeApp, public_capture: str) -> None:
    app = shared_app(AUTH="on", PUBLIC_CAPTURE=public_capture)
    client = app.test_client()
    client.post("/inbox/login", data={"key": make_key(app, "read")}, headers=OWN)

    html = client.get("/inbox").text

    assert ("Authorization: Bearer lk_…" in html) == (public_capture == "off")


@pytest.mark.one_database
def test_an_outage_is_told_on_a_page(make_app: MakeApp) -> None:
    client = make_app(DATABASE_URL="postgresql://127.0.0.1:1/none", AUTH="off").test_client()

    response = client.get("/inbox")

    assert (response.status_code, response.mimetype) == (503, "text/html")
    assert response.headers["Retry-After"]
    assert "Not available" in response.text


@pytest.mark.one_database
def test_pages_are_kept_nowhere_and_run_only_our_own_files(client: FlaskClient) -> None:
    response = client.get("/inbox")

    policy = dict(part.split(" ", 1) for part in response.headers["Content-Security-Policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["form-action"] == "'self'"
    assert policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert response.headers["X-Frame-Options"] == "DENY"
    assert response.headers["Cache-Control"] == "no-store"
    assert not re.search(r"<script>|<style|style=|onclick", response.text)
    for name, version in re.findall(r'"inbox/assets/([a-z.]+)\?v=(\w+)"', response.text):
        with client.get(f"/inbox/assets/{name}?v={version}") as asset:
            assert (asset.status_code, asset.cache_control.max_age) == (200, 31536000)
        # Another instance, with another version, links to it.
        with client.get(f"/inbox/assets/{name}?v=0123456789ab") as asset:
            assert (asset.status_code, asset.cache_control.max_age) == (200, 0)
