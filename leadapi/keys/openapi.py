"""API keys in the OpenAPI document: security schemes, what each operation requires, and the errors 401 and 403."""

from leadapi.config import Settings
from leadapi.web.openapi import Document, Operation
from leadapi.web.security import requirement_of

SCHEMES: dict[str, dict[str, str]] = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "The key as `Authorization: Bearer lk_…`."},
    "header": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "The key on its own."},
    "basic": {"type": "http", "scheme": "basic", "description": "The key as user name; the password is ignored."},
}

REALM = 'Bearer realm="leadapi"'
CHALLENGE = {
    "description": "What the credentials lack (RFC 6750).",
    "required": True,
    "schema": {"type": "string", "pattern": '^Bearer realm="leadapi"'},
}


def describe(document: Document, settings: Settings) -> None:
    """Describe who may call each operation with these settings. With AUTH=off no operation asks for a key."""
    for status, error in ((401, 'error="invalid_token"'), (403, 'error="insufficient_scope", scope="read"')):
        challenge = {**CHALLENGE, "required": status == 401, "example": f"{REALM}, {error}"}
        document.describe_problem(status, headers={"WWW-Authenticate": challenge})
    if settings.auth:
        for name, scheme in SCHEMES.items():
            document.spec.components.security_scheme(name, scheme)

    def describe_requirement(operation: Operation) -> None:
        requirement = requirement_of(operation.marks)
        if requirement.scope is None or not settings.auth:
            operation.doc["security"] = []
        else:
            operation.doc["security"] = [{name: [requirement.scope]} for name in SCHEMES]
            if requirement.public and settings.public_capture:
                # An empty requirement makes the others optional.
                operation.doc["security"].append({})
        if requirement.scope is not None:
            # Also with AUTH=off, so that a client generated from a local service knows them.
            operation.add_problems(401, 403)
            description = operation.doc.get("description", "")
            operation.doc["description"] = f"{description} Needs the scope `{requirement.scope}`.".strip()

    document.describe_operations(describe_requirement)
