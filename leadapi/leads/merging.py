"""The effect of a change on a lead, field by field."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import orjson

from leadapi.leads.emails import email_key
from leadapi.leads.errors import MAX_ATTRIBUTES, MAX_ATTRIBUTES_BYTES, TooManyAttributes
from leadapi.leads.models import MERGED
from leadapi.leads.search import search_text

Difference = dict[str, dict[str, Any]]


def differences(lead: Mapping[str, Any], changes: Mapping[str, Any], *, drop_excess: bool = False) -> Difference:
    """The fields whose value would change, each with its old value (`from`) and its new value (`to`).

    :param changes: new values by field. `attributes` are merged into the stored ones: None removes one attribute,
        and None instead of an object removes all (RFC 7396).
    :param drop_excess: whether to drop attributes beyond the limits instead of raising an error.
    :raises TooManyAttributes: the attributes would exceed the limits.
    """
    wanted = dict(changes)
    if "attributes" in wanted:
        wanted["attributes"] = _merged(lead["attributes"], wanted["attributes"], drop_excess=drop_excess)
    return {name: {"from": lead[name], "to": value} for name, value in wanted.items() if lead[name] != value}


def left_out(lead: Mapping[str, Any], difference: Difference, changes: Mapping[str, Any]) -> dict[str, str]:
    """The attributes of the changes that `drop_excess` dropped.

    :param difference: the result of `differences`.
    """
    kept = difference.get("attributes", {"to": lead["attributes"]})["to"]
    given = changes.get("attributes") or {}
    return {name: value for name, value in given.items() if value is not None and kept.get(name) != value}


def changed_row(state: Mapping[str, Any], time: datetime) -> dict[str, Any]:
    """The parameters with which `queries.updating` and `queries.store_texts` store a lead.

    :param state: the visible fields of the lead.
    :param time: the time of the change.
    """
    return {
        **{name: state[name] for name in ("id", *MERGED)},
        "email_key": email_key(state["email"]),
        "attributes": orjson.dumps(state["attributes"]).decode(),
        "updated_at": time,
        "lead_id": state["id"],
        "search_text": search_text(state),
    }


def _merged(
    attributes: Mapping[str, str], changes: Mapping[str, str | None] | None, *, drop_excess: bool
) -> dict[str, str]:
    if changes is None:
        return {}
    merged = {name: value for name, value in {**attributes, **changes}.items() if value is not None}
    if _fits(merged):
        return merged
    if not drop_excess:
        raise TooManyAttributes
    merged = dict(attributes)
    for name, value in changes.items():
        candidate = {key: text for key, text in {**merged, name: value}.items() if text is not None}
        if _fits(candidate):
            merged = candidate
    return merged


def _fits(attributes: Mapping[str, str]) -> bool:
    return len(attributes) <= MAX_ATTRIBUTES and len(orjson.dumps(attributes)) <= MAX_ATTRIBUTES_BYTES
