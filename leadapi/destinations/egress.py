"""The guard of outgoing connections: which addresses an attempt may connect to, and when its connections end.

An audit hook of Python sees every connection that a thread is about to make, with the address that it really goes to,
whichever library makes it. So a name that resolves differently at each lookup, or a library that resolves for itself,
cannot get around the guard.
"""

import socket
import ssl
import sys
import threading
import time
from contextlib import suppress
from functools import cache
from typing import Any, Self

from leadapi.destinations import kinds
from leadapi.destinations.hosts import PRIVATE, is_public

# How often the connections of an attempt whose time is over are ended again.
REPEAT_SECONDS = 0.5

# Audit events whose arguments are a socket and the address that it connects or sends to.
_CONNECTS = frozenset({"socket.connect", "socket.sendto", "socket.sendmsg"})

_thread = threading.local()


class TargetRefused(OSError):
    """The address is not public."""


class Guard:
    """Guards the connections of this thread during one attempt to send something, as a context manager.

    :param allow_private: whether they may go to addresses that are not public.
    """

    def __init__(self, *, allow_private: bool) -> None:
        self.deadline = time.monotonic() + kinds.DEADLINE_SECONDS
        self._allow_private = allow_private
        # Why the attempt had to fail: one of kinds.ERRORS.
        self.fault: str | None = None
        self._lock = threading.Lock()
        # Duplicates: a library may have handed the connection over to an object for TLS, or closed it.
        self._sockets: list[socket.socket] = []

    def __enter__(self) -> Self:
        _install()
        _watchdog.add(self)
        _thread.guard = self
        return self

    def __exit__(self, *exc: object) -> None:
        _thread.guard = None
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
        # Libraries wrap a timeout of a socket in errors of their own.
        if isinstance(exc, TimeoutError) or time.monotonic() >= self.deadline:
            return kinds.TIMEOUT
        if isinstance(exc, socket.gaierror):
            return kinds.DNS
        # A connection that ends inside of TLS is a lost connection.
        if isinstance(exc, ssl.SSLError) and not isinstance(exc, ssl.SSLEOFError):
            return kinds.TLS
        return kinds.CONNECTION


@cache
def tls(*, verify: bool = True) -> ssl.SSLContext:
    """The settings for TLS, made once because they include all certificates of the system.

    :param verify: whether the certificate of the peer must be valid.
    """
    context = ssl.create_default_context()
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


class _Watchdog:
    """One thread that ends the connections of all guards whose time is over. It runs only while there are some."""

    def __init__(self) -> None:
        self._guards: set[Guard] = set()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._wakes_at = 0.0

    def add(self, guard: Guard) -> None:
        with self._changed:
            self._guards.add(guard)
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="egress-watchdog", daemon=True)
                self._thread.start()
            elif guard.deadline < self._wakes_at:
                self._changed.notify()

    def remove(self, guard: Guard) -> None:
        with self._changed:
            self._guards.discard(guard)

    def _run(self) -> None:
        with self._changed:
            while self._guards:
                now = time.monotonic()
                for guard in self._guards:
                    if guard.deadline <= now:
                        guard.end()
                # A socket cannot be shut down until it begins to connect, so one round may not be enough.
                times = [guard.deadline if guard.deadline > now else now + REPEAT_SECONDS for guard in self._guards]
                self._wakes_at = min(times)
                self._changed.wait(self._wakes_at - now)
            self._thread = None


_watchdog = _Watchdog()


@cache
def _install() -> None:
    """Install the audit hook. It stays for as long as the process runs, so nothing installs it before it is needed."""
    sys.addaudithook(_audit)


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if event in _CONNECTS:
        guard: Guard | None = getattr(_thread, "guard", None)
        # A connected socket sends without an address.
        if guard is not None and arguments[1] is not None:
            guard.admit(*arguments)
