"""Reads requests strictly: what cannot be understood exactly is refused, and told by name."""

from collections.abc import Mapping
from contextlib import suppress
from typing import IO, Any

import orjson
from flask import Request
from gunicorn.http.errors import ParseException
from marshmallow import RAISE, Schema, ValidationError
from webargs.flaskparser import FlaskParser
from webargs.multidictproxy import MultiDictProxy
from werkzeug.exceptions import BadRequest, RequestEntityTooLarge, UnprocessableEntity, UnsupportedMediaType

# How much of a body that is too large is read and forgotten.
DISCARDED_BYTES, DISCARDED_STEP = 16 * 2**20, 2**16


class InvalidFields(UnprocessableEntity):
    """The request could be read, but its fields are not what they must be."""

    def __init__(self, errors: Mapping[str, list[str]]) -> None:
        names = list(errors)
        listed = ", ".join(names[:5]) + (", …" if len(names) > 5 else "")
        super().__init__(f"{'This field is' if len(names) == 1 else 'These fields are'} not valid: {listed}.")
        self.errors = errors


class Parser(FlaskParser):
    """Reads requests, and refuses what it cannot read exactly."""

    DEFAULT_UNKNOWN_BY_LOCATION = {**FlaskParser.DEFAULT_UNKNOWN_BY_LOCATION, "query": RAISE}

    def load_json(self, req: Request, schema: Schema) -> Any:
        """Parse the body with orjson, which has one exception for every kind of hostile JSON (RFC 8259)."""
        if req.mimetype != "application/json":
            raise UnsupportedMediaType("Send the body as application/json.")
        try:
            return orjson.loads(read_body(req))
        except orjson.JSONDecodeError as exc:
            raise BadRequest(f"The body is not valid JSON at line {exc.lineno}, column {exc.colno}.") from exc

    def load_querystring(self, req: Request, schema: Schema) -> MultiDictProxy:
        """Refuse a parameter that is given twice instead of choosing one."""
        repeated = [name for name, values in req.args.lists() if len(values) > 1]
        if repeated:
            raise ValidationError({name: ["Given more than once."] for name in repeated})
        return MultiDictProxy(req.args, schema)

    def handle_error(self, error: ValidationError, *args: Any, **kwargs: Any) -> Any:
        """Answer 422 with the fields' names at the top, wherever in the request they were."""
        (messages,) = error.messages_dict.values()
        raise InvalidFields(dict(_flat(messages))) from error


def read_body(req: Request) -> bytes:
    """The whole body.

    :raises RequestEntityTooLarge: it is longer than MAX_BODY_BYTES, with or without a Content-Length.
    :raises BadRequest: it is chunked, and not as HTTP says, or ended before its Content-Length.
    """
    try:
        body = req.get_data(cache=False)
        # A chunked body is cut at MAX_CONTENT_LENGTH without a word, hence its one byte more.
        if req.max_content_length is not None and len(body) >= req.max_content_length:
            raise RequestEntityTooLarge
    except RequestEntityTooLarge:
        _discard(req.environ["wsgi.input"])
        raise
    except ParseException as exc:
        raise BadRequest("The body is not chunked as HTTP asks for.") from exc
    if len(body) < (req.content_length or 0):
        raise BadRequest("The body ended before its Content-Length.")
    return body


def _discard(stream: IO[bytes]) -> None:
    """Read on for a while: who is still sending would find the connection closed, and no answer."""
    with suppress(OSError, ParseException):
        for _ in range(DISCARDED_BYTES // DISCARDED_STEP):
            if not stream.read(DISCARDED_STEP):
                return


def _flat(messages: Mapping[Any, Any], prefix: str = "") -> Any:
    for name, found in messages.items():
        path = f"{prefix}{'body' if name == '_schema' else name}"
        if isinstance(found, dict):
            yield from _flat(found, f"{path}.")
        else:
            yield path, found
