"""HTML forms as browsers send them, read into fields (WHATWG HTML, 4.10.21, and RFC 7578)."""

import binascii
import re
from codecs import BOM_UTF8
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from flask import Request, g, request
from marshmallow import ValidationError
from multipart import MultipartSegment, PushMultipartParser, parse_options_header
from werkzeug.exceptions import BadRequest, UnsupportedMediaType

from leadapi.web.charsets import codec_of, decode, guess_codec
from leadapi.web.fields import OWN, TRAP_FIELDS
from leadapi.web.negotiation import media_types, weight_of

URLENCODED = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data"
MEDIA_TYPES = (URLENCODED, MULTIPART)

FILES_REFUSED = "Files are not taken."
NEXT = "_next"
CHARSET = b"_charset_"
# More than JSON may have: plugins add fields of their own, which no visitor can remove.
MAX_FIELDS = 500
# RFC 2046, 5.1.1, allows 70 characters, and some clients use a few more.
MAX_BOUNDARY_LENGTH = 100
# Of each part: bytes of one header and number of headers. Browsers send two headers.
MAX_HEADER_LENGTH = 8192
MAX_HEADERS = 5
# Of an urlencoded body: percent signs that encode nothing.
MAX_STRAY_SIGNS = 10_000

_stray_sign = re.compile(rb"%(?![0-9a-fA-F]{2})")

Fields = Mapping[str, list[str]]
# A name, a value, and the charset that is declared for the value.
RawField = tuple[bytes, bytes, str | None]


@dataclass(frozen=True)
class Form:
    """What the request's form has beside the fields of its schema."""

    # Fields that begin with an underscore, except those of the traps, which JSON can have too.
    own: Fields
    # Text that the schema has no room for: see `left_out`.
    left_out: Mapping[str, Any]


def load(
    req: Request, body: bytes, to_body: Callable[[Fields], tuple[dict[str, Any], Mapping[str, Any]]]
) -> dict[str, Any]:
    """Read the request's form.

    :param to_body: makes of the fields what JSON would have had, and what it had no room for.
    :raises BadRequest: it is not in its content type.
    :raises UnsupportedMediaType: it is JSON.
    :raises ValidationError: it has too many fields, or files.
    """
    fields = read_fields(req.content_type or "", body)
    own = {name: fields.pop(name) for name in list(fields) if name.startswith(OWN) and name not in TRAP_FIELDS}
    given, left_out = to_body(fields)
    g.form = Form(own, left_out)
    return given


def is_form_type(req: Request) -> bool:
    """Whether the request's content type is that of a form."""
    return (req.content_type or "").partition(";")[0].strip().lower() in MEDIA_TYPES


def is_form() -> bool:
    """Whether the request is a form that was read."""
    return "form" in g


def left_out() -> Mapping[str, Any]:
    """The whole text of fields that were cut to fit into the lead, or left out of it, for the lead's history."""
    return g.form.left_out if is_form() else {}


def next_page() -> str | None:
    """The URL that the form asks to redirect its visitor to."""
    urls: list[str] = g.form.own.get(NEXT, []) if is_form() else []
    return urls[0] if len(urls) == 1 else None


def is_from_visitor() -> bool:
    """Whether the answer is for a person: the request is a form, and its Accept header names HTML, as browsers do.

    Some programs name JSON and HTML with one weight. For them, the order decides.
    """
    if request.method != "POST" or not is_form_type(request):
        return False
    accept = media_types()
    html, json = accept.get("text/html", 0.0), weight_of("application/json", accept)[0]
    named = [name for name in accept if name in ("text/html", "application/json")]
    return html > 0 and (html > json or (html == json and named[0] == "text/html"))


def read_fields(content_type: str, body: bytes) -> dict[str, list[str]]:
    """The fields of a form by name; those without a name are left out.

    Raises what `load` raises.
    """
    media_type, parameters = parse_options_header(content_type)
    try:
        if media_type == URLENCODED:
            raw = _urlencoded(body)
        else:
            raw = list(_multipart(body, parameters.get("boundary", "").encode("latin-1")))
    except OverflowError as exc:
        raise ValidationError({"body": [f"Has more than {MAX_FIELDS} fields."]}) from exc
    except ValueError as exc:
        raise BadRequest(f"The body is not {media_type}.") from exc
    fields: dict[str, list[str]] = {}
    for name, value in _decoded(raw, parameters.get("charset")):
        fields.setdefault(name, []).append(value)
    fields.pop("", None)
    return fields


