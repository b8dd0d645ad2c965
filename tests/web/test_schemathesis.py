"""The service does what its OpenAPI document says, as far as schemathesis finds out."""

import re
from typing import Any
from uuid import uuid4

import pytest
import schemathesis
from flask import Flask
from schemathesis.engine import events, from_schema

from conftest import Serve, make_key
from leadapi.idempotency.once import PATTERN
from leadapi.web.fields import TRAP_FIELD


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    """Requests that differ are different ones, and their keys should say so."""
    if re.fullmatch(PATTERN, str(case.headers.get("Idempotency-Key", ""))):
        case.headers["Idempotency-Key"] = str(uuid4())
    # Nothing is to be found where the answer to what is caught says that it is. Other tests are about that.
    if isinstance(case.body, dict) and isinstance(case.body.get(TRAP_FIELD), str):
        case.body[TRAP_FIELD] = ""


def explore(schema: Any) -> list[str]:
    """Every phase and every check of `schemathesis run`: what they find wrong."""
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
    # The last follows links from one operation to the next.
    operations = {result.ok().label for result in schema.get_all_operations()}
    assert tried == operations | {"Stateful tests"}
    return found


@pytest.fixture
def config(request: pytest.FixtureRequest) -> schemathesis.Config:
    """Every check, in a run that is the same each time. `--hypothesis-seed` makes it another one."""
    seed = int(request.config.getoption("hypothesis_seed") or 0)
    # What remains of a lead that was erased is that it was: its history outlives it.
    history = {"include-name": "GET /leads/{lead_id}/events", "checks": {"use_after_free": {"enabled": False}}}
    # What it remembers of earlier runs would make this one another than its seed says.
    return schemathesis.Config.from_dict(
        {"seed": seed, "generation": {"database": "none", "max-examples": 50}, "operations": [history]}
    )


def test_the_service_does_what_the_document_says(
    app: Flask, serve: Serve, database_url: str, config: schemathesis.Config
) -> None:
    # A real server, because the check of keys needs one, and Werkzeug's test client writes forms that no browser would.
    server = serve(DATABASE_URL=database_url, AUTH="on", MIN_FILL_SECONDS="1", FORM_SECRET="s" * 32)
    schema = schemathesis.openapi.from_url(f"{server.url}/openapi.json", config=config)
    schema.config.update(headers={"Authorization": f"Bearer {make_key(app, 'admin')}"})
    # Whether a lead is in the state that If-Match names is no matter of the document.
    acceptance = schema.config.checks.positive_data_acceptance
    acceptance.expected_statuses = [*acceptance.expected_statuses, "412"]

    assert explore(schema) == []
