"""Many requests at the same moment, answered by several processes."""

from conftest import NewLead, Serve
from servers import at_once


def test_fifty_spellings_of_one_address_at_once_are_one_lead(
    serve: Serve, database_url: str, new_lead: NewLead
) -> None:
    server = serve(DATABASE_URL=database_url, WEB_CONCURRENCY="2")
    address = new_lead()["email"]
    # The bits of a number tell which letters are capitals.
    spellings = [
        "".join(letter.upper() if number >> place & 1 else letter for place, letter in enumerate(address))
        for number in range(50)
    ]
    leads = [new_lead(email=spelling) for spelling in spellings]

    answers = at_once(50, lambda number: server.post("/leads", json=leads[number]))

    assert len(set(spellings)) == 50
    assert sorted(answer.status for answer in answers) == [201] + [409] * 49
    refusals = {answer.data for answer in answers if answer.status == 409}
    assert refusals == {b'{"detail":"Lead with this email already exists."}'}
    (created,) = [answer.json() for answer in answers if answer.status == 201]
    assert server.get("/leads").json() == {"total": 1, "items": [created]}


def test_forty_people_at_once_are_forty_leads(serve: Serve, database_url: str, new_lead: NewLead) -> None:
    server = serve(DATABASE_URL=database_url, WEB_CONCURRENCY="2")
    leads = [new_lead() for _ in range(40)]

    answers = at_once(40, lambda number: server.post("/leads", json=leads[number]))

    assert [answer.status for answer in answers] == [201] * 40
    created = sorted((answer.json() for answer in answers), key=lambda lead: int(lead["id"]))
    assert len({lead["id"] for lead in created}) == 40
    assert server.get("/leads?limit=100").json() == {"total": 40, "items": created}
