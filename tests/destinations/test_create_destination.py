"""POST /destinations."""

import pytest
from destinations.conftest import FIELDS, URL, NewDestination
from flask.testing import FlaskClient

from conftest import MARKER, Json, MakeApp, body


def test_a_webhook_needs_only_a_url(client: FlaskClient) -> None:
    response = client.post("/destinations", json={"kind": "webhook", "url": URL})

    assert response.status_code == 201
    assert response.headers["Location"] == "/destinations/1"
    created = body(response)
    assert list(created) == [*FIELDS, "secret"]
    assert created == {
        "id": 1,
        "kind": "webhook",
        "url": URL,
        "events": ["lead.created", "lead.repeated"],
        "sources": None,
        "description": None,
        "headers": [],
        "enabled": True,
        "disabled_reason": None,
        "created_at": created["created_at"],
        "last_delivery": None,
        "secret": created["secret"],
    }
    assert created["created_at"].endswith("Z")


def test_every_field_can_be_given(client: FlaskClient) -> None:
    given = {
        "kind": "webhook",
        "url": URL,
        "events": ["lead.*"],
        "sources": ["landing-page", "fair"],
        "description": "The CRM",
        "enabled": False,
    }

    created = body(client.post("/destinations", json={**given, "headers": {"X-Tenant": MARKER, "Authorization": "b"}}))

    assert {name: created[name] for name in given} == given
    assert created["headers"] == ["X-Tenant", "Authorization"]
    del created["secret"]
    assert client.get("/destinations/1").json == created


@pytest.mark.parametrize("name", ["sources", "description", "headers"])
def test_null_is_as_good_as_nothing(new_destination: NewDestination, name: str) -> None:
    created = new_destination(**{name: None})

    assert not created[name]


def test_an_event_and_a_source_that_are_given_twice_are_kept_once(new_destination: NewDestination) -> None:
    created = new_destination(events=["lead.noted", "lead.erased", "lead.noted"], sources=["a", "b", "a"])

    assert (created["events"], created["sources"]) == (["lead.noted", "lead.erased"], ["a", "b"])


def test_mail_and_chats_have_no_secret(new_destination: NewDestination) -> None:
    assert "secret" not in new_destination(kind="email", url="mailto:sales@example.com")


@pytest.mark.one_database
@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"kind": "pigeon"}, "kind"),
        ({"kind": None}, "kind"),
        ({"url": None}, "url"),
        ({"url": ""}, "url"),
        ({"url": 1}, "url"),
        ({"url": "ftp://example.com"}, "url"),
        ({"url": "https://"}, "url"),
        ({"url": f"https://example.com/{'a' * 2000}"}, "url"),
        ({"url": "https://example.com/\n"}, "url"),
        ({"url": "https://user:password@example.com/"}, "url"),
        ({"kind": "email", "url": "https://example.com/"}, "url"),
        ({"events": []}, "events"),
        ({"events": None}, "events"),
        ({"events": "lead.*"}, "events"),
        ({"events": ["lead.test"]}, "events.0"),
        ({"events": ["lead.created", "lead.deleted"]}, "events.1"),
        ({"sources": []}, "sources"),
        ({"sources": ["a" * 101]}, "sources.0"),
        ({"sources": [None]}, "sources.0"),
        ({"description": "a" * 501}, "description"),
        ({"description": "a\nb"}, "description"),
        ({"enabled": None}, "enabled"),
        ({"enabled": 1}, "enabled"),
        ({"enabled": "true"}, "enabled"),
        ({"secret": "whsec_"}, "secret"),
        ({"id": 7}, "id"),
        ({"headers": []}, "headers"),
        ({"headers": {f"X-{number}": "a" for number in range(11)}}, "headers"),
        ({"headers": {"Host": "a"}}, "headers.Host"),
        ({"headers": {"content-length": "a"}}, "headers.content-length"),
        ({"headers": {"Content-Anything": "a"}}, "headers.Content-Anything"),
        ({"headers": {"Webhook-Id": "a"}}, "headers.Webhook-Id"),
        ({"headers": {"transfer-encoding": "chunked"}}, "headers.transfer-encoding"),
        ({"headers": {"connection": "close"}}, "headers.connection"),
        ({"headers": {"": "a"}}, "headers."),
        ({"headers": {"a b": "a"}}, "headers.a b"),
        ({"headers": {"a:": "a"}}, "headers.a:"),
        ({"headers": {"ä": "a"}}, "headers.ä"),
        ({"headers": {"a" * 101: "a"}}, f"headers.{'a' * 101}"),
        ({"headers": {"A": ""}}, "headers.A"),
        ({"headers": {"A": None}}, "headers.A"),
        ({"headers": {"A": 1}}, "headers.A"),
        ({"headers": {"A": " a"}}, "headers.A"),
        ({"headers": {"A": "a\r\nB: b"}}, "headers.A"),
        ({"headers": {"A": "ä"}}, "headers.A"),
        ({"headers": {"A": "a" * 2001}}, "headers.A"),
        ({"kind": "email", "url": "mailto:sales@example.com", "headers": {"A": "a"}}, "headers"),
    ],
)
def test_what_is_not_valid_is_named(client: FlaskClient, given: Json, field: str) -> None:
    response = client.post("/destinations", json={"kind": "webhook", "url": URL, **given})

    assert response.status_code == 422
    assert list(body(response)["errors"]) == [field]
    assert body(client.get("/destinations"))["total"] == 0


@pytest.mark.one_database
def test_a_private_address_is_refused_unless_a_setting_allows_it(make_app: MakeApp, client: FlaskClient) -> None:
    given = {"kind": "webhook", "url": "http://127.0.0.1:8080/hook"}
    strict = make_app(DATABASE_URL="sqlite://", AUTO_MIGRATE="on").test_client()

    assert client.post("/destinations", json=given).status_code == 201
    for url in (given["url"], "https://127.0.0.1:8080/hook", "https://localhost/", "https://[::1]/"):
        refused = strict.post("/destinations", json={**given, "url": url})
        assert refused.status_code == 422
        assert "WEBHOOK_ALLOW_PRIVATE=on" in body(refused)["errors"]["url"][0]
