"""The address that a request comes from, with trusted proxies in between."""

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
# The part of an IPv6 address that one customer of a provider gets whole (RFC 6177).
CUSTOMER_BITS = 64
# Longer than any address; bounds the memory of `_network`.
LONGEST = 64
# Werkzeug splits X-Forwarded-For character by character. Only its end is from trusted proxies.
LONGEST_HEADER = 4096


def init_app(app: Flask, settings: Settings) -> None:
    """Take the client's address from as many proxies as the operator trusts.

    Their scheme, host and path headers are ignored, because a proxy may pass on those of a client.
    """
    if settings.trusted_proxies:
        fix = ProxyFix(app.wsgi_app, x_for=settings.trusted_proxies, x_proto=0, x_host=0)
        app.wsgi_app = _cut(fix)  # type: ignore[method-assign]  # the documented way to add middleware


def _cut(wsgi_app: WSGIApplication) -> Any:
    """Middleware that keeps the end of X-Forwarded-For."""

    def call(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if "HTTP_X_FORWARDED_FOR" in environ:
            environ["HTTP_X_FORWARDED_FOR"] = environ["HTTP_X_FORWARDED_FOR"][-LONGEST_HEADER:]
        return wsgi_app(environ, start_response)

    return call


def client_network() -> str:
    """The client: an IPv4 address, or the network of an IPv6 address."""
    network = _network((request.remote_addr or "")[:LONGEST])
    if network is not None:
        return network
    # A client's part of the header can make the proxy's part unreadable. Such clients share the proxy's address.
    peer = request.environ.get("werkzeug.proxy_fix.orig", {}).get("REMOTE_ADDR")
    # A server on a Unix socket has no addresses at all.
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