def _urlencoded(body: bytes) -> list[RawField]:
    # Browsers percent-encode these two characters.
    if body.removeprefix(BOM_UTF8).lstrip()[:1] in (b"{", b"["):
        raise UnsupportedMediaType("The body looks like JSON. Send it as application/json.")
    if body.count(b"&") >= MAX_FIELDS:
        raise OverflowError
    # A sign without two digits stands for itself. So many are no form, and would take long.
    body, number = _stray_sign.subn(b"%25", body, count=MAX_STRAY_SIGNS)
    if number == MAX_STRAY_SIGNS:
        raise ValueError
    pairs = (pair.partition(b"=") for pair in body.replace(b"+", b" ").split(b"&"))
    return [(_unquote(name), _unquote(value), None) for name, _, value in pairs]


def _unquote(content: bytes) -> bytes:
    """Decode percent-encoded bytes as quoted-printable, which is ten times as fast as urllib is."""
    return binascii.a2b_qp(content.replace(b"=", b"%3D").replace(b"%", b"="))


def _multipart(body: bytes, boundary: bytes) -> Iterator[RawField]:
    if not 1 <= len(boundary) <= MAX_BOUNDARY_LENGTH:
        raise ValueError
    parser = PushMultipartParser(
        boundary,
        max_header_size=MAX_HEADER_LENGTH,
        max_header_count=MAX_HEADERS,
        # Latin-1 stands for bytes here.
        header_charset="latin-1",
        strict=True,
    )
    number = 0
    pieces: list[bytes] = []
    with parser:
        for event in _events(parser, body, boundary):
            if isinstance(event, MultipartSegment):
                segment, pieces, number = event, [], number + 1
                if number > MAX_FIELDS:
                    raise OverflowError
            elif event is not None:
                pieces.append(event)
            else:
                yield from _part(segment, b"".join(pieces))


def _events(parser: PushMultipartParser, body: bytes, boundary: bytes) -> Iterator[MultipartSegment | bytes | None]:
    """The parser's events, also for empty parts without a line break before the next boundary (RFC 2046, 5.1.1).

    The parser knows parts with a body only. Werkzeug's client, with which Flask applications are tested, makes others.
    """
    first, *others = body.split(b"\r\n\r\n--" + boundary)
    yield from parser.parse(first)
    for other in others:
        yield from parser.parse(b"\r\n")
        events = list(parser.parse(b"\r\n"))
        yield from events
        if events and isinstance(events[-1], MultipartSegment):
            yield from parser.parse(b"\r\n")
        yield from parser.parse(b"--" + boundary + other)


def _part(segment: MultipartSegment, content: bytes) -> Iterator[RawField]:
    name = segment.name.encode("latin-1")
    # A browser sends an empty file name and no content for a file field that the visitor left alone.
    if segment.filename or (segment.filename is not None and content):
        raise ValidationError({name.decode(errors="replace"): [FILES_REFUSED]})
    if segment.filename is None:
        encoding = segment.header("Content-Transfer-Encoding", "binary").strip().lower()
        yield name, _transfer_decoded(content, encoding), segment.charset


def _transfer_decoded(content: bytes, encoding: str) -> bytes:
    if encoding == "base64":
        return binascii.a2b_base64(content)
    if encoding == "quoted-printable":
        return binascii.a2b_qp(content)
    if encoding in ("", "7bit", "8bit", "binary"):
        return content
    raise ValueError(encoding)


def _decoded(raw: Iterable[RawField], charset: str | None) -> Iterator[tuple[str, str]]:
    """The fields as text. A charset is declared for the value, in the field _charset_, or in the content type."""
    fields = [(name, value, codec_of(declared)) for name, value, declared in raw]
    declared = [value.decode("latin-1") for name, value, _ in fields if name == CHARSET]
    codec = next(filter(None, map(codec_of, [*declared, charset])), None)
    if codec is None:
        undeclared = [value for _, value, own in fields if own is None]
        codec = guess_codec(b"\n".join([name for name, _, _ in fields] + undeclared))
    for name, value, own in fields:
        # Browsers send every line break as CRLF.
        yield decode(name, codec), decode(value, own or codec).replace("\r\n", "\n")
