"""A database that is down, silent or locked, and how the service goes on afterwards."""

import socket
import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from itertools import islice

import psycopg
import pytest
import urllib3

from conftest import NewLead, Serve
from postgres import Postgres

# A request may wait five seconds for the database; the rest is for a busy machine.
AT_MOST = 6
AT_MOST_IN_A_QUEUE = 7
AT_MOST_FROZEN = 8

Response = urllib3.BaseHTTPResponse


def timed(call: Callable[..., Response], *args: object) -> tuple[Response, float]:
    """A response, and how many seconds it took."""
    started = time.monotonic()
    return call(*args), time.monotonic() - started


def assert_unavailable(response: Response) -> None:
    """It says that the database cannot answer, and when to come again."""
    assert response.status == 503
    assert response.headers["Content-Type"] == "application/problem+json"
    assert int(response.headers["Retry-After"]) > 0
    assert list(response.json()) == ["detail"]


@pytest.fixture(scope="module")
def own_server() -> Iterator[Postgres]:
    """A PostgreSQL that other tests do not use."""
    server = Postgres()
    yield server
    server.remove()


@pytest.fixture
def own_postgres(own_server: Postgres) -> Iterator[Postgres]:
    """A running PostgreSQL that the test may stop."""
    yield own_server
    own_server.start()


def test_an_outage_of_postgresql_ends_in_503_and_needs_no_restart(
    serve: Serve, own_postgres: Postgres, new_lead: NewLead
) -> None:
    server = serve(DATABASE_URL=own_postgres.new_database(), AUTO_MIGRATE="on")
    before = server.post("/leads", json=new_lead())

    own_postgres.stop()
    alive, ready, listed = server.get("/health"), server.get("/ready"), server.get("/leads")
    refused, seconds = timed(server.post, "/leads", new_lead())
    own_postgres.start()
    after = [server.post("/leads", json=new_lead()), server.get("/ready"), server.get("/leads")]

    assert before.status == 201
    assert alive.status == 200
    for response in (ready, listed, refused):
        assert_unavailable(response)
    assert seconds < AT_MOST
    assert [response.status for response in after] == [201, 200, 200]
    assert after[2].json()["total"] == 2


def test_a_restart_of_postgresql_between_two_requests_is_not_noticed(
    serve: Serve, own_postgres: Postgres, new_lead: NewLead
) -> None:
    server = serve(DATABASE_URL=own_postgres.new_database(), AUTO_MIGRATE="on", WEB_CONCURRENCY="2")
    before = server.with_each_worker(2, lambda: server.post("/leads", json=new_lead()))

    own_postgres.stop()
    own_postgres.start()
    after = server.with_each_worker(2, lambda: server.post("/leads", json=new_lead()))

    assert [response.status for response in before + after] == [201] * 4


def test_starts_while_postgresql_is_down_and_migrates_once_it_is_up(
    serve: Serve, own_postgres: Postgres, new_lead: NewLead
) -> None:
    url = own_postgres.new_database()
    own_postgres.stop()

    server = serve(DATABASE_URL=url, AUTO_MIGRATE="on")
    before = [server.get("/health"), server.get("/ready")]
    own_postgres.start()
    after = [server.get("/ready"), server.post("/leads", json=new_lead())]

    assert before[0].status == 200
    assert_unavailable(before[1])
    assert [response.status for response in after] == [200, 201]


def test_a_frozen_postgresql_ends_in_503_and_needs_no_restart(
    serve: Serve, own_postgres: Postgres, new_lead: NewLead
) -> None:
    server = serve(DATABASE_URL=own_postgres.new_database(), AUTO_MIGRATE="on", WEB_CONCURRENCY="1", THREADS="2")
    assert server.post("/leads", json=new_lead()).status == 201

    own_postgres.freeze()
    try:
        # More requests than threads, so that some wait for those that try the database.
        with ThreadPoolExecutor() as threads:
            requests = [threads.submit(timed, server.post, "/leads", new_lead()) for _ in range(4)]
            requests += [threads.submit(timed, server.get, "/leads") for _ in range(4)]
            alive, seconds_alive = timed(server.get, "/health")
            refused = [request.result() for request in requests]
    finally:
        own_postgres.thaw()
    after, seconds_after = timed(server.post, "/leads", new_lead())

    for response, seconds in refused:
        assert_unavailable(response)
        assert seconds < AT_MOST_FROZEN
    assert alive.status == 200
    assert seconds_alive < 1
    assert after.status == 201
    assert seconds_after < 2


