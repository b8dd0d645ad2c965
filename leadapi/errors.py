"""The one table: which HTTP status each business error gets."""

from collections.abc import Mapping
from http import HTTPStatus

from flask import Flask

from leadapi.destinations.errors import (
    DeliveryMissing,
    DestinationDisabled,
    DestinationFixed,
    DestinationMissing,
    HeadersRefused,
    NotReplayable,
    SecretMissing,
    UrlRefused,
)
from leadapi.idempotency.errors import KeyMalformed, KeyReused, RequestRunning
from leadapi.keys.errors import KeyMissing, KeyRefused, ScopeMissing
from leadapi.keys.openapi import REALM
from leadapi.leads.errors import EmailTaken, LeadChanged, LeadMissing, LeadsUnsettled, TooManyAttributes
from leadapi.quarantine.errors import StampsOff
from leadapi.storage import StreamsBusy
from leadapi.storage.schema import SchemaNotCurrent
from leadapi.web import problems
from leadapi.web.headers import public_url
from leadapi.web.openapi import Document

# Instances, which are also the examples in the OpenAPI document.
STATUS: dict[Exception, HTTPStatus] = {
    KeyMalformed(): HTTPStatus.BAD_REQUEST,
    KeyMissing(): HTTPStatus.UNAUTHORIZED,
    KeyRefused("unknown"): HTTPStatus.UNAUTHORIZED,
    ScopeMissing("read"): HTTPStatus.FORBIDDEN,
    LeadMissing(): HTTPStatus.NOT_FOUND,
    StampsOff(): HTTPStatus.NOT_FOUND,
    DestinationMissing(): HTTPStatus.NOT_FOUND,
    DeliveryMissing(): HTTPStatus.NOT_FOUND,
    EmailTaken(): HTTPStatus.CONFLICT,
    RequestRunning(): HTTPStatus.CONFLICT,
    DestinationDisabled(): HTTPStatus.CONFLICT,
    DestinationFixed("NOTIFY_EMAIL"): HTTPStatus.CONFLICT,
    SecretMissing(): HTTPStatus.CONFLICT,
    NotReplayable(): HTTPStatus.CONFLICT,
    LeadChanged(): HTTPStatus.PRECONDITION_FAILED,
    KeyReused(): HTTPStatus.UNPROCESSABLE_ENTITY,
    TooManyAttributes(): HTTPStatus.UNPROCESSABLE_ENTITY,
    UrlRefused("Must begin with https://."): HTTPStatus.UNPROCESSABLE_ENTITY,
    HeadersRefused("Only a webhook has headers."): HTTPStatus.UNPROCESSABLE_ENTITY,
    LeadsUnsettled(): HTTPStatus.SERVICE_UNAVAILABLE,
    StreamsBusy(): HTTPStatus.SERVICE_UNAVAILABLE,
    SchemaNotCurrent(): HTTPStatus.SERVICE_UNAVAILABLE,
}


def _location(error: EmailTaken) -> Mapping[str, str]:
    # The service tells the id only to callers who may read leads.
    return {"Location": public_url(f"/leads/{error.lead_id}")} if error.lead_id else {}


HEADERS: dict[type[Exception], problems.Headers] = {
    EmailTaken: _location,
    RequestRunning: lambda _: {"Retry-After": "1"},
    # RFC 6750, 3.1: a challenge to a request without credentials has no error code.
    KeyMissing: lambda _: {"WWW-Authenticate": REALM},
    KeyRefused: lambda _: {"WWW-Authenticate": f'{REALM}, error="invalid_token"'},
    ScopeMissing: lambda error: {"WWW-Authenticate": f'{REALM}, error="insufficient_scope", scope="{error.scope}"'},
}


def init_app(app: Flask, document: Document) -> None:
    """Register the table with the app, and its examples with the OpenAPI document."""
    for error, status in STATUS.items():
        problems.register(app, type(error), status, HEADERS.get(type(error)))
        document.describe_problem(status, error)
