"""Validate the rows of a file by the schema of captured leads."""

from collections.abc import Mapping
from typing import Any

from marshmallow import ValidationError

from leadapi.leads.schemas import NewLeadSchema, Status
from leadapi.leads.transfer.errors import RowError
from leadapi.web.fields import Instant
from leadapi.web.parsing import flat


class Second(Instant):
    """A date and time with its zone, truncated to the second, the precision that clients see."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        return super()._deserialize(value, attr, data, **kwargs).replace(microsecond=0)


class ImportedLeadSchema(NewLeadSchema):
    """A lead with the status and the times that it has elsewhere.

    `updated_at` may be before `created_at`: the clocks of two hosts differ, and exports contain such leads.
    """

    status = Status()
    created_at = Second()
    updated_at = Second()


_schema = ImportedLeadSchema()
_fields = _schema.fields
REQUIRED = tuple(name for name, field in _fields.items() if field.required)
_required = frozenset(REQUIRED)


def check(given: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of the lead that a row gives: some of `models.IMPORTED`.

    :raises RowError: a field is invalid or missing.
    """
    try:
        # Field by field costs half as much as `Schema.load`. The schema then names all faults of a faulty row.
        lead = {name: _fields[name].deserialize(value, name, given) for name, value in given.items()}
    except (KeyError, ValidationError):
        return _load(given)
    return lead if lead.keys() >= _required else _load(given)


def _load(given: Mapping[str, Any]) -> dict[str, Any]:
    try:
        lead: dict[str, Any] = _schema.load(given)
    except ValidationError as exc:
        wrong = flat(exc.messages_dict)
        raise RowError(" ".join(f"{name}: {text}" for name, texts in wrong.items() for text in texts)) from exc
    return lead
