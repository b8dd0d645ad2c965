"""The header Idempotency-Key: an operation that may be asked for again without being done again.

As in draft-ietf-httpapi-idempotency-key-header.
"""

import re
from collections.abc import Callable
from functools import wraps
from typing import Any

import orjson
from flask import Flask, Response, current_app, request
from marshmallow import ValidationError
from werkzeug.datastructures import Headers

from leadapi import errors, logs
from leadapi.config import Settings
from leadapi.idempotency import service
from leadapi.idempotency.errors import KeyMalformed, RequestRunning
from leadapi.idempotency.service import Answer
from leadapi.keys.guard import caller

# A string of a structured field (RFC 8941), or its content alone; several headers are joined by commas.
PATTERN = r'^("([ !#-\[\]-~]|\\["\\]){1,255}"|[!#-+\--~][!-+\--~]{0,254})$'
KEY = {
    "in": "header",
    "name": "Idempotency-Key",
    "description": "Makes it safe to send a request again: for `IDEMPOTENCY_HOURS`, the same request with the same key"
    " gets the first answer and does nothing. Best a UUID, quoted or not.",
    # No example: /docs would send it with every lead.
    "schema": {"type": "string", "pattern": PATTERN},
}
REPLAYED = {
    "description": "`true` where this is the answer to an earlier request with the same `Idempotency-Key`.",
    "schema": {"const": "true"},
    "example": "true",
}

RUNNING = {"type": RequestRunning.type, "detail": str(RequestRunning())}

_given = re.compile(PATTERN)


def init_app(app: Flask, settings: Settings) -> None:
    """Say how long answers are kept."""
    app.config["IDEMPOTENCY_HOURS"] = settings.idempotency_hours


def once(view: Callable[..., Any]) -> Any:
    """Decorator of a view: a request with an Idempotency-Key is carried out once, and repeats get its answer.

    The decorator stands below the one that parses the request, so that nothing is kept of a request that is
    malformed. The view receives the transaction as the keyword `within` and takes part in it. The response that the
    view returns is kept, and so is a 409.
    """

    @wraps(view)
    def answer(self: Any, given: Any, *args: Any, **kwargs: Any) -> Any:
        header = request.environ.get("HTTP_IDEMPOTENCY_KEY")
        if header is None:
            return view(self, given, *args, **kwargs)
        told = service.answer_once(
            lambda tx: _first(lambda: view(self, given, *args, within=tx, **kwargs)),
            key=read_key(header),
            caller=caller().key_id,
            fingerprint=service.fingerprint(request.method.encode(), request.path.encode(), _canonical(given)),
            hours=current_app.config["IDEMPOTENCY_HOURS"],
        )
        response = Response(told.body, told.status, Headers([(name, value) for name, value in told.headers]))
        if told.replayed:
            logs.note(replayed=1)
            response.headers["Idempotent-Replayed"] = "true"
        return response

    answer.__dict__["_apidoc"] = {**getattr(view, "_apidoc", {}), "idempotent": True}
    return answer


def read_key(header: str) -> str:
    """The key; with quotes around it, it is the same one.

    :raises KeyMalformed: it is none.
    """
    text = header.strip(" \t")
    if not _given.fullmatch(text):
        raise KeyMalformed
    return re.sub(r"\\(.)", r"\1", text[1:-1]) if text.startswith('"') else text


def describe(doc: Any) -> None:
    """Add the header to the document of an operation, and what it can be answered because of it."""
    doc["parameters"] = [*doc.get("parameters", []), KEY]
    answers = doc["responses"]
    for answer in answers.values():
        # The others are names of components.
        if isinstance(answer, dict):
            answer["headers"] = {**answer.get("headers", {}), "Idempotent-Replayed": REPLAYED}
    answers |= {400: "BAD_REQUEST", 422: "UNPROCESSABLE_ENTITY"}
    answers[409] = "CONFLICT_OR_RUNNING" if 409 in answers else "RUNNING"


def _first(view: Callable[[], Response]) -> Answer:
    """What the view answers."""
    try:
        response = view()
    except Exception as exc:
        if errors.STATUS.get(type(exc)) != errors.CONFLICT:
            raise
        response = current_app.make_response(current_app.handle_user_exception(exc))
    body = response.get_data(as_text=True)
    headers = list(response.headers.items())
    return Answer(response.status_code, headers, body, _lead_ids(orjson.loads(body)) if response.is_json else ())


def _lead_ids(body: dict[str, Any]) -> list[int]:
    """Of the leads that an answer shows: it is one, or has one in some of its items, or has none."""
    shown = [item.get("lead", {}) for item in body["items"]] if "items" in body else [body]
    return [lead["id"] for lead in shown if "id" in lead]


def _canonical(given: Any) -> bytes:
    """What was asked for, in the same bytes whatever its spaces and the order of its fields."""
    return orjson.dumps(given, _plain, orjson.OPT_SORT_KEYS)


def _plain(value: Any) -> Any:
    if not isinstance(value, ValidationError):
        raise TypeError
    # An item that is invalid was asked for, too.
    try:
        return {"invalid": orjson.dumps(value.data, option=orjson.OPT_SORT_KEYS).decode()}
    except orjson.JSONEncodeError:
        # What nests deeper than orjson writes is read all the same. It is refused, whatever is in it.
        return {"invalid": None}
