"""Judges the rows of a file by the schema of captured leads: most of them by a short way that comes to the same."""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from marshmallow import ValidationError, fields, validate

from leadapi.leads.emails import InvalidEmail, normalize_email
from leadapi.leads.errors import MAX_ATTRIBUTES, MAX_ATTRIBUTES_BYTES
from leadapi.leads.fields import Attributes
from leadapi.leads.schemas import STATUSES, NewLeadSchema
from leadapi.web.fields import SPACES, Instant, Line, Paragraphs
from leadapi.web.parsing import flat


class Second(Instant):
    """A date and time with its zone, to the second, which is what is shown."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        return super()._deserialize(value, attr, data, **kwargs).replace(microsecond=0)


class ImportedLeadSchema(NewLeadSchema):
    """A lead that comes with what became of it elsewhere.

    Its `updated_at` may be before its `created_at`: the clocks of two hosts differ, and some leads were
    imported with a time that is still to come. Whatever was exported can be imported.
    """

    status = fields.String(validate=validate.OneOf(STATUSES))
    created_at = Second()
    updated_at = Second()


class Refused(Exception):
    """The row is no lead; the message says what is wrong with which field."""


_schema = ImportedLeadSchema()
_instant = lru_cache(1024)(Second().deserialize)

_named = lru_cache(1024)(Attributes.named.fullmatch)
_refused_in_paragraphs = Paragraphs.refused.search


def check(given: dict[str, Any]) -> dict[str, Any]:
    """The lead that these fields are: what `service.create_lead` takes, and `status`, `created_at`, `updated_at`.

    :raises Refused: they are none.
    """
    return check_shortly(given) or check_thoroughly(given)


def check_thoroughly(given: Mapping[str, Any]) -> dict[str, Any]:
    """The same by the schema, which takes ten times as long and can say what is wrong."""
    try:
        lead: dict[str, Any] = _schema.load(given)
    except ValidationError as exc:
        wrong = flat(exc.messages_dict)
        raise Refused(" ".join(f"{name}: {text}" for name, texts in wrong.items() for text in texts)) from exc
    return lead


def check_shortly(given: Mapping[str, Any]) -> dict[str, Any] | None:
    """The same for nearly every lead that is accepted; None where it cannot tell."""
    lead = {}
    try:
        for name, value in given.items():
            found = _rules[name](value)
            if found is None:
                return None
            lead[name] = found
    except (AttributeError, TypeError, InvalidEmail, ValidationError):
        # It is not even text.
        return None
    return lead if "email" in lead and "full_name" in lead else None


def _name(text: str) -> str | None:
    return text if 2 <= len(text) <= 255 and text.isprintable() and text.strip(SPACES) == text else None


def _company(text: str) -> str | None:
    return text if len(text) <= 255 and text.isprintable() else None


def _source(text: str) -> str | None:
    return text if len(text) <= 100 and text.isprintable() else None


def _message(text: str) -> str | None:
    return text if len(text) <= 2000 and (text.isprintable() or not _refused_in_paragraphs(text)) else None


def _status(text: str) -> str | None:
    return text if text in STATUSES else None


def _attributes(given: dict[str, str]) -> dict[str, str] | None:
    if type(given) is not dict or len(given) > MAX_ATTRIBUTES or not all(map(_fits, given.items())):
        return None
    # A character takes six bytes of JSON at most. For more than this, the schema counts them.
    characters = sum(len(name) + len(value) + 1 for name, value in given.items())
    return given if 6 * (characters + 1) <= MAX_ATTRIBUTES_BYTES else None


def _fits(attribute: tuple[str, Any]) -> bool:
    name, value = attribute
    return type(value) is str and len(value) <= Attributes.longest and _named(name) is not None


def _email(text: str) -> str | None:
    return None if Line.refused.search(text) else normalize_email(text)


# What each field is where the schema would accept it; None where that is not sure.
_rules: dict[str, Callable[[Any], Any]] = {
    "full_name": _name,
    "email": _email,
    "company": _company,
    "message": _message,
    "source": _source,
    "status": _status,
    "attributes": _attributes,
    "created_at": _instant,
    "updated_at": _instant,
}
