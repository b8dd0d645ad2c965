"""Which hosts may be sent to: those with public addresses only."""

import ipaddress
import re
import socket
import threading
from contextlib import suppress

import idna

from leadapi.destinations.errors import UrlRefused

# A name that takes longer to resolve is accepted.
RESOLVE_SECONDS = 2.0
PRIVATE = "The host has no public address. WEBHOOK_ALLOW_PRIVATE=on allows private ones."

# Of IPv6, only 2000::/3 is public unicast. This leaves out ::1, IPv4-mapped and IPv4-compatible addresses, NAT64,
# link-local, unique local and multicast addresses.
_GLOBAL_UNICAST = ipaddress.ip_network("2000::/3")
# From the special-purpose registries of IANA.
_SPECIAL = tuple(
    ipaddress.ip_network(network)
    for network in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "168.63.129.16/32",  # reaches the host agent of a virtual machine in Azure
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
        "2001::/23",  # includes Teredo
        "2001:db8::/32",
        "2002::/16",  # 6to4
        "3fff::/20",
    )
)
# A label with an underscore is not a host name, but works in the DNS.
_NAME = re.compile(r"(?!.{254})[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*\.?")

# Held by the thread that waits for the DNS. A process answers requests in few threads, and the others must go on.
_lookup = threading.Lock()


def is_public(address: str) -> bool:
    """Whether an address is public unicast. Text that is no address, such as the path of a Unix socket, is not."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    if parsed.version == 6 and parsed not in _GLOBAL_UNICAST:
        return False
    return not any(parsed in network for network in _SPECIAL)


def check_host(host: str, *, allow_private: bool) -> str:
    """The host in lower case and ASCII. It must be valid, and must not have an address now that is not public.

    A name that does not resolve is accepted, and so is one that comes while another is looked up. It may resolve later,
    and each connection is checked in any case.

    :param host: a name or an IPv4 address, or an IPv6 address in brackets.
    :raises UrlRefused: the host is not valid, or has such an address.
    """
    try:
        # The mapping for IDNA also turns full-width digits and dots into ASCII.
        name = (host if host.isascii() else idna.encode(host[:254], uts46=True).decode()).lower()
        if not _NAME.fullmatch(name):
            ipaddress.IPv6Address(name.removeprefix("[").removesuffix("]"))
    except ValueError as exc:
        raise UrlRefused("The host is not a valid name or address.") from exc
    is_local = re.fullmatch(r"(.*\.)?localhost\.?", name)
    if not allow_private and (is_local or not all(map(is_public, _addresses(name.strip("[]"))))):
        raise UrlRefused(PRIVATE)
    return name


def _addresses(host: str) -> list[str]:
    """The addresses of a host, as the C library understands it: `127.1` and `0x7f000001` are addresses, too.

    A name has none while another thread looks one up.
    """
    found: list[str] = []
    is_alone = _lookup.acquire(blocking=False)
    flags = 0 if is_alone else socket.AI_NUMERICHOST

    def resolve() -> None:
        with suppress(OSError, UnicodeError):
            infos = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=flags)
            found.extend(str(info[4][0]) for info in infos)

    try:
        # A lookup cannot be interrupted.
        lookup = threading.Thread(target=resolve, daemon=True)
        lookup.start()
        lookup.join(RESOLVE_SECONDS)
    finally:
        if is_alone:
            _lookup.release()
    return list(found)
