"""Destinations as admins see them, without their secrets."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import Row


@dataclass(frozen=True, kw_only=True)
class LastDelivery:
    """The outcome of the last attempt to send something to a destination."""

    state: str
    at: datetime
    status: int | None
    error: str | None


@dataclass(frozen=True, kw_only=True)
class ShownDestination:
    """A destination, with its fields in the order in which clients see them.

    :param headers: the names of its own headers.
    """

    id: int
    kind: str
    url: str
    events: Sequence[str]
    sources: Sequence[str] | None
    description: str | None
    headers: Sequence[str]
    enabled: bool
    disabled_reason: str | None
    created_at: datetime
    last_delivery: LastDelivery | None


@dataclass(frozen=True, kw_only=True)
class DestinationWithSecret(ShownDestination):
    """A webhook with its signing secret, which is shown only when it is new."""

    secret: str = field(repr=False)


@dataclass(frozen=True)
class DestinationPage:
    """Some of the destinations, in order, and how many there are in all."""

    total: int
    items: list[ShownDestination]
    # The id after which the next page begins; None on the last page.
    next_after: int | None


def shown(row: Row[Any], url: str, last: Row[Any] | None, secret: str | None = None) -> ShownDestination:
    """The destination in a row.

    :param url: the URL without its secrets.
    :param last: `state`, `at`, `status` and `error` of the last delivery.
    :param secret: the secret, if it is new.
    """
    fields: dict[str, Any] = {
        "id": row.id,
        "kind": row.kind,
        "url": url,
        "events": orjson.loads(row.events),
        "sources": None if row.sources is None else orjson.loads(row.sources),
        "description": row.description,
        "headers": list(orjson.loads(row.headers)),
        "enabled": row.enabled,
        "disabled_reason": row.disabled_reason,
        "created_at": row.created_at,
        "last_delivery": LastDelivery(**last._mapping) if last else None,
    }
    return DestinationWithSecret(**fields, secret=secret) if secret else ShownDestination(**fields)
