"""Everything that can be done with leads, in any order, against a plain dictionary."""

from collections.abc import Callable
from typing import Any

from flask.testing import FlaskClient
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from conftest import MARKER, Json, MakeApp, body

PEOPLE = st.integers(1, 8)
SPELLINGS: st.SearchStrategy[Callable[[str], str]] = st.sampled_from([str.lower, str.upper, str.title])
RESOLUTIONS = st.sampled_from([None, "merge-duplicates", "ignore-duplicates"])
WORDS = st.sampled_from(["one", "two", "three"])
ATTRIBUTES = st.dictionaries(st.sampled_from("abc"), WORDS, max_size=3)
MESSAGES = st.fixed_dictionaries(
    {"full_name": WORDS},
    optional={"company": WORDS | st.none(), "source": WORDS | st.none(), "attributes": ATTRIBUTES | st.none()},
)
CHANGES = st.fixed_dictionaries(
    {},
    optional={
        "full_name": WORDS,
        "message": WORDS | st.none(),
        "source": WORDS | st.none(),
        "status": st.sampled_from(["new", "qualified", "lost"]),
        "attributes": st.dictionaries(st.sampled_from("abc"), WORDS | st.none(), max_size=3) | st.none(),
    },
)
NOTHING = {"company": None, "message": None, "source": None, "status": "new"}
TAKEN = {"status": 409, "detail": "Lead with this email already exists."}


