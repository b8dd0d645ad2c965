"""The service does what its OpenAPI document says, as far as schemathesis finds out."""

import re
from typing import Any
from uuid import uuid4

import pytest
import schemathesis
from flask import Flask
from schemathesis.engine import events, from_schema

from conftest import Serve, make_key
from leadapi.idempotency.openapi import PATTERN

# Of each operation, and of the sequences of operations. PostgreSQL is the stricter one. On SQLite, the coverage phase
# adds about 700 requests by itself.
EXAMPLES = {"postgresql": 10, "sqlite": 5}


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    """Give different requests different keys, and leave out what is accepted beyond the document."""
    if re.fullmatch(PATTERN, str(case.headers.get("Idempotency-Key", ""))):
        case.headers["Idempotency-Key"] = str(uuid4())
    # A name that has the form of a time zone need not be one.
    if "tz" in (case.query or {}) and re.fullmatch(r"[\w+-]+(/[\w+-]+){0,2}", str(case.query["tz"]), re.ASCII):
        case.query["tz"] = "Europe/Berlin"
    # A cursor fits one order only.
    if case.method == "GET" and case.path == "/leads" and isinstance((case.query or {}).get("after"), str):
        case.query["sort"] = "id" if len(case.query["after"]) == 11 else "updated_at"
    # For PHP, an empty list is as good as an empty object.
    if isinstance(case.body, dict) and case.body.get("attributes") == []:
        case.body["attributes"] = [1]


def explore(schema: Any) -> list[str]:
    """Run the phases that the configuration enables with every check, and return the failures."""
    # The engine of the command, because its plugin for pytest does not work with pytest 9.2.
    tried: set[str] = set()
    found: list[str] = []
    for event in from_schema(schema).execute():
        if isinstance(event, events.ScenarioFinished):
            tried.update(event.recorder.label for _ in event.recorder.cases)
            checks = [check for checks in event.recorder.checks.values() for check in checks]
            failures = [check.failure_info for check in checks if check.failure_info]
            found += [f"{failure.failure}\n{failure.code_sample}" for failure in failures]
        elif isinstance(event, events.NonFatalError | events.FatalError):
            found.append(repr(event))
    # The stateful phase follows links from one operation to the next.
    operations = {result.ok().label for result in schema.get_all_operations()}
    assert tried == operations | {"Stateful tests"}
    return found


@pytest.fixture
def config(request: pytest.FixtureRequest, backend: str) -> schemathesis.Config:
    """Every check, in a run that is the same each time. `--hypothesis-seed` changes it."""
    seed = int(request.config.getoption("hypothesis_seed") or 0)
    # The history of a lead outlives it: it keeps that the lead was erased.
    history = {"include-name": "GET /leads/{lead_id}/events", "checks": {"use_after_free": {"enabled": False}}}
    # An invalid item of a batch is refused in the response, whose own status is 200.
    batch = {
        "include-name": "POST /leads/batch",
        "checks": {"negative_data_rejection": {"expected-statuses": ["4xx", "200"]}},
    }
    # The document does not say which URLs each kind takes, nor of which kind a stored destination is.
    accepting = {"positive_data_acceptance": {"expected-statuses": ["2xx", "401", "403", "404", "422"]}}
    destinations = [
        {"include-name": name, "checks": accepting}
        for name in ("POST /destinations", "PATCH /destinations/{destination_id}")
    ]
    return schemathesis.Config.from_dict(
        {
            "seed": seed,
            # Without a database of examples, earlier runs have no influence. With keys of its own beside the valid one,
            # nearly every request would be refused before its data are looked at.
            "generation": {"database": "none", "max-examples": EXAMPLES[backend], "with-security-parameters": False},
            # It tests the validation of requests, in which the database has no part.
            "phases": {"coverage": {"enabled": backend == "sqlite"}},
            "operations": [history, batch, *destinations],
        }
    )


@pytest.mark.usefixtures("untraced")
def test_the_service_does_what_the_document_says(
    app: Flask, serve: Serve, database_url: str, config: schemathesis.Config
) -> None:
    # A real server, because the check of keys needs one. It looks up no host and sends nothing to one.
    quiet = {"DELIVERY": "external", "WEBHOOK_ALLOW_PRIVATE": "on", "SMTP_URL": "smtp://127.0.0.1:25"}
    settings = {"AUTH": "on", "MIN_FILL_SECONDS": "1", "FORM_SECRET": "s" * 32, "MAIL_FROM": "leads@example.com"}
    server = serve(DATABASE_URL=database_url, **quiet, **settings)
    schema = schemathesis.openapi.from_url(f"{server.url}/openapi.json", config=config)
    schema.config.update(headers={"Authorization": f"Bearer {make_key(app, 'admin')}"})
    # The document does not say in which state a lead is, and which If-Match fits.
    acceptance = schema.config.checks.positive_data_acceptance
    acceptance.expected_statuses = [*acceptance.expected_statuses, "412"]

    assert explore(schema) == []
