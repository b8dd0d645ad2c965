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


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    """Requests that differ are different ones, and their keys should say so."""
    if re.fullmatch(PATTERN, str(case.headers.get("Idempotency-Key", ""))):
        case.headers["Idempotency-Key"] = str(uuid4())


def explore(schema: Any) -> list[str]:
    """Every phase and every check of `schemathesis run`: what they find wrong."""
    # What it remembers of earlier runs would make this one another than its seed says.
    schema.config.generation.update(database="none")
    # Whether a lead is in the state that If-Match names is no matter of the document.
    acceptance = schema.config.checks.positive_data_acceptance
    acceptance.expected_statuses = [*acceptance.expected_statuses, "412"]

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
    """What makes each run the same. `--hypothesis-seed` makes it another one."""
    return schemathesis.Config(seed=int(request.config.getoption("hypothesis_seed") or 0))


def test_the_service_does_what_the_document_says(app: Flask, config: schemathesis.Config) -> None:
    schema = schemathesis.openapi.from_wsgi("/openapi.json", app, config=config)
    schema.config.generation.update(max_examples=200)
    # The document says what is asked for with AUTH=on.
    schema.config.checks.update(excluded_check_names=["ignored_auth"])

    assert explore(schema) == []


def test_the_service_asks_for_keys_as_the_document_says(
    app: Flask, serve: Serve, database_url: str, config: schemathesis.Config
) -> None:
    # The check of keys does not work without a real server.
    server = serve(DATABASE_URL=database_url, AUTH="on")
    schema = schemathesis.openapi.from_url(f"{server.url}/openapi.json", config=config)
    schema.config.generation.update(max_examples=20)
    schema.config.update(headers={"Authorization": f"Bearer {make_key(app, 'admin')}"})

    assert explore(schema) == []
