"""GET /leads?q=…: search in the texts of leads."""

import random
import unicodedata
from pathlib import Path
from urllib.parse import urlencode

import pytest
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from conftest import Json, MakeApp, StoredLead, body
from leadapi import storage

# Letters with case, accents and compatibility forms, of several scripts; what is special in patterns and in SQL; and
# pictures.
LETTERS = "aAbBßẞéÉe\u0301\u0345İıſẖŉǅÅΩωςΣжЙй가ㄱかがﾊﾟشﷺहि½Ⅷﬁ²％　´¨%_\\'\"*-👍🏽\u200b "
WORDS = st.text(LETTERS, max_size=6)
FRAGMENTS = st.tuples(st.integers(0), st.integers(0), st.integers(1, 8))


def plain(letters: str) -> str:
    decomposed = unicodedata.normalize("NFKD", letters)
    return "".join(letter for letter in decomposed if unicodedata.category(letter) != "Mn").casefold()


def is_found(lead: Json, q: str) -> bool:
    """The sentence of the guide, in Python."""
    names = ("full_name", "email", "company", "message")
    fields = [lead[name] for name in names if lead[name]] + list(lead["attributes"].values())
    return all(any(plain(word) in plain(field) for field in fields) for word in q.split())


def found(client: FlaskClient, q: str, **query: str) -> list[int]:
    """The ids of the leads that a search finds, of which there are as many as it says."""
    page = body(client.get("/leads", query_string={"q": q, "limit": "100", **query}))
    assert page["total"] == len(page["items"])
    return [lead["id"] for lead in page["items"]]


def test_finds_what_the_guide_says(shared_app: MakeApp) -> None:
    client = shared_app().test_client()
    stored: list[Json] = []

    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(
        leads=st.lists(st.fixed_dictionaries({"n": WORDS, "c": WORDS, "m": WORDS, "a": WORDS}), max_size=2),
        fragments=st.lists(FRAGMENTS, max_size=2),
        words=WORDS,
    )
    def search(leads: list[dict[str, str]], fragments: list[tuple[int, int, int]], words: str) -> None:
        items = [
            {
                "full_name": f"Zo {lead['n']}",
                "email": f"{len(stored) + place}@bücher.example",
                "company": lead["c"],
                "message": f"{lead['m']}\n{lead['a']}",
                "attributes": {"unsearched": lead["a"]},
            }
            for place, lead in enumerate(leads if len(stored) < 90 else ())
        ]
        verdicts = body(client.post("/leads/batch", json={"items": items}))["items"]
        assert [verdict["status"] for verdict in verdicts] == [201] * len(items)
        stored.extend(verdict["lead"] for verdict in verdicts)
        # Parts of stored texts, which a search is likely to find, and something else.
        texts = [lead[name] for lead in stored for name in ("full_name", "company", "message") if lead[name]]
        parts = [] if not texts else [texts[i % len(texts)][j % 5 :][:length] for i, j, length in fragments]
        q = " ".join([*parts, words]).replace("\n", " ") or "unsearched"
        if not q.split():
            assert client.get("/leads", query_string={"q": q}).status_code == 422
            return

        assert found(client, q) == [lead["id"] for lead in stored if is_found(lead, q)]

    search()


def test_every_door_stores_what_is_searched(app: Flask, client: FlaskClient, tmp_path: Path) -> None:
    def lead(number: int, **fields: str) -> Json:
        return {"full_name": "Zoë Doe", "email": f"{number}@example.com"} | fields

    run = app.test_cli_runner().invoke
    file = tmp_path / "people.csv"
    file.write_text("full_name,email,company\nZoë Doe,4@example.com,Imported GmbH\n")

    client.post("/leads", json=lead(1, message="Posted"))
    client.post("/leads/batch", json={"items": [lead(1), lead(2, company="Batched"), lead(2)]})
    client.post("/leads", data=lead(3, phone="+49 Form", message="x") | {f"f{n}": "left out" for n in range(60)})
    assert run(args=["leads", "import", str(file)]).exit_code == 0
    caught = body(client.post("/leads", json=lead(5, message="Quarantined", _gotcha="x")))["id"]
    assert found(client, "quarantined") == []
    assert run(args=["leads", "quarantine", "release", str(caught)]).exit_code == 0

    for number, word in enumerate(("posted", "batched", "form", "imported", "quarantined"), 1):
        (item,) = body(client.get(f"/leads?q=zoe+{word}"))["items"]
        assert item["email"] == f"{number}@example.com"


def test_finds_no_word_across_two_fields(client: FlaskClient, stored_lead: StoredLead) -> None:
    fields = {"full_name": "Jane Ab", "email": "cd@ef.example", "company": "Gh", "message": "Ij"}
    stored_lead(**fields, attributes={"one": "kl", "two": "mn"})

    assert [found(client, q) for q in ("abcd", "examplegh", "ghij", "ijkl", "klmn", "one")] == [[]] * 6
    assert found(client, "ab cd gh ij kl mn") == [1]


