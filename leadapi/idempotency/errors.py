"""Errors of requests with an idempotency key, independent of HTTP."""


class KeyMalformed(Exception):
    """The header is not a valid key."""

    def __str__(self) -> str:
        return "Idempotency-Key must be 1 to 255 visible ASCII characters, such as a UUID; given once, quoted or not."


class KeyReused(Exception):
    """The key was used with another request."""

    errors = {"Idempotency-Key": ["Was used with another request."]}

    def __str__(self) -> str:
        return "This Idempotency-Key was used with another request."


class RequestRunning(Exception):
    """The first request with this key is still running."""

    type = "urn:leadapi:problem:request-running"

    def __str__(self) -> str:
        return "The first request with this Idempotency-Key is still running; try again in a moment."
