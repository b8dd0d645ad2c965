"""Rate limits in the OpenAPI document: the RateLimit fields and the error 429."""

from werkzeug.exceptions import TooManyRequests

from leadapi.web.openapi import RETRY_AFTER, Document, Operation

# A list of names in quotes, each with its numbers.
LIMIT_PATTERN = r'^"[a-z0-9-]+";{0}=\d+;{1}=\d+(, "[a-z0-9-]+";{0}=\d+;{1}=\d+)*$'
RATE_LIMIT = {
    "description": "How many requests are left (`r`), for how many seconds (`t`); where there is a limit.",
    "schema": {"type": "string", "pattern": LIMIT_PATTERN.format("r", "t")},
    "example": '"capture";r=4;t=37',
}
RATE_LIMIT_POLICY = {
    "description": "How many requests are allowed (`q`), in how many seconds (`w`); where there is a limit.",
    "schema": {"type": "string", "pattern": LIMIT_PATTERN.format("q", "w")},
    "example": '"capture";q=5;w=60',
}


def describe(document: Document) -> None:
    """Describe the limits. Whether one is set depends on the settings, and the document does not."""
    headers = document.add_header("RateLimit", RATE_LIMIT) | document.add_header("RateLimit-Policy", RATE_LIMIT_POLICY)
    example = TooManyRequests("Too many requests; try again in 37 s.")
    document.describe_problem(429, example, headers={"Retry-After": RETRY_AFTER})

    def describe_limit(operation: Operation) -> None:
        if operation.limited:
            operation.add_problems(429)
            operation.add_headers(headers)

    document.describe_operations(describe_limit)