class LeadMachine(RuleBasedStateMachine):
    """A service and what it should hold: from id to what is known of the lead, in the order of the ids."""

    client: FlaskClient

    def __init__(self) -> None:
        super().__init__()
        for lead in body(self.client.get("/leads?limit=100"))["items"]:
            self.client.delete(f"/leads/{lead['id']}")
        self.leads: dict[int, Json] = {}
        self.histories: dict[int, list[str]] = {}

    # --- what should happen ----------------------------------------------------------------------

    def expect(self, sent: Json, resolution: str | None) -> tuple[int, int | None]:
        """The status that a message should get, and the id of the lead that it is about."""
        found = [number for number, lead in self.leads.items() if lead["email"].lower() == sent["email"].lower()]
        if not found:
            return 201, None
        if resolution is None:
            return 409, None
        if resolution == "merge-duplicates":
            self.overwrite(found[0], {name: value for name, value in sent.items() if value is not None})
        self.histories[found[0]].append("lead.repeated")
        return 200, found[0]

    def add(self, lead: Json, sent: Json) -> None:
        """A lead that was answered as new."""
        assert not self.histories.keys() & {lead["id"]}
        given = {name: value for name, value in sent.items() if name != "attributes"}
        self.leads[lead["id"]] = {**NOTHING, **given, "attributes": dict(sent.get("attributes") or {})}
        self.histories[lead["id"]] = ["lead.created"]

    def overwrite(self, number: int, changes: Json) -> bool:
        """Whether it made a difference."""
        before = {**self.leads[number]}
        attributes = changes.get("attributes", {})
        merged = {} if attributes is None else {**before["attributes"], **attributes}
        self.leads[number] |= {
            **changes,
            "attributes": {name: text for name, text in merged.items() if text is not None},
        }
        return self.leads[number] != before

    def check(self, number: int, shown: Json) -> None:
        """A lead is shown as it should be."""
        assert {name: shown[name] for name in self.leads[number]} == self.leads[number]

    def address(self, person: int, spelling: Callable[[str], str]) -> str:
        """One of a person's addresses."""
        return (
            spelling(f"{MARKER}.{person}@example.com")
            .replace("@EXAMPLE.COM", "@example.com")
            .replace("@Example.Com", "@example.com")
        )

    # --- what is done ----------------------------------------------------------------------------

    @rule(person=PEOPLE, spelling=SPELLINGS, message=MESSAGES, resolution=RESOLUTIONS)
    def create(self, person: int, spelling: Callable[[str], str], message: Json, resolution: str | None) -> None:
        """The first of each person is stored, every other is treated as preferred."""
        sent = {**message, "email": self.address(person, spelling)}
        status, number = self.expect(sent, resolution)

        response = self.client.post("/leads", json=sent, headers=prefer(resolution))

        assert response.status_code == status
        if status == 201:
            self.add(body(response), sent)
        elif number:
            assert body(response)["id"] == number
            self.check(number, body(response))

    @rule(
        items=st.lists(st.tuples(PEOPLE, SPELLINGS, MESSAGES) | st.none(), min_size=1, max_size=6),
        resolution=RESOLUTIONS,
    )
    def create_many(self, items: list[tuple[int, Callable[[str], str], Json] | None], resolution: str | None) -> None:
        """Each is treated as if it came alone, one after the other."""
        sent = [{**item[2], "email": self.address(item[0], item[1])} if item else {"email": "nobody"} for item in items]

        response = self.client.post("/leads/batch", json={"items": sent}, headers=prefer(resolution))

        for item, each, verdict in zip(items, sent, body(response)["items"], strict=True):
            if item is None:
                assert verdict["status"] == 422
                continue
            status, number = self.expect(each, resolution)
            assert verdict["status"] == status
            if status == 201:
                self.add(verdict["lead"], each)
            elif number:
                self.check(number, verdict["lead"])
            else:
                assert verdict == TAKEN

    @rule(email=st.sampled_from(["nobody", "", 17, None]))
    def create_wrongly(self, email: Any) -> None:
        """Nothing is stored."""
        assert self.client.post("/leads", json={"full_name": "Zebedee Dee", "email": email}).status_code == 422

    @rule(place=st.integers(0, 9), changes=CHANGES)
    def change(self, place: int, changes: Json) -> None:
        """A change of nothing is no event."""
        number = self.pick(place)

        response = self.client.patch(f"/leads/{number}", json=changes)

        if number not in self.leads:
            assert response.status_code == 404
            return
        assert response.status_code == 200
        if self.overwrite(number, changes):
            self.histories[number].append("lead.updated")
        self.check(number, body(response))

    @rule(place=st.integers(0, 9), person=PEOPLE, spelling=SPELLINGS)
    def move(self, place: int, person: int, spelling: Callable[[str], str]) -> None:
        """To an address that is free, or the lead's own."""
        number, email = self.pick(place), self.address(person, spelling)
        if number not in self.leads:
            return
        taken = any(other != number and lead["email"].lower() == email.lower() for other, lead in self.leads.items())

        response = self.client.patch(f"/leads/{number}", json={"email": email})

        assert response.status_code == (409 if taken else 200)
        if not taken and self.overwrite(number, {"email": email}):
            self.histories[number].append("lead.updated")

    @rule(place=st.integers(0, 9))
    def erase(self, place: int) -> None:
        """Only that it was erased is left."""
        number = self.pick(place)

        response = self.client.delete(f"/leads/{number}")

        assert response.status_code == (204 if number in self.leads else 404)
        if self.leads.pop(number, None):
            self.histories[number] = ["lead.erased"]

    @rule(place=st.integers(0, 9), changes=CHANGES)
    def change_only_what_is_known(self, place: int, changes: Json) -> None:
        """A PATCH with an outdated If-Match changes nothing."""
        number = self.pick(place)
        if number not in self.leads:
            return
        tag = self.client.get(f"/leads/{number}").headers["ETag"]
        other = {"If-Match": f'"{tag[2:]}'}
        assert self.client.patch(f"/leads/{number}", json=changes, headers=other).status_code == 412
        assert self.client.get(f"/leads/{number}", headers={"If-None-Match": tag}).status_code == 304

    def pick(self, place: int) -> int:
        """One of the leads that there are or were, or one that never was."""
        numbers = sorted(self.histories, reverse=True)
        return numbers[place] if place < len(numbers) else 10**9 + place

    # --- what is always so -----------------------------------------------------------------------

    @rule(limit=st.integers(1, 3))
    def walk_the_pages(self, limit: int) -> None:
        """The pages together have no gap and no repeat."""
        found: list[Json] = []
        while page := body(self.client.get(f"/leads?limit={limit}&offset={len(found)}"))["items"]:
            found += page

        assert [lead["id"] for lead in found] == sorted(self.leads)

    @rule(source=WORDS)
    def filter(self, source: str) -> None:
        """The kept number of a source is the right one."""
        page = body(self.client.get(f"/leads?source={source}"))
        assert page["total"] == sum(lead["source"] == source for lead in self.leads.values())

    @rule(place=st.integers(0, 9))
    def look_back(self, place: int) -> None:
        """Every history is complete."""
        number = self.pick(place)
        response = self.client.get(f"/leads/{number}/events?limit=100")
        if number not in self.histories:
            assert response.status_code == 404
        else:
            assert [event["type"] for event in body(response)["items"]] == self.histories[number][:100]

    @invariant()
    def all_is_as_it_should_be(self) -> None:
        """Every lead, and the total."""
        page = body(self.client.get("/leads?limit=100"))
        assert page["total"] == len(self.leads)
        assert [lead["id"] for lead in page["items"]] == sorted(self.leads)
        for lead in page["items"]:
            self.check(lead["id"], lead)


def prefer(resolution: str | None) -> dict[str, str]:
    """The header that asks for a resolution."""
    return {"Prefer": f"resolution={resolution}"} if resolution else {}


def test_leads_are_kept_as_a_dictionary_would_keep_them(make_app: MakeApp, database_url: str) -> None:
    client = make_app(DATABASE_URL=database_url).test_client()
    machine = type("Machine", (LeadMachine,), {"client": client})

    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=10,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
