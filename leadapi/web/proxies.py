"""Where a request comes from, and whose word counts for it."""

import re
from functools import lru_cache
from ipaddress import IPv6Address, IPv6Network, ip_address

from flask import Flask, request
from werkzeug.middleware.proxy_fix import ProxyFix

from leadapi.config import Settings

# Some proxies name the port, too.
WITH_PORT = re.compile(r"\[([^]]+)\](?::\d+)?|([\d.]+):\d+")
# The part of an IPv6 address that one customer of a provider gets whole (RFC 6177).
CUSTOMER_BITS = 64
# No address is longer, and what is remembered is small.
LONGEST = 64


def init_app(app: Flask, settings: Settings) -> None:
    """Take the client's address from as many proxies as the operator trusts, and nothing else from them.

    The scheme, the host and the path that a proxy may tell are not used anywhere, so that one which
    passes on what a client wrote there does no harm.
    """
    if settings.trusted_proxies:
        app.wsgi_app = ProxyFix(  # type: ignore[method-assign]  # the documented way to add one
            app.wsgi_app, x_for=settings.trusted_proxies, x_proto=0, x_host=0
        )


def client_network() -> str:
    """Whom the request comes from: an IPv4 address, or the network of an IPv6 address."""
    network = _network((request.remote_addr or "")[:LONGEST])
    if network is not None:
        return network
    # What a client wrote can make a proxy's addition unreadable; whoever does that is one with the proxy.
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
