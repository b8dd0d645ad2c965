"""How many requests one client may send, counted in one process; servers are in server/test_rate_limits.py."""

import io
import re
import time
from collections.abc import Callable
from typing import Any

import pytest
from documents import operations
from flask import g
from flask.testing import FlaskClient
from limits import parse_many
from sqlalchemy import event
from werkzeug.test import TestResponse

from conftest import Json, MakeApp, NewLead, body
from leadapi.keys.service import ALL, Caller
from leadapi.limits import counters
from leadapi.limits.counters import LocalCounter, RedisCounter
from leadapi.storage import db
from redis_server import RedisServer
from servers import at_once

# Redis ends a window in the millisecond after its last one.
A_MOMENT = 0.01

LimitedTo = Callable[..., FlaskClient]


@pytest.fixture
def limited_to(make_app: MakeApp, database_url: str) -> LimitedTo:
    """A client of a service with limits."""
    return lambda capture="none", **more: make_app(
        DATABASE_URL=database_url, RATE_LIMIT_CAPTURE=capture, **more
    ).test_client()


class Unread(io.BytesIO):
    """A body that nobody may read."""

    def read(self, size: int | None = -1, /) -> bytes:
        raise AssertionError("it was read")


def left(response: TestResponse) -> list[int]:
    """How many more requests each limit lets through."""
    return [int(number) for number in re.findall(r";r=(\d+)", response.headers["RateLimit"])]


def test_so_many_pass_and_the_next_is_told_when_to_come_again(limited_to: LimitedTo, new_lead: NewLead) -> None:
    client = limited_to("5/minute")

    answers = [client.post("/leads", json=new_lead()) for _ in range(7)]

    assert [answer.status_code for answer in answers] == [201] * 5 + [429] * 2
    assert [left(answer) for answer in answers] == [[4], [3], [2], [1], [0], [0], [0]]
    refusal = answers[-1]
    assert refusal.mimetype == "application/problem+json"
    wait = int(refusal.headers["Retry-After"])
    assert 50 < wait <= 60
    assert body(refusal) == {"detail": f"Too many requests; try again in {wait} s."}
    assert refusal.headers["RateLimit-Policy"] == '"capture";q=5;w=60'
    assert refusal.headers["RateLimit"] == f'"capture";r=0;t={wait}'
    assert body(client.get("/leads"))["total"] == 5


def test_a_client_that_waits_for_retry_after_passes(limited_to: LimitedTo, new_lead: NewLead) -> None:
    client = limited_to("1/second")
    client.post("/leads", json=new_lead())
    refusal = client.post("/leads", json=new_lead())

    # The promise is about time.
    time.sleep(int(refusal.headers["Retry-After"]))
    answer = client.post("/leads", json=new_lead())

    assert (refusal.status_code, answer.status_code) == (429, 201)


def test_a_request_that_one_of_two_limits_refuses_counts_in_none(limited_to: LimitedTo, new_lead: NewLead) -> None:
    client = limited_to("2/minute;100/hour")

    answers = [client.post("/leads", json=new_lead()) for _ in range(4)]

    assert [left(answer) for answer in answers] == [[1, 99], [0, 98], [0, 98], [0, 98]]
    assert answers[-1].headers["RateLimit-Policy"] == '"capture-60";q=2;w=60, "capture-3600";q=100;w=3600'
    assert int(answers[-1].headers["Retry-After"]) <= 60


def test_each_operation_has_the_limit_that_the_document_says(limited_to: LimitedTo) -> None:
    client = limited_to("1000/minute", RATE_LIMIT_API="1000/hour")
    document = body(client.get("/openapi.json"))
    policies: Json = {}

    for method, path, operation in operations(document):
        response = client.open(re.sub(r"\{\w+\}", "1", path), method=method)
        response.close()
        policies[f"{method.upper()} {path}"] = response.headers.get("RateLimit-Policy")
        assert ("429" in operation["responses"]) == ("RateLimit" in response.headers), path

    free = {"GET /health", "GET /ready"}
    assert {name for name, policy in policies.items() if policy is None} == free
    strangers = {name for name, policy in policies.items() if policy == '"capture";q=1000;w=60'}
    assert "POST /leads" in strangers <= {"POST /leads", "POST /leads/batch"}
    assert {policies[name] for name in policies.keys() - free - strangers} == {'"api";q=1000;w=3600'}


@pytest.mark.one_database
@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/nowhere"), ("PUT", "/leads"), ("OPTIONS", "/leads"), ("GET", "/docs"), ("GET", "/openapi.json")],
)
def test_a_request_that_reaches_no_operation_is_not_counted(limited_to: LimitedTo, method: str, path: str) -> None:
    client = limited_to("1/hour", RATE_LIMIT_API="1/hour", CORS_ORIGINS="*")
    asked = {"Origin": "https://example.com", "Access-Control-Request-Method": "POST"}

    for headers in (asked, {}, {}):
        response = client.open(path, method=method, headers=headers)
        assert response.status_code != 429
        assert "RateLimit" not in response.headers
    assert client.get("/leads").status_code == 200


def test_a_page_of_another_origin_can_read_that_it_must_wait(limited_to: LimitedTo) -> None:
    client = limited_to(RATE_LIMIT_API="1/hour", CORS_ORIGINS="https://example.com")

    for status in (200, 429):
        response = client.get("/leads", headers={"Origin": "https://example.com"})
        assert response.status_code == status
        assert response.headers["Access-Control-Allow-Origin"] == "https://example.com"
        assert response.headers["Cache-Control"] == "no-store"


def test_one_limit_without_the_other_limits_nothing_else(limited_to: LimitedTo) -> None:
    client = limited_to("1/hour")

    assert {client.get("/leads").status_code for _ in range(3)} == {200}


