"""What clients would like: a preference (RFC 7240) that is not known, or makes no sense, is ignored."""

import re

from flask import request
from werkzeug.datastructures import MIMEAccept
from werkzeug.http import parse_list_header

PREFER = {
    "in": "header",
    "name": "Prefer",
    "description": "`resolution=merge-duplicates` or `resolution=ignore-duplicates`: what to do with a lead whose"
    " address is taken, instead of refusing it. In a merge, fields that are given and not null overwrite the lead's.",
    # No example: /docs would send it with every lead.
    "schema": {"type": "string"},
}
APPLIED = {
    "description": "The preference that was followed.",
    "schema": {"enum": ["resolution=merge-duplicates", "resolution=ignore-duplicates"]},
    "example": "resolution=merge-duplicates",
}

WORD = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
# No two runs of spaces stand side by side: where nothing fits, each way to share them out would be tried.
PREFERENCE = re.compile(rf'({WORD})[ \t]*(?:=[ \t]*(?:(?:({WORD})|"((?:[^"\\]|\\.)*)")[ \t]*)?)?(?:;.*)?', re.ASCII)
RESOLUTIONS = ("merge-duplicates", "ignore-duplicates")


def media_types() -> MIMEAccept:
    """Those that the client takes. Each is to be had in one form only, so their parameters say nothing."""
    return MIMEAccept([(name.partition(";")[0].strip(), quality) for name, quality in request.accept_mimetypes])


def resolution() -> str | None:
    """What the client would like to become of a repeat; None where it has no such wish."""
    for item in parse_list_header(request.headers.get("Prefer", "")):
        found = PREFERENCE.fullmatch(item)
        if found and found[1].lower() == "resolution":
            # Of several, the first one counts.
            wish = (found[2] or found[3] or "").lower()
            return wish if wish in RESOLUTIONS else None
    return None


def applied(resolution: str | None) -> dict[str, str]:
    """The header that says which wish was followed."""
    return {"Preference-Applied": f"resolution={resolution}"} if resolution else {}
