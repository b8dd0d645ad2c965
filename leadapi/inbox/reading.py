"""Reads the queries and forms that browsers send, through the schemas."""

from collections.abc import Mapping
from typing import Any

from flask import request
from marshmallow import EXCLUDE, Schema, ValidationError

from leadapi.inbox.schemas import FILTERS
from leadapi.web.parsing import InvalidFields, flat


def read_query(schema: type[Schema], **fixed: str) -> dict[str, Any]:
    """The parameters in the URL.

    :param fixed: parameters that the page sets by itself.
    :raises InvalidFields: some are not valid.
    """
    # Links from mails and other pages bring parameters of their own.
    return _load(schema(unknown=EXCLUDE), {**given(), **fixed})


def given() -> dict[str, str]:
    """The parameters in the URL that are not blank: a form also sends the fields that nobody filled in."""
    return {name: value for name, value in request.args.items() if value.strip()}


def filters() -> dict[str, str]:
    """The parameters in the URL that choose leads."""
    return {name: value for name, value in given().items() if name in FILTERS}


def place() -> dict[str, str]:
    """The parameters in the URL that lead back to the same page of the list."""
    return {name: value for name, value in given().items() if name in (*FILTERS, "after")}


def read_form(schema: type[Schema]) -> dict[str, Any]:
    """The fields of a form.

    :raises InvalidFields: some are not valid.
    """
    # Browsers send line breaks as CR LF (HTML, form-data set). Fields that nobody filled in are left out.
    fields = {name: value.replace("\r\n", "\n") for name, value in request.form.items()}
    return _load(schema(), {name: value for name, value in fields.items() if value.strip()})


def _load(schema: Schema, values: Mapping[str, str]) -> dict[str, Any]:
    try:
        loaded: dict[str, Any] = schema.load(values)
    except ValidationError as exc:
        raise InvalidFields(flat(exc.messages_dict)) from exc
    return loaded
