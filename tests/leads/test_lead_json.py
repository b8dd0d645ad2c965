"""The JSON of a lead, which the database renders, is byte for byte what orjson writes."""

from itertools import count

import orjson
from flask.testing import FlaskClient
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from werkzeug.test import TestResponse

from conftest import Json, body

MERGE = {"Prefer": "resolution=merge-duplicates"}
# Characters that JSON writers treat differently, and letters of several scripts.
MARKS = "\"\\/'<>&`%_{}[]:,\u00a0\u00ad\u200b\u2028\u2029\ufeff\ufffd\ufffe\U0001f600\U0010fffd"
SCRIPTS = "aZ0 éßİıǅ שלום سلام Привет ﷺ 例え 한글 ไทย e\u0301"
CONTROLS = "".join(map(chr, [*range(0x20), *range(0x7F, 0xA0)]))
LETTERS = st.one_of(st.sampled_from(MARKS + SCRIPTS), st.characters(exclude_categories=["Cc", "Cs"]))
LINES = st.text(LETTERS, max_size=40)
MESSAGES = st.text(st.one_of(LETTERS, st.sampled_from("\n\t")), max_size=60)
# The value of an attribute may be any text.
VALUES = st.text(st.one_of(LETTERS, st.sampled_from(CONTROLS)), max_size=60)
ATTRIBUTES = st.dictionaries(st.text(LETTERS, min_size=1, max_size=20), VALUES, max_size=5)
FIELDS = st.fixed_dictionaries(
    {}, optional={"company": LINES, "message": MESSAGES, "source": LINES, "attributes": ATTRIBUTES}
)
numbers = count(1)


def rendered(response: TestResponse, *statuses: int) -> tuple[bytes, str]:
    """The body, which is as orjson writes it, and the tag."""
    assert response.status_code in statuses, response.text
    assert response.data == orjson.dumps(orjson.loads(response.data))
    return response.data, response.headers["ETag"]


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(first=FIELDS, second=FIELDS, third=FIELDS)
@example(first={"message": MARKS}, second={"attributes": {MARKS: CONTROLS}}, third={"company": MARKS, "source": MARKS})
@example(first={"attributes": {"b": "1", "a": "2"}}, second={"message": "\r\n\t"}, third={"attributes": {"c": "1"}})
def test_every_answer_has_the_same_bytes_and_the_same_tag(
    client: FlaskClient, first: Json, second: Json, third: Json
) -> None:
    person = {"full_name": f"Zebedee {MARKS} O'Neil", "email": f"zebedee.{next(numbers)}@bücher.example"}

    created = client.post("/leads", json=person | first)
    path = f"/leads/{body(created)['id']}"
    stored = client.get(path)
    merged = client.post("/leads", json=person | second, headers=MERGE)
    stored_again = client.get(path)
    changed = client.patch(path, json=third)
    stored_at_last = client.get(path)
    listed = client.get("/leads?limit=1&sort=-id")
    exported = client.get("/leads/export?format=ndjson")

    assert rendered(created, 201) == rendered(stored, 200)
    assert rendered(merged, 200) == rendered(stored_again, 200)
    assert rendered(changed, 200) == rendered(stored_at_last, 200)
    assert listed.data == orjson.dumps(orjson.loads(listed.data))
    assert stored_at_last.data in listed.data
    assert exported.data.splitlines()[-1] == stored_at_last.data
