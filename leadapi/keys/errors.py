"""Errors of API keys, independent of HTTP."""


class KeyMissing(Exception):
    """The operation needs a key, and none was given."""

    def __str__(self) -> str:
        return "This needs an API key: send it as Authorization: Bearer, as X-API-Key, or as Basic user name."


class KeyRefused(Exception):
    """The credentials are not a valid key.

    :param reason: one word for the log. The caller does not see it.
    :param key_id: the public part of the key, if this service issued the key.
    """

    def __init__(self, reason: str, key_id: str | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.key_id = key_id

    def __str__(self) -> str:
        return "The API key is not valid, or no longer valid."


class ScopeMissing(Exception):
    """The key is valid, but lacks the scope that the operation needs."""

    def __init__(self, scope: str) -> None:
        super().__init__(scope)
        self.scope = scope

    def __str__(self) -> str:
        return f"The API key does not have the scope {self.scope}."


class KeyUnknown(Exception):
    """There is no key with this id."""

    def __str__(self) -> str:
        return "There is no key with this id."
