"""A lead as clients see it: the fields in their order, the very bytes, and the tag of the bytes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b
from typing import Any

import orjson

from leadapi.leads.queries import SHOWN

ATTRIBUTES = SHOWN.index("attributes")


@dataclass(frozen=True)
class ShownLead:
    """A lead as it is shown: the answer of every operation that has one lead, and what its event keeps."""

    id: int
    json: bytes

    @property
    def tag(self) -> str:
        """Another one whenever anything that is shown is another (a strong entity tag, RFC 9110, 8.8.3)."""
        return blake2b(self.json, digest_size=12).hexdigest()


def show(row: Sequence[Any]) -> ShownLead:
    """A row of `queries.shown` as it is shown."""
    return ShownLead(row[0], dump(fields_of(row)))


def show_sent(lead_id: int, sent: Mapping[str, Any], time: datetime) -> ShownLead:
    """What was sent, as it is shown when it has become a new lead.

    :param sent: what `service.create_lead` takes.
    """
    unknown = dict.fromkeys(SHOWN)
    known = {"id": lead_id, "status": "new", "created_at": time, "updated_at": time}
    return ShownLead(lead_id, dump({**unknown, **known, **sent, "attributes": sent.get("attributes") or {}}))


def dump(lead: Mapping[str, Any]) -> bytes:
    """The bytes of a lead."""
    return orjson.dumps(lead, option=orjson.OPT_UTC_Z)


def fields_of(row: Sequence[Any]) -> dict[str, Any]:
    """A row of `queries.shown`, or one that begins with it, as a mapping that orjson writes."""
    lead = dict(zip(SHOWN, row, strict=False))
    # They are JSON already.
    lead["attributes"] = orjson.Fragment(row[ATTRIBUTES])
    return lead
