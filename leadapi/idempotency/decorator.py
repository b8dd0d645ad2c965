"""The decorator for views that accept the header Idempotency-Key.

It implements draft-ietf-httpapi-idempotency-key-header.
"""

import re
from collections.abc import Callable
from functools import wraps
from http import HTTPStatus
from typing import Any

import orjson
from flask import Flask, Response, current_app, request
from marshmallow import ValidationError
from werkzeug.datastructures import Headers

from leadapi import logs
from leadapi.config import Settings
from leadapi.idempotency import openapi, service
from leadapi.idempotency.errors import KeyMalformed
from leadapi.idempotency.openapi import PATTERN
from leadapi.idempotency.service import Answer
from leadapi.keys.guard import caller
from leadapi.web import forms, problems
from leadapi.web.openapi import Document, mark

_given = re.compile(PATTERN)


def init_app(app: Flask, settings: Settings, document: Document) -> None:
    """Set how long responses are kept, and describe the header."""
    app.config["IDEMPOTENCY_HOURS"] = settings.idempotency_hours
    openapi.describe(document)


def idempotent(view: Callable[..., Any]) -> Any:
    """Decorator of a view: a request with an Idempotency-Key is carried out once, and repeats get its answer.

    It belongs below the decorator that parses the request, so that responses to malformed requests are not stored.
    The view receives the transaction as the keyword argument `within` and writes in it. The response that the view
    returns is stored, and so is a 409; any other error rolls back the transaction and leaves the key unused.
    """

    @wraps(view)
    def answer(self: Any, given: Any, *args: Any, **kwargs: Any) -> Any:
        header = request.environ.get("HTTP_IDEMPOTENCY_KEY")
        if header is None:
            return view(self, given, *args, **kwargs)
        stored = service.answer_once(
            lambda tx: _first(lambda: view(self, given, *args, within=tx, **kwargs)),
            key=read_key(header),
            caller=caller().key_id,
            fingerprint=service.fingerprint(request.method.encode(), request.path.encode(), *_canonical(given)),
            hours=current_app.config["IDEMPOTENCY_HOURS"],
        )
        response = Response(stored.body, stored.status, Headers([(name, value) for name, value in stored.headers]))
        if stored.replayed:
            logs.note(replayed=1)
            response.headers["Idempotent-Replayed"] = "true"
        return response

    mark(answer, idempotent=True)
    return answer


def read_key(header: str) -> str:
    """The key in the header. The quoted and the unquoted form denote the same key.

    :raises KeyMalformed: the header is not a valid key.
    """
    text = header.strip(" \t")
    if not _given.fullmatch(text):
        raise KeyMalformed
    return re.sub(r"\\(.)", r"\1", text[1:-1]) if text.startswith('"') else text


def _first(view: Callable[[], Response]) -> Answer:
    """Run the view for the first request with a key; a 409 counts as its answer."""
    try:
        response = view()
    except Exception as exc:
        if problems.status_of(exc) != HTTPStatus.CONFLICT:
            raise
        response = current_app.make_response(current_app.handle_user_exception(exc))
    body = response.get_data(as_text=True)
    headers = list(response.headers.items())
    return Answer(response.status_code, headers, body, _lead_ids(orjson.loads(body)) if response.is_json else ())


def _lead_ids(body: dict[str, Any]) -> list[int]:
    """The ids of the leads in an answer, which is a single lead, a list of items with or without a lead, or neither."""
    shown = [item.get("lead", {}) for item in body["items"]] if "items" in body else [body]
    return [lead["id"] for lead in shown if "id" in lead]


def _canonical(given: Any) -> list[bytes]:
    """The content of the request for its fingerprint, independent of white space and of the order of fields."""
    content = [given, forms.left_out()] if forms.left_out() else [given]
    return [orjson.dumps(part, _plain, orjson.OPT_SORT_KEYS) for part in content]


def _plain(value: Any) -> Any:
    if not isinstance(value, ValidationError):
        raise TypeError
    # Invalid items are part of the fingerprint, too.
    try:
        return {"invalid": orjson.dumps(value.data, option=orjson.OPT_SORT_KEYS).decode()}
    except orjson.JSONEncodeError:
        # orjson reads deeper nesting than it writes. Such an item is always refused, so its content does not matter.
        return {"invalid": None}
