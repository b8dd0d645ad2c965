"""What a change makes of a lead, field by field."""

from collections.abc import Mapping
from itertools import islice
from typing import Any

import orjson

from leadapi.leads.emails import email_key
from leadapi.leads.errors import MAX_ATTRIBUTES, TooManyAttributes

Difference = dict[str, dict[str, Any]]


def differences(lead: Mapping[str, Any], changes: Mapping[str, Any], *, what_fits: bool = False) -> Difference:
    """What becomes another value: from field to what it is `from` and what it goes `to`.

    :param changes: from field to value. `attributes` are merged into those there are: None takes
        one away, and None instead of them takes all away (RFC 7396).
    :param what_fits: whether new attributes that are too many are left out.
    :raises TooManyAttributes: together there would be more of them than are kept.
    """
    wanted = dict(changes)
    if "attributes" in wanted:
        wanted["attributes"] = _merged(lead["attributes"], wanted["attributes"], what_fits=what_fits)
    return {name: {"from": lead[name], "to": value} for name, value in wanted.items() if lead[name] != value}


def columns(values: Mapping[str, Any]) -> dict[str, Any]:
    """The columns that hold these fields, and what they hold."""
    held = dict(values)
    if "attributes" in held:
        held["attributes"] = orjson.dumps(held["attributes"]).decode()
    if "email" in held:
        held["email_key"] = email_key(held["email"])
    return held


def _merged(
    attributes: Mapping[str, str], changes: Mapping[str, str | None] | None, *, what_fits: bool
) -> dict[str, str]:
    if changes is None:
        return {}
    merged = {name: value for name, value in {**attributes, **changes}.items() if value is not None}
    if len(merged) > MAX_ATTRIBUTES and not what_fits:
        raise TooManyAttributes
    # Those that were there come first, so only new ones are left out.
    return dict(islice(merged.items(), MAX_ATTRIBUTES))
