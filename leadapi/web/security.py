"""How an operation says what it asks of its callers, to the guard and to the reader of the OpenAPI document."""

from typing import Any, NamedTuple


class Requirement(NamedTuple):
    """What a caller needs."""

    # None lets everybody in.
    scope: str | None
    # Whether it goes without a key while PUBLIC_CAPTURE=on.
    public: bool = False


OPEN = Requirement(None)
# Those of the documentation, which says nothing about leads and is the same for everybody.
OPEN_BLUEPRINTS = ("docs", "api-docs")

SCHEMES: dict[str, dict[str, str]] = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "The key as `Authorization: Bearer lk_…`."},
    "header": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "The key as it is."},
    "basic": {"type": "http", "scheme": "basic", "description": "The key as user name; the password is not looked at."},
}

REALM = 'Bearer realm="leadapi"'
CHALLENGE = {
    "description": "How to ask again (RFC 6750).",
    "required": True,
    "schema": {"type": "string", "pattern": '^Bearer realm="leadapi"'},
}
CHALLENGES = {
    401: {**CHALLENGE, "example": f'{REALM}, error="invalid_token"'},
    403: {**CHALLENGE, "example": f'{REALM}, error="insufficient_scope", scope="read"'},
}


def document(requirement: Requirement) -> list[dict[str, Any]]:
    """The `security` of an operation (OpenAPI 3.1): a key in any of three places, with this scope."""
    if requirement.scope is None:
        return []
    return [{name: [requirement.scope]} for name in SCHEMES] + ([{}] if requirement.public else [])
