"""The address of the client, behind trusted proxies."""

import re
from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv6Address, IPv6Network, ip_address
from typing import Any
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from flask import Flask, request
from werkzeug.middleware.proxy_fix import ProxyFix

from leadapi.config import Settings

# Some proxies add the port.
WITH_PORT = re.compile(r"\[([^]]+)\](?::\d+)?|([\d.]+):\d+")
# The prefix that a provider assigns to one customer (RFC 6177).
CUSTOMER_BITS = 64
# Longer than any address; it bounds the cache.
LONGEST = 64
# Werkzeug splits X-Forwarded-For character by character. Only its end is from trusted proxies.
MAX_HEADER_LENGTH = 4096


def init_app(app: Flask, settings: Settings) -> None:
    """Take the client's address from X-Forwarded-For, as many proxies back as the operator trusts.

    The scheme, host and path of a proxy are not used, so a proxy that passes on a client's headers does no harm.
    """
    if settings.trusted_proxies:
        fix = ProxyFix(app.wsgi_app, x_for=settings.trusted_proxies, x_proto=0, x_host=0)
        app.wsgi_app = _cut(fix)  # type: ignore[method-assign]  # the documented way to add middleware


def _cut(wsgi_app: WSGIApplication) -> Any:
    """Middleware that keeps the end of X-Forwarded-For."""

    def call(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if "HTTP_X_FORWARDED_FOR" in environ:
            environ["HTTP_X_FORWARDED_FOR"] = environ["HTTP_X_FORWARDED_FOR"][-MAX_HEADER_LENGTH:]
        return wsgi_app(environ, start_response)

    return call


def client_network() -> str:
    """The IPv4 address of the client, or the network of its IPv6 address."""
    network = _network((request.remote_addr or "")[:LONGEST])
    if network is not None:
        return network
    # A client can garble X-Forwarded-For. It then shares the proxy's address.
    peer = request.environ.get("werkzeug.proxy_fix.orig", {}).get("REMOTE_ADDR")
    # A server on a Unix socket has no addresses.
    return _network(peer or "") or "unknown"


@lru_cache(maxsize=4096)
def _network(text: str) -> str | None:
    if found := WITH_PORT.fullmatch(text):
        text = found[1] or found[2]
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if not isinstance(address, IPv6Address):
        return str(address)
    if address.ipv4_mapped:
        return str(address.ipv4_mapped)
    return str(IPv6Network((address.packed, CUSTOMER_BITS), strict=False))
