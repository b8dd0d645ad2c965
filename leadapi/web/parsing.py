"""Reads requests strictly: what cannot be understood exactly is refused, and told by name."""

import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import orjson
from flask import Request
from marshmallow import RAISE, Schema, ValidationError
from webargs.flaskparser import FlaskParser
from webargs.multidictproxy import MultiDictProxy
from werkzeug.exceptions import BadRequest, RequestEntityTooLarge, UnprocessableEntity, UnsupportedMediaType

from leadapi.web import forms
from leadapi.web.fields import MAX_FIELDS

PIECE_BYTES = 2**14
# How long the rest of a body that is too large is read.
DISCARD_SECONDS = 2.0
JSON = ("application/json",)


class InvalidFields(UnprocessableEntity):
    """The request could be read, but its fields are not what they must be."""

    def __init__(self, errors: Mapping[str, list[str]]) -> None:
        names = list(errors)
        listed = ", ".join(map(_told, names[:5])) + (", …" if len(names) > 5 else "")
        super().__init__(f"{'This field is' if len(names) == 1 else 'These fields are'} not valid: {listed}.")
        self.errors = errors


def _told(name: str) -> str:
    """A field's name as part of a sentence: in quotes where it would not be seen, or end the line."""
    start = name[:40]
    return start if start.isprintable() and start.strip() else orjson.dumps(start).decode()


class Parser(FlaskParser):
    """Reads requests, and refuses what it cannot read exactly."""

    DEFAULT_UNKNOWN_BY_LOCATION = {**FlaskParser.DEFAULT_UNKNOWN_BY_LOCATION, "query": RAISE}

    def load_json(self, req: Request, schema: Schema) -> Any:
        """Parse the body with orjson, which has one exception for every kind of hostile JSON (RFC 8259)."""
        if req.args:
            raise InvalidFields({name: ["Unknown field."] for name in req.args})
        media_types = getattr(schema, "media_types", JSON)
        if req.mimetype in forms.MEDIA_TYPES and hasattr(schema, "from_form"):
            return schema.from_form(forms.read_fields(req, read_plain_body(req)))
        if req.mimetype not in media_types:
            raise UnsupportedMediaType(f"Send the body as {' or '.join(media_types)}.")
        try:
            body = orjson.loads(read_plain_body(req))
        except orjson.JSONDecodeError as exc:
            raise BadRequest(f"The body is not valid JSON at line {exc.lineno}, column {exc.colno}.") from exc
        if isinstance(body, dict) and len(body) > MAX_FIELDS:
            raise InvalidFields({"body": [f"Has more than {MAX_FIELDS} fields."]})
        return body

    def load_querystring(self, req: Request, schema: Schema) -> MultiDictProxy:
        """Refuse a parameter that is given twice instead of choosing one."""
        repeated = [name for name, values in req.args.lists() if len(values) > 1]
        if repeated:
            raise ValidationError({name: ["Given more than once."] for name in repeated})
        return MultiDictProxy(req.args, schema)

    def handle_error(self, error: ValidationError, *args: Any, **kwargs: Any) -> Any:
        """Answer 422 with the fields' names at the top, wherever in the request they were."""
        (messages,) = error.messages_dict.values()
        raise InvalidFields(flat(messages)) from error


def read_plain_body(req: Request) -> bytes:
    """The whole body, which is not compressed; see `read_body`."""
    if req.content_encoding not in (None, "identity"):
        raise UnsupportedMediaType("Send the body without a Content-Encoding.")
    return read_body(req)


def read_body(req: Request) -> bytes:
    """The whole body.

    :raises RequestEntityTooLarge: it is longer than MAX_BODY_BYTES, with or without a Content-Length.
    :raises BadRequest: it is shorter than its Content-Length, or reading it failed.
    """
    try:
        # Not get_data(), which truncates a chunked body at MAX_CONTENT_LENGTH without an error.
        body = req.stream.read()
        # MAX_CONTENT_LENGTH is one byte more than allowed, because the stream refuses chunked bodies of its size.
        if req.max_content_length is not None and len(body) >= req.max_content_length:
            raise RequestEntityTooLarge
    except RequestEntityTooLarge:
        _discard_body(req)
        raise
    except OSError as exc:
        raise BadRequest("The body could not be read.") from exc
    if len(body) < (req.content_length or 0):
        raise BadRequest("The body ended before its Content-Length.")
    return body


def _discard_body(req: Request) -> None:
    """Read the rest of the body for a moment: servers that do not buffer it would reset the connection."""
    deadline = time.monotonic() + DISCARD_SECONDS
    with suppress(OSError):
        while req.environ["wsgi.input"].read(PIECE_BYTES) and time.monotonic() < deadline:
            pass


def flat(messages: Mapping[Any, Any]) -> dict[str, list[str]]:
    """What marshmallow says is wrong, as it is answered: from field to messages, without nesting."""
    return dict(_flat(messages))


def _flat(messages: Mapping[Any, Any], prefix: str = "") -> Any:
    for name, found in messages.items():
        path = f"{prefix}{'body' if name == '_schema' else name}"
        if isinstance(found, dict):
            yield from _flat(found, f"{path}.")
        else:
            yield path, found
