"""What can go wrong with a request that may be sent again, in business words."""


class KeyMalformed(Exception):
    """The key is not what a key must be."""

    def __str__(self) -> str:
        return "Idempotency-Key must be 1 to 255 visible ASCII characters, such as a UUID; given once, quoted or not."


class KeyReused(Exception):
    """The key came with another request before."""

    errors = {"Idempotency-Key": ["Was used with another request."]}

    def __str__(self) -> str:
        return "This Idempotency-Key was used with another request."


class RequestRunning(Exception):
    """The first request with this key is not answered yet."""

    type = "urn:leadapi:problem:request-running"

    def __str__(self) -> str:
        return "The first request with this Idempotency-Key is still running; try again in a moment."
