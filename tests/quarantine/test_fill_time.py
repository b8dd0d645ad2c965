"""GET /forms/ts, and the trap for who is quicker than people are."""

import hashlib
import hmac
import re
import time
from types import SimpleNamespace

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text

from conftest import MARKER, Json, MakeApp, NewLead, body, make_key
from leadapi import storage
from servers import ROOT

pytestmark = pytest.mark.one_database

SECRET = f"{MARKER}'s secret of 32 characters or more"
HOUR, DAY = 3600, 86400
# Longer than a test takes.
MARGIN = 30


def stamp(seconds: float, secret: str = SECRET) -> str:
    """What a page that was shown so long ago has, made as the guide says."""
    shown = str(int(time.time() - seconds))
    return f"{shown}.{hmac.new(secret.encode(), shown.encode(), hashlib.sha256).hexdigest()}"


@pytest.fixture
def app(shared_app: MakeApp) -> Flask:
    """A service that gives people an hour, so that no test depends on its own speed."""
    return shared_app(MIN_FILL_SECONDS=str(HOUR), FORM_SECRET=SECRET)


def reasons(app: Flask) -> list[str]:
    """Why what is in the quarantine is there."""
    with app.app_context(), storage.read() as connection:
        return list(connection.scalars(text("SELECT reason FROM quarantine ORDER BY id")))


def is_caught(client: FlaskClient, lead: Json) -> bool:
    """Whether a lead that was taken, as it seems, is not there."""
    response = client.post("/leads", json=lead)
    assert response.status_code == 201
    return client.get(f"/leads/{body(response)['id']}").status_code == 404


@pytest.mark.parametrize(
    ("age", "caught"),
    [(HOUR, False), (HOUR - MARGIN, True), (0, True), (-DAY, True), (DAY - MARGIN, False), (DAY + 1, True)],
)
def test_people_take_their_time_and_not_too_much(
    app: Flask, client: FlaskClient, new_lead: NewLead, age: int, caught: bool
) -> None:
    assert is_caught(client, new_lead(_ts=stamp(age))) is caught
    assert reasons(app) == ["fill_time"] * caught


@pytest.mark.parametrize(
    "wrong",
    [
        None,
        "",
        "x",
        stamp(HOUR, "another secret of 32 characters!"),
        stamp(HOUR).upper(),
        stamp(HOUR) + "\n",
        stamp(HOUR)[:-1],
        stamp(HOUR).partition(".")[0],
        # A good signature of another time.
        f"{int(time.time()) - HOUR - 100}.{stamp(HOUR).partition('.')[2]}",
        "٣" + stamp(HOUR)[1:],
        f"{10**13}.{'0' * 64}",
        "é" * 64,
    ],
    # Not by the value, which is another one each time.
    ids=lambda _: "wrong",
)
def test_a_stamp_that_is_not_signed_is_caught(
    app: Flask, client: FlaskClient, new_lead: NewLead, wrong: str | None
) -> None:
    assert is_caught(client, new_lead(_ts=wrong))
    assert reasons(app) == ["fill_time"]


def test_a_form_without_a_stamp_is_caught(app: Flask, client: FlaskClient, new_lead: NewLead) -> None:
    assert is_caught(client, new_lead())
    assert reasons(app) == ["fill_time"]


def test_a_form_is_timed_as_well_and_its_visitor_is_thanked(app: Flask, client: FlaskClient, new_lead: NewLead) -> None:
    sent = [new_lead(_ts=stamp(0)), new_lead(), new_lead(_ts=[stamp(HOUR), stamp(HOUR)]), new_lead(_ts=stamp(HOUR))]

    pages = [client.post("/leads", data=fields, headers={"Accept": "text/html"}) for fields in sent]

    assert {(page.status_code, page.text) for page in pages} == {(200, pages[-1].text)}
    (lead,) = body(client.get("/leads"))["items"]
    assert (lead["email"], lead["attributes"]) == (sent[-1]["email"], {})
    assert reasons(app) == ["fill_time"] * 3


def test_the_other_trap_is_still_there(app: Flask, client: FlaskClient, new_lead: NewLead) -> None:
    assert is_caught(client, new_lead(_gotcha="x", _ts=stamp(HOUR)))
    assert reasons(app) == ["honeypot"]


