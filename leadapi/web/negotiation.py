"""What a request asks of its response: media type and language, preferences, and conditions.

RFC 9110, 12.5 (content negotiation) and 13 (conditional requests), and RFC 7240 (Prefer). Unknown and malformed items
are ignored. Headers are parsed up to MAX_CHARACTERS, so that none costs more than a few milliseconds: Werkzeug's
parser of Accept takes quadratic time.
"""

import re
from collections.abc import Iterable, Mapping
from hashlib import blake2b

from flask import Response, request
from werkzeug.exceptions import NotAcceptable
from werkzeug.http import parse_list_header

# Browsers send a tenth of this. Of a longer header only the beginning is read.
MAX_CHARACTERS = 4096

IF_MATCH = {
    "in": "header",
    "name": "If-Match",
    "description": "Only if the lead still has one of these tags, or any with `*`. Otherwise 412.",
    "schema": {"type": "string"},
}
IF_NONE_MATCH = {
    "in": "header",
    "name": "If-None-Match",
    "description": "Only if the lead has none of these tags any more. Otherwise 304.",
    "schema": {"type": "string"},
}
ETAG = {
    "description": "Changes whenever a visible field changes.",
    "required": True,
    "schema": {"type": "string", "pattern": '^"[0-9a-f]{24}"$'},
    "example": '"5f2a0c2d6b9e4d3c8a7f1e0b"',
}
PREFER = {
    "in": "header",
    "name": "Prefer",
    "description": "`resolution=merge-duplicates` or `resolution=ignore-duplicates`: how to treat a lead whose address"
    " is taken, instead of refusing it. In a merge, fields that are given and not null overwrite the lead's.",
    # No example: /docs would send it with every lead.
    "schema": {"type": "string"},
}
APPLIED = {
    "description": "The preference that was applied.",
    "schema": {"enum": ["resolution=merge-duplicates", "resolution=ignore-duplicates"]},
    "example": "resolution=merge-duplicates",
}

WORD = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
# Spaces are matched at one place only between two tokens: adjacent quantifiers would backtrack.
PREFERENCE = re.compile(rf'({WORD})[ \t]*(?:=[ \t]*(?:(?:({WORD})|"((?:[^"\\]|\\.)*)")[ \t]*)?)?(?:;.*)?', re.ASCII)
RESOLUTIONS = ("merge-duplicates", "ignore-duplicates")

WEIGHT = re.compile(r"[01]?(?:\.[0-9]*)?")


def media_types() -> Mapping[str, float]:
    """The weight of each media type and range that the client accepts; empty if it has no Accept header.

    Parameters are ignored, because each media type is served in one form only.
    """
    return _weights(request.headers.get("Accept", ""))


def weight_of(media_type: str, accept: Mapping[str, float]) -> tuple[float, int]:
    """The weight of a media type, and how specific the range is that gives it."""
    ranges = (media_type, f"{media_type.partition('/')[0]}/*", "*/*")
    return next(((accept[name], -place) for place, name in enumerate(ranges) if name in accept), (0.0, 0))


def accepted(offered: Mapping[str, str], asked_for: str | None) -> str:
    """The media type to answer in.

    :param offered: from media type to short name, the preferred one first.
    :param asked_for: a short name that overrides the Accept header.
    :raises NotAcceptable: the client accepts none of them (RFC 9110, 12.5.1).
    """
    for media_type, name in offered.items():
        if name == asked_for:
            return media_type
    accept = media_types() or {"*/*": 1.0}
    # Of equal weights, the type that is named wins, then the first one.
    best = max(offered, key=lambda media_type: weight_of(media_type, accept))
    if not weight_of(best, accept)[0]:
        raise NotAcceptable(f"This address answers with {' or '.join(offered)}.")
    return best


def best_language(offered: Iterable[str], default: str) -> str:
    """The offered language, such as `de`, that has the highest weight, also by a range such as `de-AT`."""
    weights = _weights(request.headers.get("Accept-Language", ""))
    ranked = sorted(weights, key=lambda name: -weights[name])
    languages = (name.partition("-")[0] for name in ranked if weights[name])
    return next((language for language in languages if language in offered), default)


def _weights(header: str) -> dict[str, float]:
    """The items of a header in lower case, and the weight of each (RFC 9110, 12.4.2)."""
    weights: dict[str, float] = {}
    for item in header[:MAX_CHARACTERS].lower().split(","):
        name, *parameters = (part.strip() for part in item.split(";"))
        text = next((parameter[2:] for parameter in parameters if parameter.startswith("q=")), "1")
        if name and text.strip(".") and WEIGHT.fullmatch(text):
            weights[name] = max(weights.get(name, 0.0), min(float(text), 1.0))
    return weights


def resolution() -> str | None:
    """How the client prefers a repeat to be resolved; None without such a preference."""
    header = request.environ.get("HTTP_PREFER")
    for item in parse_list_header(header[:MAX_CHARACTERS]) if header else ():
        found = PREFERENCE.fullmatch(item)
        if found and found[1].lower() == "resolution":
            # RFC 7240, 2: of several, the first one counts.
            value = (found[2] or found[3] or "").lower()
            return value if value in RESOLUTIONS else None
    return None


def applied(resolution: str | None) -> dict[str, str]:
    """The header that names the preference that was applied."""
    return {"Preference-Applied": f"resolution={resolution}"} if resolution else {}


def entity_tag(body: str) -> str:
    """The opaque tag of a body (RFC 9110, 8.8.3). It changes whenever the body changes."""
    return blake2b(body.encode(), digest_size=12).hexdigest()


def condition_holds(body: str) -> bool:
    """Whether the request accepts the state that has this body."""
    if "If-Match" in request.headers and entity_tag(body) not in request.if_match:
        return False
    # A GET with a matching If-None-Match gets 304 from `tagged`; any other method fails.
    return request.method in ("GET", "HEAD") or not _is_known(body)


def tagged(body: str, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON response with its entity tag; 304 without a body if the client has this state already."""
    is_known = request.method in ("GET", "HEAD") and _is_known(body)
    response = Response("" if is_known else body, 304 if is_known else status, headers, mimetype="application/json")
    response.headers["ETag"] = f'"{entity_tag(body)}"'
    return response


def _is_known(body: str) -> bool:
    return "If-None-Match" in request.headers and request.if_none_match.contains_weak(entity_tag(body))
