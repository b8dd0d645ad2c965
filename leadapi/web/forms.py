"""HTML forms as browsers send them, read into fields (WHATWG HTML, 4.10.21, and RFC 7578)."""

import re
from collections.abc import Iterator, Mapping
from urllib.parse import parse_qsl

from flask import Request, g, request
from marshmallow import ValidationError
from werkzeug.datastructures import Headers
from werkzeug.exceptions import BadRequest, RequestEntityTooLarge, UnsupportedMediaType
from werkzeug.sansio.multipart import Data, Epilogue, Field, File, MultipartDecoder

from leadapi.web.fields import MAX_FIELDS, OWN, STAMP_FIELD, TRAP_FIELD
from leadapi.web.preferences import media_types

URLENCODED = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data"
MEDIA_TYPES = (URLENCODED, MULTIPART)

# Those of the service's own that it does not know are ignored: form builders and browsers add some,
# such as _charset_.
NEXT = "_next"
# These are left to the schema, because JSON can have them, too.
TRAPS = (TRAP_FIELD, STAMP_FIELD)
# MIME allows 70 (RFC 2046, 5.1.1), and some clients make a few more, by chance. It is looked for at every place of
# the body, so a long one could cost much.
LONGEST_BOUNDARY = 100
# The names of a field and of a file have room in it. Each character costs a step of Python.
LONGEST_HEAD = 2**12

Fields = Mapping[str, list[str]]


class Decoder(MultipartDecoder):
    """Werkzeug's, for parts with short heads."""

    def _parse_headers(self, data: bytes | bytearray) -> Headers:
        if len(data) > LONGEST_HEAD:
            raise ValueError
        return super()._parse_headers(data)


def read_fields(req: Request, body: bytes) -> Fields:
    """The fields of a form by name, without those that only a form has for the service itself.

    :raises UnsupportedMediaType: it is in another encoding than UTF-8.
    :raises BadRequest: it is not what its type says.
    :raises ValidationError: it has too many fields, or files.
    """
    if req.mimetype_params.get("charset", "utf-8").lower() not in ("utf-8", "utf8"):
        raise UnsupportedMediaType("Send the form in UTF-8.")
    try:
        pairs = _urlencoded(body) if req.mimetype == URLENCODED else list(_multipart(req, body))
    except UnicodeDecodeError as exc:
        raise BadRequest("The form is not in UTF-8.") from exc
    except ValidationError:
        raise
    except (RequestEntityTooLarge, OverflowError) as exc:
        raise ValidationError({"body": [f"Has more than {MAX_FIELDS} fields."]}) from exc
    except ValueError as exc:
        raise BadRequest(f"The body is not {req.mimetype}.") from exc
    fields: dict[str, list[str]] = {}
    for name, value in pairs:
        # Browsers send every line break as CRLF.
        fields.setdefault(name, []).append(value.replace("\r\n", "\n"))
    own = [name for name in fields if name.startswith(OWN) and name not in TRAPS]
    g.form = {name: fields.pop(name) for name in own}
    return fields


def is_form() -> bool:
    """Whether the request is one."""
    return "form" in g


def next_page() -> str | None:
    """Where the form asks its visitor to be sent."""
    wishes: list[str] = g.get("form", {}).get(NEXT, [])
    return wishes[0] if len(wishes) == 1 else None


def is_from_visitor() -> bool:
    """Whether the answer is for a person in a browser, and not for a program."""
    if request.method != "POST" or request.mimetype not in MEDIA_TYPES:
        return False
    # Of two that are as good, the one that is named goes before the one that only may be: browsers name HTML.
    return media_types().best_match(["text/html", "application/json"]) != "application/json"


def _urlencoded(body: bytes) -> list[tuple[str, str]]:
    if body.count(b"&") >= MAX_FIELDS:
        raise OverflowError
    return parse_qsl(body.decode(), keep_blank_values=True, errors="strict")


def _multipart(req: Request, body: bytes) -> Iterator[tuple[str, str]]:
    """Werkzeug's decoder, without its parser, which writes files to the disk."""
    boundary = req.mimetype_params.get("boundary", "").encode()
    if not 1 <= len(boundary) <= LONGEST_BOUNDARY:
        raise ValueError
    decoder = Decoder(boundary, max_parts=MAX_FIELDS)
    decoder.receive_data(_named_as_browsers_do(body, boundary))
    decoder.receive_data(None)
    part: Field | File | None = None
    content = b""
    while not isinstance(event := decoder.next_event(), Epilogue):
        if isinstance(event, Field | File):
            part, content = event, b""
        elif isinstance(event, Data):
            content += event.data
            if not event.more_data and part is not None:
                yield from _part(part, content)


def _named_as_browsers_do(body: bytes, boundary: bytes) -> bytes:
    """The body in Werkzeug's words: to it a backslash in a name is an escape, and to browsers like any character."""
    if b"\\" not in body:
        return body
    head = rb'(?<=--%s\r\nContent-Disposition: form-data; name=)"[^"\r\n]*"(?=\r\n)' % re.escape(boundary)
    return re.sub(head, lambda found: found[0].replace(b"\\", b"\\\\"), body)


def _part(part: Field | File, content: bytes) -> Iterator[tuple[str, str]]:
    if part.name is None:
        raise ValueError
    if isinstance(part, Field):
        yield part.name, content.decode()
    # A file field that the visitor left alone is sent with an empty name.
    elif part.filename or content:
        raise ValidationError({part.name: ["Files are not taken."]})
