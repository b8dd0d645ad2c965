"""Headers of every response for browsers."""

import pytest
from flask.testing import FlaskClient

from conftest import MARKER, StoredLead

pytestmark = pytest.mark.one_database

CAREFUL = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
}


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/leads", 200),
        (f"/leads?email={MARKER}.here@example.com", 200),
        ("/leads?limit=0", 422),
        ("/leads/export?format=csv", 200),
        ("/leads/export?format=ndjson", 200),
        ("/leads/export?format=pdf", 422),
        ("/health", 200),
        ("/nowhere", 404),
    ],
)
def test_an_answer_is_kept_nowhere_and_may_do_nothing_as_a_page(
    client: FlaskClient, stored_lead: StoredLead, path: str, status: int
) -> None:
    stored_lead(email=f"{MARKER}.here@example.com")

    response = client.get(path)
    response.close()

    assert response.status_code == status
    assert CAREFUL.items() <= dict(response.headers).items()
    assert response.headers.getlist("Cache-Control") == ["no-store"]
    policy = response.headers["Content-Security-Policy"].split("; ")
    assert {"default-src 'none'", "frame-ancestors 'none'"} <= set(policy)
    assert "script-src" not in response.headers["Content-Security-Policy"]


def test_an_answer_to_what_a_person_sent_is_kept_nowhere(client: FlaskClient, stored_lead: StoredLead) -> None:
    lead = stored_lead()

    for sent in ({"full_name": lead["full_name"], "email": lead["email"]}, {"full_name": "Z"}):
        response = client.post("/leads", json=sent)

        assert response.status_code in (409, 422)
        assert response.headers.getlist("Cache-Control") == ["no-store"]
        assert CAREFUL.items() <= dict(response.headers).items()


def test_an_answer_without_a_body_has_no_type(client: FlaskClient, stored_lead: StoredLead) -> None:
    lead = stored_lead()

    response = client.delete(f"/leads/{lead['id']}")

    assert (response.status_code, response.data) == (204, b"")
    assert "Content-Type" not in response.headers


@pytest.mark.parametrize("path", ["/", "/docs", "/docs/start.js", "/docs/assets/swagger-ui.css", "/openapi.json"])
def test_the_documentation_may_be_kept_and_runs_only_what_is_served_here(client: FlaskClient, path: str) -> None:
    with client.get(path) as response:
        assert CAREFUL.items() <= dict(response.headers).items()
        assert not response.cache_control.no_store
        # Large files that never change are not asked for at every look.
        assert (response.cache_control.max_age == 86400) == path.startswith("/docs/assets/")
        assert bool(response.cache_control.no_cache) != path.startswith("/docs/assets/")
        (policy,) = response.headers.getlist("Content-Security-Policy")
        assert "unsafe" not in policy
        assert ("script-src 'self'" in policy) == (path == "/docs")
        assert {"default-src 'none'", "frame-ancestors 'none'"} <= set(policy.split("; "))
