"""The caller of the current request."""

from flask import g

from leadapi.keys.service import ALL


def actor() -> str | None:
    """The id of the caller's key, for the history; None without a key."""
    key_id: str | None = g.get("key_id")
    return key_id


def may(scope: str) -> bool:
    """Whether the caller has the scope. With AUTH=off, every caller has all of them."""
    return scope in g.get("scopes", ALL)
