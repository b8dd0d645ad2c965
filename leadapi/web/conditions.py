"""Conditional requests by entity tag (RFC 9110, 13)."""

from collections.abc import Mapping

from flask import Response, request

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


class Expected:
    """The tags for which the request's conditions hold."""

    def __contains__(self, tag: object) -> bool:
        text = str(tag)
        if "If-Match" in request.headers and text not in request.if_match:
            return False
        # A GET with a matching If-None-Match gets 304 from `tagged`; any other method fails.
        return request.method in ("GET", "HEAD") or not request.if_none_match.contains_weak(text)


def tagged(body: str, tag: str, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON response with its entity tag; 304 without a body where the client has this state already."""
    known = request.method in ("GET", "HEAD") and request.if_none_match.contains_weak(tag)
    response = Response("" if known else body, 304 if known else status, headers, mimetype="application/json")
    response.headers["ETag"] = f'"{tag}"'
    return response
