"""GET /leads while other transactions store leads."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import Connection, text

from conftest import NewLead, StoredLead, body
from leadapi.storage import db
from leadapi.storage.engines import leave_autocommit

LATE = text("INSERT INTO leads (full_name, email, email_key, created_at) VALUES ('Zebedee', 'z', :key, '2026-02-28')")
AFTER_THE_FIRST = "AAAAAAAAAAE"


@contextmanager
def storing(app: Flask) -> Iterator[Connection]:
    """A transaction that has stored a lead and is still open."""
    with app.app_context(), db.engine.connect() as writer:
        leave_autocommit(writer)
        writer.execute(LATE, {"key": "late"})
        yield writer


def ids(client: FlaskClient, query: str = "") -> tuple[list[int], str | None]:
    """The ids on a page, and the query of the next page."""
    response = client.get(f"/leads?{query}")
    assert response.status_code == 200, response.text
    link = response.headers.get("Link")
    return [lead["id"] for lead in body(response)["items"]], link and link.partition("?")[2].partition(">")[0]


def walk(client: FlaskClient, limit: int) -> list[tuple[list[int], bool]]:
    """The ids on all pages, and whether the page has a link."""
    pages: list[tuple[list[int], bool]] = []
    query: str | None = f"limit={limit}"
    while query:
        page, query = ids(client, query)
        pages.append((page, query is not None))
    return pages


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
def test_the_last_page_shows_all_that_is_stored(app: Flask, client: FlaskClient, stored_lead: StoredLead) -> None:
    stored_lead()
    with storing(app) as writer:
        stored_lead()
        last = client.get("/leads?limit=100")
        newest = ids(client, "limit=1&sort=-id")
        writer.commit()

    assert [lead["id"] for lead in body(last)["items"]] == [1, 3]
    assert (body(last)["total"], last.headers.get("Link")) == (2, None)
    assert newest[0] == [3]
    assert ids(client) == ([1, 2, 3], None)


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
def test_a_page_with_a_link_ends_before_a_lead_that_may_appear(
    app: Flask, client: FlaskClient, stored_lead: StoredLead
) -> None:
    stored_lead()
    with storing(app) as writer:
        for _ in range(3):
            stored_lead()
        settled = ids(client, "limit=1")
        short, link = ids(client, "limit=3")
        refused = client.get(f"/leads?limit=2&after={AFTER_THE_FIRST}")
        writer.commit()
    rest = ids(client, link or "")

    assert settled[0] == short == [1]
    assert refused.status_code == 503
    assert int(refused.headers["Retry-After"]) > 0
    assert body(refused) == {"detail": "Other leads are being stored on this page; try again in a moment."}
    assert rest[0] == [2, 3, 4]


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
def test_a_page_waits_for_a_transaction_that_ends_soon(
    app: Flask, client: FlaskClient, stored_lead: StoredLead
) -> None:
    stored_lead()
    answers: list[list[int]] = []
    with storing(app) as writer:
        for _ in range(3):
            stored_lead()
        readers = [
            threading.Thread(target=lambda query=query: answers.append(ids(app.test_client(), query)[0]))
            for query in (f"limit=2&after={AFTER_THE_FIRST}", "limit=2")
        ]
        for reader in readers:
            reader.start()
        readers[0].join(0.3)
        waited = not answers
        writer.commit()
    for reader in readers:
        reader.join()

    assert waited
    assert sorted(answers) == [[1, 2], [2, 3]]


def assert_nothing_was_skipped(pages: list[tuple[list[int], bool]], stored: list[int]) -> None:
    """No lead has appeared later in the part of the list that the walk passed."""
    last = 0
    for page, has_link in pages:
        if has_link:
            assert page == [number for number in stored if last < number <= page[-1]]
            last = page[-1]


def test_walks_show_everything_that_was_answered_and_skip_nothing(app: Flask, new_lead: NewLead) -> None:
    answered: list[int] = []
    missing: list[set[int]] = []
    walks: list[list[tuple[list[int], bool]]] = []
    done = threading.Event()

    def write() -> None:
        client = app.test_client()
        for _ in range(20):
            answer = client.post("/leads/batch", json={"items": [new_lead() for _ in range(10)]})
            answered.extend(item["lead"]["id"] for item in body(answer)["items"])

    def read(limit: int) -> None:
        client = app.test_client()
        while not done.is_set():
            before = set(answered)
            pages = walk(client, limit)
            missing.append(before.difference(*(page for page, _ in pages)))
            walks.append(pages)

    writers = [threading.Thread(target=write) for _ in range(2)]
    readers = [threading.Thread(target=read, args=[limit]) for limit in (7, 100)]
    for thread in (*writers, *readers):
        thread.start()
    for thread in writers:
        thread.join()
    done.set()
    for thread in readers:
        thread.join()

    assert len(answered) == 400
    assert len(walks) > 2
    assert not any(missing)
    for pages in walks:
        assert_nothing_was_skipped(pages, sorted(answered))