def test_a_batch_is_timed_item_by_item(app: Flask, client: FlaskClient, new_lead: NewLead) -> None:
    client.post("/leads/batch", json={"items": [new_lead(), new_lead(_ts=stamp(HOUR)), new_lead(_ts=stamp(0))]})

    assert body(client.get("/leads"))["total"] == 1
    assert reasons(app) == ["fill_time"] * 2


def test_a_caller_with_a_key_may_be_quick(shared_app: MakeApp, new_lead: NewLead) -> None:
    settings = {"MIN_FILL_SECONDS": str(HOUR), "FORM_SECRET": SECRET, "AUTH": "on"}
    app = shared_app(**settings)
    client = app.test_client()
    headers = {"X-API-Key": make_key(app, "capture")}

    client.post("/leads", json=new_lead(), headers=headers)
    client.post("/leads", json=new_lead(_ts="x"), headers=headers)
    client.post("/leads/batch", json={"items": [new_lead()]}, headers=headers)
    assert reasons(app) == []
    client.post("/leads", json=new_lead())
    assert reasons(app) == ["fill_time"]


def test_by_default_no_time_is_looked_at(shared_app: MakeApp, new_lead: NewLead) -> None:
    # A secret alone turns nothing on.
    for secret in ("none", SECRET):
        client = shared_app(FORM_SECRET=secret).test_client()

        for value in (None, "", "x", stamp(0), "\0"):
            assert not is_caught(client, new_lead(_ts=value))
        assert client.post("/leads", data=new_lead(_ts=["x", "y"])).status_code == 201
        response = client.get("/forms/ts")
        assert (response.status_code, response.mimetype) == (404, "application/problem+json")
    assert all(lead["attributes"] == {} for lead in body(client.get("/leads"))["items"])


def test_a_page_gets_the_time_it_is_shown(client: FlaskClient, new_lead: NewLead) -> None:
    before = int(time.time())

    response = client.get("/forms/ts")

    assert (response.status_code, response.headers["Cache-Control"]) == (200, "no-store")
    (told,) = body(response).values()
    assert re.fullmatch("[0-9]{10}[.][0-9a-f]{64}", told)
    shown = int(told.partition(".")[0])
    assert before <= shown <= time.time()
    assert told == f"{shown}.{hmac.new(SECRET.encode(), str(shown).encode(), hashlib.sha256).hexdigest()}"
    # It is too early for that.
    assert is_caught(client, new_lead(**body(response)))


def test_the_guide_shows_how_to_make_one(client: FlaskClient, new_lead: NewLead) -> None:
    page = (ROOT / "leadapi/guide/forms.md").read_text()
    (program,) = re.findall(r"^```python\n(.+?)^```", page, re.MULTILINE | re.DOTALL)
    names: Json = {"FORM_SECRET": SECRET, "hmac": hmac}
    # It has been there for an hour.
    names["time"] = SimpleNamespace(time=lambda: time.time() - HOUR)

    exec(program, names)

    assert not is_caught(client, new_lead(_ts=names["ts"]))


def test_the_address_takes_no_parameters(client: FlaskClient) -> None:
    assert client.get("/forms/ts?at=0").status_code == 422


def test_a_page_of_another_origin_gets_it_where_that_is_allowed(make_app: MakeApp) -> None:
    site = "https://www.example.com"
    app = make_app(DATABASE_URL="sqlite://", MIN_FILL_SECONDS="3", FORM_SECRET=SECRET, CORS_ORIGINS=site, AUTH="on")

    response = app.test_client().get("/forms/ts", headers={"Origin": site})

    assert (response.status_code, response.headers["Access-Control-Allow-Origin"]) == (200, site)


def test_neither_time_nor_secret_is_logged(
    client: FlaskClient, new_lead: NewLead, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    told = body(client.get("/forms/ts"))["_ts"]
    client.post("/leads", json=new_lead(_ts=told))
    client.post("/leads", json=new_lead(_ts=[told]))

    out = capsys.readouterr().out
    assert len(out.splitlines()) == 4
    assert told.partition(".")[2] not in out
    assert MARKER not in out.lower()
