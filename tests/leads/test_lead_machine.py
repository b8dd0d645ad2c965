"""Creating and listing in any order, against a plain list."""

from collections.abc import Callable
from typing import Any

from flask.testing import FlaskClient
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from conftest import MARKER, MakeApp, body

PEOPLE = st.integers(1, 12)
SPELLINGS: st.SearchStrategy[Callable[[str], str]] = st.sampled_from([str.lower, str.upper, str.title])


class LeadMachine(RuleBasedStateMachine):
    """A service and what it should hold."""

    client: FlaskClient

    def __init__(self) -> None:
        super().__init__()
        # Ids go on from one example to the next, as the database does.
        self.before: int = body(self.client.get("/leads?limit=1"))["total"]
        self.stored: list[dict[str, Any]] = []

    @rule(person=PEOPLE, spelling=SPELLINGS)
    def create(self, person: int, spelling: Callable[[str], str]) -> None:
        """The first of each person is stored, every other is refused."""
        email = spelling(f"{MARKER}.{person}.{self.before}@example.com")
        taken = any(lead["email"].lower() == email.lower() for lead in self.stored)

        response = self.client.post("/leads", json={"full_name": "Zebedee Dee", "email": email})

        assert response.status_code == (409 if taken else 201)
        if not taken:
            self.stored.append(body(response))

    @rule(email=st.sampled_from(["nobody", "", 17, None]))
    def create_wrongly(self, email: Any) -> None:
        """Nothing is stored."""
        assert self.client.post("/leads", json={"full_name": "Zebedee Dee", "email": email}).status_code == 422

    @rule(limit=st.integers(1, 100), offset=st.integers(0, 15))
    def read_a_slice(self, limit: int, offset: int) -> None:
        """A slice is what a list would give."""
        page = body(self.client.get(f"/leads?limit={limit}&offset={self.before + offset}"))

        assert page["items"] == self.stored[offset : offset + limit]

    @rule(limit=st.integers(1, 5))
    def walk_the_pages(self, limit: int) -> None:
        """The pages together have no gap and no repeat."""
        found: list[dict[str, Any]] = []
        while page := body(self.client.get(f"/leads?limit={limit}&offset={self.before + len(found)}"))["items"]:
            found += page

        assert found == self.stored

    @invariant()
    def total_is_exact(self) -> None:
        """As many as were stored."""
        assert body(self.client.get("/leads?limit=1"))["total"] == self.before + len(self.stored)


def test_leads_are_kept_as_a_list_would_keep_them(make_app: MakeApp, database_url: str) -> None:
    client = make_app(DATABASE_URL=database_url).test_client()
    machine = type("Machine", (LeadMachine,), {"client": client})

    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=20,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
