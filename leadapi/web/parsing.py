"""Strict parsing of requests: unknown and malformed fields are refused by name."""

import time
from codecs import BOM_UTF8
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import orjson
from flask import Request
from marshmallow import RAISE, Schema, ValidationError
from webargs.flaskparser import FlaskParser
from werkzeug.exceptions import (
    BadRequest,
    LengthRequired,
    RequestEntityTooLarge,
    UnprocessableEntity,
    UnsupportedMediaType,
)
from werkzeug.wsgi import get_input_stream

from leadapi.web import forms
from leadapi.web.fields import MAX_FIELDS

PIECE_BYTES = 2**14
# How long the rest of a body that is too large is read.
DISCARD_SECONDS = 2.0
JSON = ("application/json",)
LENGTH_REQUIRED = "Send the body with a Content-Length."
# Parsing its parameters takes quadratic time.
MAX_CONTENT_TYPE_LENGTH = 1000


class InvalidFields(UnprocessableEntity):
    """The request was parsed, but some fields are not valid."""

    def __init__(self, errors: Mapping[str, list[str]]) -> None:
        names = list(errors)
        listed = ", ".join(map(_quoted, names[:5])) + (", …" if len(names) > 5 else "")
        super().__init__(f"{'This field is' if len(names) == 1 else 'These fields are'} not valid: {listed}.")
        self.errors = errors


def _quoted(name: str) -> str:
    """A field's name as part of a sentence, as a JSON string where it is blank or not printable."""
    start = name[:40]
    return start if start.isprintable() and start.strip() else orjson.dumps(start).decode()


class Parser(FlaskParser):
    """The parser of every operation's arguments."""

    DEFAULT_UNKNOWN_BY_LOCATION = {**FlaskParser.DEFAULT_UNKNOWN_BY_LOCATION, "query": RAISE}

    def load_json(self, req: Request, schema: Schema) -> Any:
        """Parse the body with orjson, which raises one exception for every kind of hostile JSON (RFC 8259)."""
        if len(req.content_type or "") > MAX_CONTENT_TYPE_LENGTH:
            raise UnsupportedMediaType("The Content-Type is too long.")
        if req.mimetype in forms.MEDIA_TYPES and hasattr(schema, "from_form"):
            # Browsers and advertisers add query parameters to the form's URL, so they are ignored.
            return forms.load(req, read_body(req), schema.from_form)
        if req.args:
            raise InvalidFields({name: ["Unknown field."] for name in req.args})
        media_types = getattr(schema, "media_types", JSON)
        if req.mimetype not in media_types:
            advice = f"end the body as {' or '.join(media_types)}."
            raise UnsupportedMediaType(f"S{advice}" if req.mimetype else f"The Content-Type is missing; s{advice}")
        body = read_json(read_body(req))
        if isinstance(body, dict) and len(body) > MAX_FIELDS:
            raise InvalidFields({"body": [f"Has more than {MAX_FIELDS} fields."]})
        return body

    def load_querystring(self, req: Request, schema: Schema) -> dict[str, str]:
        """Refuse repeated parameters."""
        args = req.args
        repeated = [name for name, values in args.lists() if len(values) > 1]
        if repeated:
            known = {field.data_key or name for name, field in schema.fields.items()}
            unknown = {name: ["Unknown field."] for name in args if name not in known}
            raise ValidationError({name: ["Given more than once."] for name in repeated} | unknown)
        return args.to_dict()

    def handle_error(self, error: ValidationError, *args: Any, **kwargs: Any) -> Any:
        """Answer 422 with one map of fields, whether they were in the body or the query."""
        (messages,) = error.messages_dict.values()
        raise InvalidFields(flat(messages)) from error


def read_json(content: bytes) -> Any:
    """The value of a JSON text in UTF-8, with or without a byte order mark.

    :raises BadRequest: it is not JSON, or not UTF-8.
    """
    content = content.removeprefix(BOM_UTF8)
    if not content.strip():
        raise BadRequest("The body is empty.")
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError as exc:
        # orjson reports bytes that are not UTF-8 at line 1, column 1, wherever they are.
        try:
            content.decode()
        except UnicodeDecodeError as wrong:
            raise BadRequest(f"The body is not UTF-8: its byte {wrong.start + 1} is invalid.") from wrong
        raise BadRequest(f"The body is not valid JSON at line {exc.lineno}, column {exc.colno}.") from exc


def read_body(req: Request) -> bytes:
    """The whole body.

    :raises UnsupportedMediaType: it is compressed.
    :raises RequestEntityTooLarge: it is longer than MAX_BODY_BYTES, with or without a Content-Length.
    :raises BadRequest: it is shorter than its Content-Length, or reading it failed.
    :raises LengthRequired: it comes in chunks, which the WSGI server does not decode.
    """
    # Content codings are case-insensitive (RFC 9110, 8.4.1). The rest of a long list is one unknown coding.
    codings = {coding.strip().lower() for coding in (req.content_encoding or "").split(",", maxsplit=10)}
    if codings - {"", "identity"}:
        raise UnsupportedMediaType("Send the body without a Content-Encoding.")
    environ, length = req.environ, req.content_length
    # One byte more than is accepted.
    limit = req.max_content_length or 0
    is_chunked = length is None and "HTTP_TRANSFER_ENCODING" in environ
    if is_chunked and not environ.get("wsgi.input_terminated"):
        raise LengthRequired(LENGTH_REQUIRED)
    body = b""
    try:
        # Not `req.stream`: reading it to its end costs five times as much.
        if is_chunked or (length and length < limit):
            body = environ["wsgi.input"].read(length or limit)
    except OSError as exc:
        raise BadRequest("The body could not be read.") from exc
    if max(len(body), length or 0) >= limit:
        _discard_body(req)
        raise RequestEntityTooLarge
    if len(body) < (length or 0):
        raise BadRequest("The body ended before its Content-Length.")
    return body


def _discard_body(req: Request) -> None:
    """Read the rest of the body for a moment: servers that do not buffer it would reset the connection."""
    deadline = time.monotonic() + DISCARD_SECONDS
    # Bounded by the Content-Length: wsgi.input may be the socket itself, whose end never comes.
    rest = get_input_stream(req.environ)
    with suppress(BadRequest, OSError):
        while rest.read(PIECE_BYTES) and time.monotonic() < deadline:
            pass


def flat(messages: Mapping[Any, Any]) -> dict[str, list[str]]:
    """The messages of marshmallow as a flat map from field to messages; nested fields are joined by dots."""
    return dict(_flat(messages))


def _flat(messages: Mapping[Any, Any], prefix: str = "") -> Any:
    for name, found in messages.items():
        # A field can have the name of marshmallow's key for the whole body.
        is_body = name == "_schema" and found != ["Unknown field."]
        path = f"{prefix}{'body' if is_body else name}"
        if isinstance(found, dict):
            yield from _flat(found, f"{path}.")
        else:
            yield path, found
