"""GET /leads/{id}."""

import pytest
from flask.testing import FlaskClient

from conftest import StoredLead, body


def test_shows_a_lead_as_it_was_answered(client: FlaskClient, stored_lead: StoredLead) -> None:
    stored = stored_lead(attributes={"phone": "zebedee"})

    response = client.get(f"/leads/{stored['id']}")

    assert response.status_code == 200
    assert response.mimetype == "application/json"
    assert list(body(response).items()) == list(stored.items())


def test_the_tag_is_the_same_until_the_lead_is_another(client: FlaskClient, stored_lead: StoredLead) -> None:
    stored_lead()

    first, second = (client.get("/leads/1").headers["ETag"] for _ in range(2))
    client.patch("/leads/1", json={"status": "lost"})
    third = client.get("/leads/1").headers["ETag"]

    assert first == second
    assert first != third


def test_every_answer_with_a_lead_has_its_tag(client: FlaskClient, stored_lead: StoredLead) -> None:
    email = stored_lead()["email"]
    created = client.post("/leads", json={"full_name": "Zebedee", "email": f"other.{email}"})
    shown = client.get("/leads/2")
    changed = client.patch("/leads/2", json={"company": "Zebedee Inc"})

    assert created.headers["ETag"] == shown.headers["ETag"]
    assert changed.headers["ETag"] == client.get("/leads/2").headers["ETag"]
    assert not changed.headers["ETag"].startswith("W/")


@pytest.mark.one_database
@pytest.mark.parametrize("known", ["{tag}", "W/{tag}", '"other", {tag}', "*"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_does_not_send_what_the_client_has(
    client: FlaskClient, stored_lead: StoredLead, method: str, known: str
) -> None:
    stored_lead()
    tag = client.get("/leads/1").headers["ETag"]

    response = client.open("/leads/1", method=method, headers={"If-None-Match": known.format(tag=tag)})

    assert (response.status_code, response.data) == (304, b"")
    assert response.headers["ETag"] == tag


def test_sends_what_has_changed(client: FlaskClient, stored_lead: StoredLead) -> None:
    stored_lead()
    tag = client.get("/leads/1").headers["ETag"]
    client.patch("/leads/1", json={"status": "contacted"})

    response = client.get("/leads/1", headers={"If-None-Match": tag})

    assert response.status_code == 200
    assert body(response)["status"] == "contacted"


def test_refuses_to_show_another_state_than_asked_for(client: FlaskClient, stored_lead: StoredLead) -> None:
    stored_lead()

    response = client.get("/leads/1", headers={"If-Match": '"other"'})

    assert response.status_code == 412
    assert response.mimetype == "application/problem+json"


@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
def test_there_is_nothing_at_an_id_that_was_not_given(
    client: FlaskClient, stored_lead: StoredLead, method: str
) -> None:
    stored_lead()
    changes = {"status": "lost"} if method == "PATCH" else None

    for lead_id in ("0", "2", "-1", "+1", "01", "1.0", "abc", "١", str(2**63 - 1), str(2**63), "9" * 5000):
        response = client.open(f"/leads/{lead_id}", method=method, json=changes)

        assert response.status_code == 404, lead_id
        assert response.mimetype == "application/problem+json"
        assert list(body(response)) == ["detail"]


def test_an_unknown_lead_is_missing_whatever_is_expected_of_it(client: FlaskClient) -> None:
    assert client.get("/leads/1", headers={"If-None-Match": "*"}).status_code == 404
    assert client.get("/leads/1", headers={"If-Match": "*"}).status_code == 404
    assert client.patch("/leads/1", json={}, headers={"If-Match": "*"}).status_code == 404
    assert client.delete("/leads/1", headers={"If-Match": '"x"'}).status_code == 404


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_refuses_a_query_by_name(client: FlaskClient, stored_lead: StoredLead, method: str) -> None:
    stored_lead()

    response = client.open("/leads/1?limit=1", method=method)

    assert response.status_code == 422
    assert body(response)["errors"] == {"limit": ["Unknown field."]}
    assert client.get("/leads/1").status_code == 200
