"""Content negotiation and the header Prefer (RFC 7240). Unknown and malformed preferences are ignored."""

import re

from flask import request
from werkzeug.datastructures import MIMEAccept
from werkzeug.http import parse_list_header

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
# No two runs of spaces are adjacent: on a mismatch, the regex would try every way to divide the spaces.
PREFERENCE = re.compile(rf'({WORD})[ \t]*(?:=[ \t]*(?:(?:({WORD})|"((?:[^"\\]|\\.)*)")[ \t]*)?)?(?:;.*)?', re.ASCII)
RESOLUTIONS = ("merge-duplicates", "ignore-duplicates")


def media_types() -> MIMEAccept:
    """The media types that the client accepts, without parameters, which distinguish nothing here."""
    return MIMEAccept([(name.partition(";")[0].strip(), quality) for name, quality in request.accept_mimetypes])


def resolution() -> str | None:
    """How the client prefers a repeat to be treated; None without a preference."""
    for item in parse_list_header(request.headers.get("Prefer", "")):
        found = PREFERENCE.fullmatch(item)
        if found and found[1].lower() == "resolution":
            # The first of several applies.
            value = (found[2] or found[3] or "").lower()
            return value if value in RESOLUTIONS else None
    return None


def applied(resolution: str | None) -> dict[str, str]:
    """The response header that names the applied preference."""
    return {"Preference-Applied": f"resolution={resolution}"} if resolution else {}
