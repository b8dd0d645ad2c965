"""How many requests one client may send: 429, and the RateLimit fields (draft-ietf-httpapi-ratelimit-headers-10)."""

from collections.abc import Callable, Sequence

from flask import Flask, Response, g, request
from limits import RateLimitItem
from werkzeug.exceptions import TooManyRequests

from leadapi.config import Settings
from leadapi.limits import openapi
from leadapi.limits.counters import Counter, LocalCounter, RedisCounter
from leadapi.web.openapi import Document
from leadapi.web.proxies import client_network

# What strangers may send without asking. All other operations of limited blueprints have one limit together.
CAPTURE = frozenset([("POST", "/leads"), ("POST", "/leads/batch")])


class Policy:
    """What one group of operations allows each client.

    :param name: what clients and counters call it.
    :param limits: all of them must let a request pass.
    """

    def __init__(self, name: str, limits: Sequence[RateLimitItem], counter: Counter) -> None:
        self._name = name
        self._limits = limits
        self._counter = counter
        several = len(limits) > 1
        self._names = [f'"{name}-{limit.get_expiry()}"' if several else f'"{name}"' for limit in limits]
        described = zip(self._names, limits, strict=True)
        self.field = ", ".join(f"{each};q={limit.amount};w={limit.get_expiry()}" for each, limit in described)

    def admit(self) -> None:
        """Count this request.

        :raises TooManyRequests: the client has to wait.
        """
        # A key is one client wherever it comes from, and others at its address are not.
        key = g.caller.key_id if "caller" in g else None
        whose = client_network() if key is None else f"key {key}"
        verdict = self._counter.take(f"{self._name} {whose}", self._limits)
        g.rate_limit = {
            "RateLimit-Policy": self.field,
            "RateLimit": ", ".join(
                f"{name};r={window.remaining};t={window.seconds}"
                for name, window in zip(self._names, verdict.windows, strict=True)
            ),
        }
        if not verdict.passes:
            wait = max(window.seconds for window in verdict.windows if not window.remaining)
            raise TooManyRequests(f"Too many requests; try again in {wait} s.", retry_after=wait)


def init_app(app: Flask, settings: Settings, document: Document) -> None:
    """Limit the operations. Without a limit in the settings, no request is counted."""
    openapi.describe(document)
    given = {"capture": settings.rate_limit_capture, "api": settings.rate_limit_api}
    if not any(given.values()):
        return
    counter = RedisCounter(settings.redis_url) if settings.redis_url else LocalCounter()
    policies = {name: Policy(name, limits, counter) for name, limits in given.items() if limits}
    app.before_request(_check(app, policies))
    app.after_request(_tell)


def _check(app: Flask, policies: dict[str, Policy]) -> Callable[[], None]:
    def check() -> None:
        rule = request.url_rule
        # Asking what an address answers is no operation. Nor is what no address answers.
        if rule is None or request.method == "OPTIONS":
            return
        if getattr(app.blueprints.get(request.blueprint or ""), "limited", False):
            policy = policies.get("capture" if (request.method, rule.rule) in CAPTURE else "api")
            if policy is not None:
                policy.admit()

    return check


def _tell(response: Response) -> Response:
    if "rate_limit" in g:
        response.headers.update(g.rate_limit)
    return response
