"""Rate limits of a whole server: several workers, a Redis that comes and goes, and proxies."""

import time
from collections.abc import Callable

import pytest

from conftest import NewLead, Serve
from redis_server import RedisServer
from servers import Server, at_once

# The seconds that requests may take while Redis is silent, with a margin for a busy machine.
AT_MOST = 3

Limited = Callable[..., Server]


@pytest.fixture
def limited(serve: Serve) -> Limited:
    """Start a service that takes five leads a minute from each client."""
    return lambda **more: serve(DATABASE_URL="sqlite:///./leads.db", RATE_LIMIT_CAPTURE="5/minute", **more)


def events(server: Server, name: str) -> int:
    """How often the log tells of something."""
    return sum(line["event"] == name for line in server.log())


def test_exactly_so_many_pass_all_workers_together(limited: Limited, redis: RedisServer, new_lead: NewLead) -> None:
    server = limited(WEB_CONCURRENCY="2", REDIS_URL=redis.url)
    leads = [new_lead() for _ in range(20)]

    answers = at_once(20, lambda number: server.post("/leads", json=leads[number]))
    later = server.with_each_worker(2, lambda: server.post("/leads", json=new_lead()))

    assert sorted(answer.status for answer in answers) == [201] * 5 + [429] * 15
    assert [answer.status for answer in later] == [429] * 2
    assert all(0 < int(answer.headers["Retry-After"]) <= 60 for answer in later)
    assert server.get("/leads").json()["total"] == 5


def test_while_redis_is_gone_each_worker_goes_on_and_says_so_once(
    limited: Limited, redis: RedisServer, new_lead: NewLead
) -> None:
    server = limited(WEB_CONCURRENCY="2", REDIS_URL=redis.url)

    def post() -> int:
        return server.post("/leads", json=new_lead()).status

    def post_much() -> list[int]:
        return [
            status for statuses in server.with_each_worker(2, lambda: [post() for _ in range(8)]) for status in statuses
        ]

    def post_until(event: str, times: int) -> None:
        ends = time.monotonic() + 20
        while events(server, event) < times and time.monotonic() < ends:
            post()
        assert events(server, event) == times

    shared = post_much()
    redis.kill()
    alone = post_much()
    told_gone = events(server, "limits.redis_unavailable")
    redis.start()
    times = iter((1, 2))
    server.with_each_worker(2, lambda: post_until("limits.redis_available", next(times)))
    post_much()
    told_back = events(server, "limits.redis_available")
    redis.kill()
    post_much()

    assert shared == [201] * 5 + [429] * 11
    assert alone == ([201] * 5 + [429] * 3) * 2
    assert (told_gone, told_back) == (2, 2)
    assert events(server, "limits.redis_unavailable") == 4
    assert redis.PASSWORD not in "".join(server.lines)


def test_a_silent_redis_costs_one_request_a_moment(limited: Limited, redis: RedisServer, new_lead: NewLead) -> None:
    server = limited(WEB_CONCURRENCY="1", REDIS_URL=redis.url)
    server.post("/leads", json=new_lead())
    redis.silence()

    started = time.monotonic()
    statuses = [server.post("/leads", json=new_lead()).status for _ in range(6)]
    took = time.monotonic() - started

    assert statuses == [201] * 5 + [429]
    assert took < AT_MOST


def test_it_starts_without_redis(limited: Limited, redis: RedisServer, new_lead: NewLead) -> None:
    redis.kill()
    server = limited(WEB_CONCURRENCY="1", REDIS_URL=redis.url)

    assert [server.post("/leads", json=new_lead()).status for _ in range(6)] == [201] * 5 + [429]
    assert events(server, "limits.redis_unavailable") == 1


def test_behind_a_trusted_proxy_each_client_has_its_own_limit(limited: Limited, new_lead: NewLead) -> None:
    server = limited(WEB_CONCURRENCY="1", TRUSTED_PROXIES="1")

    def post(forwarded: str) -> int:
        return server.post("/leads", json=new_lead(), headers={"X-Forwarded-For": forwarded}).status

    assert [post("203.0.113.7") for _ in range(6)] == [201] * 5 + [429]
    assert [post("203.0.113.8") for _ in range(6)] == [201] * 5 + [429]
    assert post("198.51.100.1, 203.0.113.8") == 429


def test_where_no_proxy_is_trusted_nobody_can_be_another(limited: Limited, new_lead: NewLead) -> None:
    server = limited(WEB_CONCURRENCY="1")
    names = ["X-Forwarded-For", "Forwarded", "X-Real-IP", "X-Client-IP", "True-Client-IP", "X-Forwarded-Host", "Via"]

    statuses = [
        server.post("/leads", json=new_lead(), headers=dict.fromkeys(names, f"203.0.113.{number}")).status
        for number in range(7)
    ]

    assert statuses == [201] * 5 + [429] * 2