@pytest.mark.parametrize("space", ["\t", "\r\n", "\u00a0", " \t "])
def test_any_space_separates_words(client: FlaskClient, stored_lead: StoredLead, space: str) -> None:
    stored_lead(company="Two", message="One")

    for q in (f"one{space}two", f"{space}one{space}"):
        assert found(client, q) == [1]


def test_a_change_is_found_and_the_former_text_is_not(client: FlaskClient, stored_lead: StoredLead) -> None:
    merged, patched = stored_lead(message="Before"), stored_lead(message="Before", attributes={"color": "blue"})
    merge = {"Prefer": "resolution=merge-duplicates"}
    client.post("/leads", json={"full_name": "Zoë", "email": merged["email"], "message": "Áfter"}, headers=merge)
    client.patch(f"/leads/{patched['id']}", json={"email": "new@example.com", "attributes": {"color": "red"}})

    assert found(client, "before") == [patched["id"]]
    assert found(client, "after zoe") == [merged["id"]]
    assert found(client, "new@example.com red") == [patched["id"]]
    assert found(client, "blue") == []
    # A change of another field keeps the text.
    client.patch(f"/leads/{patched['id']}", json={"status": "lost", "source": "elsewhere"})
    assert found(client, "before", status="lost") == [patched["id"]]
    assert found(client, "elsewhere") == []


def test_a_lead_that_was_inserted_by_hand_is_found_once_it_is_changed(client: FlaskClient, app: Flask) -> None:
    row = "('Zoë Doe', 'z@example.com', 'z@example.com', '2026-02-28 10:00:00')"
    with app.app_context(), storage.write() as tx:
        tx.execute(text(f"INSERT INTO leads (full_name, email, email_key, created_at) VALUES {row}"))
    assert found(client, "zoe") == []

    client.patch("/leads/1", json={"company": "Example"})

    assert found(client, "zoe example") == [1]


def test_filters_orders_and_pages_hold_for_a_search(client: FlaskClient, stored_lead: StoredLead) -> None:
    chance = random.Random(7)
    stored = [
        stored_lead(source=chance.choice("ab"), message=chance.choice(["One word", "Two words", "Three"]))
        for _ in range(30)
    ]
    expected = [lead["id"] for lead in stored if lead["source"] == "a" and "word" in lead["message"]]
    query = {"q": "WORD", "source": "a", "created_from": "2026-01-01T00:00:00Z", "limit": "4"}

    for sort in ("id", "-id", "updated_at", "-updated_at"):
        walked: list[int] = []
        path = f"/leads?{urlencode({**query, 'sort': sort})}"
        while path:
            response = client.get(path)
            assert body(response)["total"] == len(expected)
            walked += [lead["id"] for lead in body(response)["items"]]
            link = response.headers.get("Link")
            path = f"/leads{link.partition('>')[0][1:]}" if link else ""
        assert walked == (expected[::-1] if sort.startswith("-") else expected)
    for offset in (1, 3, len(expected), 2**63 - 1):
        page = body(client.get("/leads", query_string={**query, "offset": str(offset)}))
        assert page["total"] == len(expected)
        assert [lead["id"] for lead in page["items"]] == expected[offset : offset + 4]
    exported = client.get("/leads/export", query_string={"q": "word", "source": "a", "format": "ndjson"}).text
    assert exported.count("\n") == len(expected)


def test_the_command_exports_what_a_search_finds(app: Flask, stored_lead: StoredLead) -> None:
    stored_lead(message="Ünique")
    stored_lead()

    result = app.test_cli_runner().invoke(args=["leads", "export", "--q", "unique", "--format", "ndjson"])

    assert result.stdout.count("\n") == 1
    assert "Ünique" in result.stdout


@pytest.mark.parametrize("number", [5, 100])
def test_a_search_may_have_many_words(client: FlaskClient, stored_lead: StoredLead, number: int) -> None:
    letters = [chr(0x4E00 + place) for place in range(number)]
    stored_lead(message="".join(letters))
    stored_lead(message="".join(letters[1:]))

    assert found(client, " ".join(letters)) == [1]
    assert found(client, " ".join(letters[1:])) == [1, 2]


@pytest.mark.one_database
@pytest.mark.parametrize("q", ["", " ", "\u00a0\u3000", "\t\n", "a" * 201, "a\x00", "a\x1fb", "\x7f"])
def test_refuses_a_search_without_words_or_with_too_many_characters(client: FlaskClient, q: str) -> None:
    for path in ("/leads", "/leads/export"):
        response = client.get(path, query_string={"q": q})

        assert response.status_code == 422
        assert list(body(response)["errors"]) == ["q"]
