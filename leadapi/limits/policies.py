"""How many requests a client may send: 429, and the RateLimit fields (draft-ietf-httpapi-ratelimit-headers-10)."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from flask import Flask, Response, after_this_request, current_app, g, request
from limits import RateLimitItem, RateLimitItemPerMinute
from werkzeug.exceptions import TooManyRequests

from leadapi.config import Settings
from leadapi.limits import openapi
from leadapi.limits.counters import LocalCounter, RedisCounter
from leadapi.web.openapi import Document
from leadapi.web.proxies import client_network

# The operations that RATE_LIMIT_CAPTURE is for. All others of limited blueprints share RATE_LIMIT_API.
CAPTURE = frozenset([("POST", "/leads"), ("POST", "/leads/batch")])
# Failed logins to the inbox have a limit of their own, with any settings.
LOGIN = (RateLimitItemPerMinute(10),)


class Policy:
    """The limits of one group of operations.

    :param name: how headers and counters call it.
    :param limits: a request passes when all of them let it.
    """

    def __init__(self, name: str, limits: Sequence[RateLimitItem], counter: LocalCounter | RedisCounter) -> None:
        self._name = name
        self._limits = limits
        self._counter = counter
        names = [f"{name}-{limit.get_expiry()}" for limit in limits] if len(limits) > 1 else [name]
        self._labels = [f'"{each}"' for each in names]
        quotas = zip(self._labels, limits, strict=True)
        self._field = ", ".join(f"{label};q={limit.amount};w={limit.get_expiry()}" for label, limit in quotas)

    def admit(self, client: str) -> None:
        """Count a request of this client.

        :raises TooManyRequests: the client has to wait.
        """
        verdict = self._counter.take(f"{self._name} {client}", self._limits)
        states = zip(self._labels, verdict.windows, strict=True)
        g.rate_limit = {
            "RateLimit-Policy": self._field,
            "RateLimit": ", ".join(f"{label};r={remaining};t={seconds}" for label, (remaining, seconds) in states),
        }
        after_this_request(_add_headers)
        if not verdict.passes:
            wait = max(seconds for remaining, seconds in verdict.windows if not remaining)
            raise TooManyRequests(f"Too many requests; try again in {wait} s.", retry_after=wait)

    def take_back(self, client: str) -> None:
        """Undo `admit`."""
        self._counter.take(f"{self._name} {client}", self._limits, cost=-1)
        del g.rate_limit


def init_app(app: Flask, settings: Settings, document: Document) -> None:
    """Limit the operations. Without a limit in the settings, only failed logins are counted."""
    openapi.describe(document)
    given = {"capture": settings.rate_limit_capture, "api": settings.rate_limit_api, "login": LOGIN}
    counter = RedisCounter(settings.redis_url) if settings.redis_url else LocalCounter()
    app.extensions["rate_limits"] = {name: Policy(name, limits, counter) for name, limits in given.items() if limits}
    if settings.rate_limit_capture or settings.rate_limit_api:
        app.before_request(_admit)


@contextmanager
def charging_failure(name: str) -> Iterator[None]:
    """Count the body of the `with` statement for the client's address, unless it succeeds.

    :param name: the policy that counts it: `api` or `login`.
    :raises TooManyRequests: the address has to wait. The body does not run.
    """
    policy: Policy | None = current_app.extensions["rate_limits"].get(name)
    address = client_network()
    if policy is not None:
        policy.admit(address)
    yield
    if policy is not None:
        policy.take_back(address)


def _admit() -> None:
    rule, key_id = request.url_rule, getattr(g.get("caller"), "key_id", None)
    # A request that reaches no operation (404, 405, OPTIONS) is not counted.
    if rule is None or request.method == "OPTIONS":
        return
    if getattr(current_app.blueprints.get(request.blueprint or ""), "limited", False):
        name = "capture" if (request.method, rule.rule) in CAPTURE else "api"
        policy: Policy | None = current_app.extensions["rate_limits"].get(name)
        if policy is not None:
            # A key has limits of its own, at whatever addresses it is used.
            policy.admit(client_network() if key_id is None else f"key {key_id}")


def _add_headers(response: Response) -> Response:
    response.headers.update(g.get("rate_limit", {}))
    return response
