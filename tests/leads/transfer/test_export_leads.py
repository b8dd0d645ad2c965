"""GET /leads/export."""

import csv
import io

import orjson
import pytest
from flask.testing import FlaskClient

from conftest import MARKER, NewLead, StoredLead, body

HEADER = [
    "id",
    "full_name",
    "email",
    "company",
    "message",
    "source",
    "created_at",
    "status",
    "attributes",
    "updated_at",
]


@pytest.mark.parametrize(
    ("query", "accept", "media_type"),
    [
        ("", None, "text/csv"),
        ("", "*/*", "text/csv"),
        ("", "text/csv", "text/csv"),
        ("", "text/*;q=0.5, application/x-ndjson", "application/x-ndjson"),
        ("", "text/csv; charset=utf-8; header=present", "text/csv"),
        ("", 'application/x-ndjson;charset="utf-8", text/csv;q=0.5', "application/x-ndjson"),
        ("?format=csv", "application/x-ndjson", "text/csv"),
        ("?format=ndjson", None, "application/x-ndjson"),
        ("?format=ndjson", "text/html", "application/x-ndjson"),
    ],
)
def test_answers_in_the_format_asked_for(client: FlaskClient, query: str, accept: str | None, media_type: str) -> None:
    response = client.get(f"/leads/export{query}", headers={"Accept": accept} if accept else {})
    response.get_data()

    assert response.status_code == 200
    assert response.mimetype == media_type
    assert response.headers["Content-Disposition"].startswith("attachment; filename=leads.")


def test_refuses_a_format_that_it_does_not_have(client: FlaskClient) -> None:
    by_header = client.get("/leads/export", headers={"Accept": "application/json"})
    by_name = client.get("/leads/export?format=xlsx")

    assert by_header.status_code == 406
    assert by_header.mimetype == "application/problem+json"
    assert by_name.status_code == 422


def test_ndjson_has_every_lead_as_the_list_shows_it(client: FlaskClient, stored_lead: StoredLead) -> None:
    stored = [stored_lead(message="one\ntwo") for _ in range(3)]

    lines = client.get("/leads/export?format=ndjson").data.splitlines()

    assert [orjson.loads(line) for line in lines] == stored


def test_csv_is_what_a_spreadsheet_reads(client: FlaskClient, stored_lead: StoredLead) -> None:
    stored = stored_lead(
        full_name=f'{MARKER} "Z", Dee', message="one\r\ntwo\tthree", company=None, attributes={"a": '"z",'}
    )

    text = client.get("/leads/export").get_data(as_text=True)

    assert text.startswith(",".join(HEADER) + "\r\n")
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert orjson.loads(rows[0].pop("attributes")) == stored.pop("attributes")
    assert rows == [{name: "" if value is None else str(value) for name, value in stored.items()}]


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r\n"])
def test_csv_disarms_what_a_spreadsheet_would_run(client: FlaskClient, stored_lead: StoredLead, start: str) -> None:
    stored_lead(message=f"{start}cmd|' /C calc'!A0")

    rows = list(csv.DictReader(io.StringIO(client.get("/leads/export").get_data(as_text=True), newline="")))

    assert rows[0]["message"] == f"'{start}cmd|' /C calc'!A0"


def test_takes_the_filters_and_the_order_of_the_list(client: FlaskClient, stored_lead: StoredLead) -> None:
    stored = [stored_lead(source=source) for source in ("a", "b", "a")]

    lines = client.get("/leads/export?format=ndjson&source=a&sort=-id").data.splitlines()

    assert [orjson.loads(line) for line in lines] == [stored[2], stored[0]]
    assert body(client.get("/leads/export?limit=1"))["errors"] == {"limit": ["Unknown field."]}


def test_shows_one_moment_and_lets_others_write(client: FlaskClient, new_lead: NewLead) -> None:
    # More than are read at once, so that the rest is read after the new lead has come.
    for _ in range(3):
        client.post("/leads/batch", json={"items": [new_lead() for _ in range(400)]})
    export = client.get("/leads/export?format=ndjson", buffered=False)
    chunks = iter(export.response)
    first = next(chunks)

    added = client.application.test_client().post("/leads", json=new_lead())
    text = b"".join([bytes(first), *(bytes(chunk) for chunk in chunks)])  # type: ignore[arg-type]  # bytes, in truth
    export.close()

    assert added.status_code == 201
    assert [orjson.loads(line)["id"] for line in text.splitlines()] == [*range(1, 1201)]
