"""The header Idempotency-Key in the OpenAPI document."""

from leadapi.web.openapi import RETRY_AFTER, Document, Operation

# A string of a structured field (RFC 8941), or its content alone; without a comma, which joins several headers.
PATTERN = r'^("([ !#-\[\]-~]|\\["\\]){1,255}"|[!#-+\--~][!-+\--~]{0,254})$'
KEY = {
    "in": "header",
    "name": "Idempotency-Key",
    "description": "Makes it safe to send a request again: for `IDEMPOTENCY_HOURS`, the same request with the same key"
    " gets the first response and has no further effect. Best a UUID, quoted or not.",
    # No example: /docs would send it with every lead.
    "schema": {"type": "string", "pattern": PATTERN},
}
REPLAYED = {
    "description": "`true` where this is the response to an earlier request with the same `Idempotency-Key`.",
    "schema": {"const": "true"},
    "example": "true",
}


def describe(document: Document) -> None:
    """Describe the header for each operation with the decorator `idempotent`."""
    headers = {"Idempotent-Replayed": REPLAYED}
    document.describe_problem(409, headers={"Retry-After": {**RETRY_AFTER, "required": False}, **headers})

    def describe_key(operation: Operation) -> None:
        if operation.marks.get("idempotent"):
            operation.add_parameters([KEY])
            operation.add_problems(400, 409, 422)
            operation.add_headers(headers)

    document.describe_operations(describe_key)
