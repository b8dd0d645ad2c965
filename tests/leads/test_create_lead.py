"""POST /leads."""

import re

from flask.testing import FlaskClient

from conftest import NewLead, body


def test_stores_a_lead_and_shows_it(client: FlaskClient, new_lead: NewLead) -> None:
    sent = new_lead()

    response = client.post("/leads", json=sent)

    assert response.status_code == 201
    assert response.headers["Location"] == "/leads/1"
    assert response.mimetype == "application/json"
    shown = body(response)
    assert list(shown) == ["id", *sent, "created_at"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", shown.pop("created_at"))
    assert shown == {"id": 1, **sent}
