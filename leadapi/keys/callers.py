"""Who asks, and what they may know."""

from flask import g

from leadapi.keys.service import ALL


def actor() -> str | None:
    """The id of the key that a request came with, for the history; None without a key."""
    key_id: str | None = g.get("key_id")
    return key_id


def may(scope: str) -> bool:
    """Whether who asks may do what the scope allows; with AUTH=off everybody may."""
    return scope in g.get("scopes", ALL)
