"""The guard of outgoing connections: which addresses an attempt may connect to, and when its connections end.

An audit hook of Python sees every connection that a thread is about to make, with the address that it really goes to,
whichever library makes it. So a name that resolves differently at each lookup, or a library that resolves for itself,
cannot get around the guard.
"""

import ipaddress
import re
import socket
import ssl
import sys
import threading
import time
from contextlib import suppress
from functools import cache
from typing import Any, Self

import idna

from leadapi.destinations import kinds
from leadapi.destinations.errors import UrlRefused

# At registration, a name that takes longer to resolve is accepted.
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
# Audit events whose arguments are a socket and the address that it connects or sends to.
_CONNECTS = frozenset({"socket.connect", "socket.sendto", "socket.sendmsg"})

_thread = threading.local()


class TargetRefused(OSError):
    """The address is not public."""


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

    A name that does not resolve is accepted: it may do so later, and each connection is checked in any case.

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
    """The addresses of a host, as the C library understands it: `127.1` and `0x7f000001` are addresses, too."""
    found: list[str] = []

    def resolve() -> None:
        with suppress(OSError, UnicodeError):
            found.extend(str(info[4][0]) for info in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM))

    # A lookup cannot be interrupted.
    lookup = threading.Thread(target=resolve, daemon=True)
    lookup.start()
    lookup.join(RESOLVE_SECONDS)
    return list(found)


class Attempt:
    """An attempt to send something, as a context manager: inside, this thread's connections are guarded.

    :param allow_private: whether it may connect to addresses that are not public.
    """

    def __init__(self, *, allow_private: bool) -> None:
        self.deadline = time.monotonic() + kinds.DEADLINE_SECONDS
        self._allow_private = allow_private
        # Why the guard made the attempt fail: one of kinds.ERRORS.
        self.fault: str | None = None
        self._lock = threading.Lock()
        # Duplicates: a library may have handed the connection over to an object for TLS, or closed it.
        self._sockets: list[socket.socket] = []

    def __enter__(self) -> Self:
        _install()
        _watchdog.add(self)
        _thread.attempt = self
        return self

    def __exit__(self, *exc: object) -> None:
        _thread.attempt = None
        _watchdog.remove(self)
        with self._lock:
            for duplicate in self._sockets:
                duplicate.close()

    def admit(self, connection: socket.socket, address: Any) -> None:
        """Let a socket connect to an address, or refuse it.

        :raises TimeoutError: the time is over.
        :raises TargetRefused: the address is not public.
        """
        self.check_time()
        if not self._allow_private and not (isinstance(address, tuple) and is_public(address[0])):
            self.fault = kinds.REFUSED_TARGET
            raise TargetRefused(PRIVATE)
        with self._lock:
            self._sockets.append(connection.dup())

    def check_time(self) -> None:
        """Raise an error if the time is over. A connection that was ended looks like one that the peer closed.

        :raises TimeoutError: it is.
        """
        if time.monotonic() >= self.deadline:
            self.fault = kinds.TIMEOUT
            raise TimeoutError

    def end(self) -> None:
        """End the connections, so that the thread no longer waits for them."""
        with self._lock:
            self.fault = kinds.TIMEOUT
            for duplicate in self._sockets:
                with suppress(OSError):
                    duplicate.shutdown(socket.SHUT_RDWR)

    def error(self, exc: Exception) -> str:
        """One of kinds.ERRORS for the exception that ended the attempt."""
        if self.fault:
            return self.fault
        if isinstance(exc, socket.gaierror):
            return kinds.DNS
        # A connection that ends inside of TLS is a lost connection.
        if isinstance(exc, ssl.SSLError) and not isinstance(exc, ssl.SSLEOFError):
            return kinds.TLS
        return kinds.TIMEOUT if isinstance(exc, TimeoutError) else kinds.CONNECTION


class _Watchdog:
    """One thread that ends the connections of all attempts whose time is over. It runs only while there are some."""

    def __init__(self) -> None:
        self._attempts: set[Attempt] = set()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._wakes_at = 0.0

    def add(self, attempt: Attempt) -> None:
        with self._changed:
            self._attempts.add(attempt)
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="egress-watchdog", daemon=True)
                self._thread.start()
            elif attempt.deadline < self._wakes_at:
                self._changed.notify()

    def remove(self, attempt: Attempt) -> None:
        with self._changed:
            self._attempts.discard(attempt)

    def _run(self) -> None:
        with self._changed:
            while self._attempts:
                now = time.monotonic()
                for attempt in [attempt for attempt in self._attempts if attempt.deadline <= now]:
                    self._attempts.discard(attempt)
                    attempt.end()
                self._wakes_at = min((attempt.deadline for attempt in self._attempts), default=now)
                self._changed.wait(max(0.0, self._wakes_at - now))
            self._thread = None


_watchdog = _Watchdog()


@cache
def _install() -> None:
    """Install the audit hook. It stays for as long as the process runs, so nothing installs it before it is needed."""
    sys.addaudithook(_audit)


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if event in _CONNECTS:
        attempt: Attempt | None = getattr(_thread, "attempt", None)
        # A connected socket sends without an address.
        if attempt is not None and arguments[1] is not None:
            attempt.admit(*arguments)