def test_a_database_that_takes_connections_and_says_nothing_ends_in_503(serve: Serve, new_lead: NewLead) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        # Until the next line, connections are refused, so the service starts at once.
        server = serve(DATABASE_URL=f"postgresql://someone@127.0.0.1:{silent.getsockname()[1]}/leads")
        silent.listen()

        refused, seconds = timed(server.post, "/leads", new_lead())
        alive = server.get("/health")

    assert_unavailable(refused)
    assert seconds < AT_MOST
    assert alive.status == 200


@pytest.mark.parametrize("backend", ["sqlite"])
def test_a_lock_on_sqlite_ends_in_503_while_lists_go_on(serve: Serve, database_url: str, new_lead: NewLead) -> None:
    # More threads than requests, so that none waits for a thread.
    server = serve(DATABASE_URL=database_url, WEB_CONCURRENCY="2", THREADS="8")
    stored = server.post("/leads", json=new_lead())
    leads = [new_lead() for _ in range(6)]
    foreign = sqlite3.connect(database_url.removeprefix("sqlite:///"), isolation_level=None)
    foreign.execute("BEGIN IMMEDIATE")

    with ThreadPoolExecutor(len(leads)) as threads:
        posts = [threads.submit(timed, server.post, "/leads", lead) for lead in leads]
        listed = server.get("/leads")
        waiting = [post.done() for post in posts]
    foreign.execute("ROLLBACK")
    foreign.close()
    after = server.post("/leads", json=leads[0])

    assert stored.status == 201
    assert listed.json() == {"total": 1, "items": [stored.json()]}
    assert not any(waiting)
    for refused, seconds in (post.result() for post in posts):
        assert_unavailable(refused)
        assert seconds < AT_MOST_IN_A_QUEUE
    assert after.status == 201
    assert server.get("/leads").json()["total"] == 2


@pytest.mark.parametrize("backend", ["sqlite"])
def test_once_the_database_has_not_answered_one_request_waits_for_it_and_the_others_fail_at_once(
    serve: Serve, database_url: str, new_lead: NewLead
) -> None:
    server = serve(DATABASE_URL=database_url, WEB_CONCURRENCY="1", THREADS="2")
    foreign = sqlite3.connect(database_url.removeprefix("sqlite:///"), isolation_level=None)
    foreign.execute("BEGIN IMMEDIATE")
    assert server.post("/leads", json=new_lead()).status == 503

    with ThreadPoolExecutor() as threads:
        posts = [threads.submit(timed, server.post, "/leads", new_lead()) for _ in range(6)]
        ended = [post.result() for post in islice(as_completed(posts), 5)]
        alive = [timed(server.get, "/health") for _ in range(50)]
        foreign.execute("ROLLBACK")
    foreign.close()

    assert {answer.status for answer, _ in ended} == {503}
    assert {answer.status for answer, _ in alive} == {200}
    assert max(seconds for _, seconds in ended + alive) < 1
    assert sorted(post.result()[0].status for post in posts) == [201] + [503] * 5
    assert server.post("/leads", json=new_lead()).status == 201


@pytest.mark.parametrize("backend", ["postgresql"])
def test_a_lock_on_a_table_of_postgresql_ends_in_503(serve: Serve, database_url: str, new_lead: NewLead) -> None:
    server = serve(DATABASE_URL=database_url)
    with psycopg.connect(database_url) as foreign:
        foreign.execute("LOCK TABLE leads IN ACCESS EXCLUSIVE MODE")
        with ThreadPoolExecutor() as threads:
            waiting = [
                threads.submit(timed, server.post, "/leads", new_lead()),
                threads.submit(timed, server.get, "/leads"),
            ]
            alive = server.get("/health")
    after = [server.post("/leads", json=new_lead()), server.get("/leads")]

    for refused, seconds in (request.result() for request in waiting):
        assert_unavailable(refused)
        assert seconds < AT_MOST_IN_A_QUEUE
    assert alive.status == 200
    assert [response.status for response in after] == [201, 200]
    assert after[1].json()["total"] == 1