def test_two_limits_of_one_time_count_apart(limited_to: LimitedTo, new_lead: NewLead) -> None:
    client = limited_to("5/hour", RATE_LIMIT_API="3/hour")

    answers = [client.post("/leads", json=new_lead()), client.get("/leads"), client.post("/leads", json=new_lead())]

    assert [left(answer) for answer in answers] == [[4], [2], [3]]


def test_without_limits_nothing_is_said_of_them(client: FlaskClient) -> None:
    assert not [name for name, _ in client.get("/leads").headers if name.startswith("RateLimit")]


def test_a_refused_request_is_neither_read_nor_looked_up(limited_to: LimitedTo, new_lead: NewLead) -> None:
    client = limited_to("1/hour")
    client.post("/leads", json=new_lead())
    statements: list[str] = []
    with client.application.app_context():
        event.listen(db.engine, "before_cursor_execute", lambda *arguments: statements.append(arguments[2]))

    response = client.post("/leads", input_stream=Unread(), content_length=9, content_type="application/json")

    assert response.status_code == 429
    assert statements == []


def test_clients_are_told_apart_by_address(limited_to: LimitedTo) -> None:
    client = limited_to(RATE_LIMIT_API="1/hour")

    def status(address: str) -> int:
        return client.get("/leads", environ_base={"REMOTE_ADDR": address}).status_code

    assert [status("203.0.113.7"), status("203.0.113.8"), status("::ffff:203.0.113.7")] == [200, 200, 429]
    assert [status("2001:db8::1"), status("2001:db8::ffff:2"), status("2001:db8:0:1::1")] == [200, 429, 200]


def test_a_key_is_one_client_wherever_it_comes_from(limited_to: LimitedTo) -> None:
    client = limited_to(RATE_LIMIT_API="1/hour")

    def find_key() -> None:
        g.caller = Caller(client.environ_base["HTTP_X_KEY"], ALL)

    client.application.before_request_funcs[None].insert(1, find_key)

    def status(key: str, address: str) -> int:
        client.environ_base["HTTP_X_KEY"] = key
        return client.get("/leads", environ_base={"REMOTE_ADDR": address}).status_code

    assert [status("a", "203.0.113.7"), status("b", "203.0.113.7"), status("a", "203.0.113.8")] == [200, 200, 429]


# --- counters ------------------------------------------------------------------------------------


@pytest.fixture(params=["local", "redis"])
def counter(request: pytest.FixtureRequest) -> Any:
    """Each way to count in turn."""
    return LocalCounter() if request.param == "local" else RedisCounter(request.getfixturevalue("redis").url)


def test_exactly_so_many_of_those_who_come_at_once_pass(counter: Any) -> None:
    limits = parse_many("50/minute;1000/hour")

    def take(_number: int) -> int:
        return sum(counter.take("z", limits).passes for _ in range(20))

    assert sum(at_once(8, take)) == 50
    assert [remaining for remaining, _ in counter.take("z", limits).windows] == [0, 950]


def test_the_shorter_window_ends_and_the_longer_goes_on(counter: Any) -> None:
    limits = parse_many("1/second;2/hour")

    first, refused = counter.take("z", limits), counter.take("z", limits)
    # Only time ends a window.
    time.sleep(refused.windows[0][1] + A_MOMENT)
    second = counter.take("z", limits)
    time.sleep(second.windows[0][1] + A_MOMENT)
    third = counter.take("z", limits)

    assert [verdict.passes for verdict in (first, refused, second, third)] == [True, False, True, False]
    assert [remaining for remaining, _ in third.windows] == [1, 0]
    assert 3590 < third.windows[1][1] <= 3600


def test_a_request_that_is_taken_back_leaves_room_for_another(counter: Any) -> None:
    limits = parse_many("1/minute;2/hour")

    counter.take("z", limits)
    counter.take("z", limits, cost=-1)
    again, refused = counter.take("z", limits), counter.take("z", limits)

    assert (again.passes, refused.passes) == (True, False)
    assert [remaining for remaining, _ in refused.windows] == [0, 1]


def test_nothing_is_gained_by_taking_back_a_request_that_is_not_counted(counter: Any) -> None:
    limits = parse_many("1/hour")

    counter.take("z", limits, cost=-1)

    assert [counter.take("z", limits).passes for _ in range(2)] == [True, False]


def test_any_number_of_addresses_takes_a_bounded_amount_of_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counters, "MAX_WINDOWS", 100)
    counter, limits = LocalCounter(), parse_many("1/hour")

    passed = [counter.take(str(number), limits).passes for number in range(1000)]

    assert all(passed)
    assert len(counter._windows) <= 100
    assert not counter.take("999", limits).passes


def test_windows_that_ended_are_forgotten_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counters, "MAX_WINDOWS", 100)
    counter, hour, second = LocalCounter(), parse_many("1/hour"), parse_many("1/second")
    counter.take("first", hour)
    for number in range(99):
        counter.take(str(number), second)
    # Only time ends a window.
    time.sleep(1)

    counter.take("last", second)

    assert len(counter._windows) == 2
    assert not counter.take("first", hour).passes


def test_a_redis_that_refuses_to_write_is_as_good_as_gone(redis: RedisServer) -> None:
    counter = RedisCounter(redis.url.replace("secret", "wrong"))

    assert [counter.take("z", parse_many("1/hour")).passes for _ in range(2)] == [True, False]


def test_a_redis_that_ended_its_connections_is_asked_again(
    redis: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    counter = RedisCounter(redis.url)
    counter.take("z", parse_many("1/hour"))
    redis.kill()
    redis.start()

    assert [counter.take("z", parse_many("1/hour")).passes for _ in range(2)] == [True, False]
    assert caplog.messages == []
