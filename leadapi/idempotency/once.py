"""The header Idempotency-Key: an operation that may be asked for again without being done again.

As in draft-ietf-httpapi-idempotency-key-header.
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
from leadapi.web import problems
from leadapi.web.openapi import Document, mark

_given = re.compile(PATTERN)


def init_app(app: Flask, settings: Settings, document: Document) -> None:
    """Set how long responses are kept, and describe the header."""
    app.config["IDEMPOTENCY_HOURS"] = settings.idempotency_hours
    openapi.describe(document)


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

    mark(answer, idempotent=True)
    return answer


def read_key(header: str) -> str:
    """The key; with quotes around it, it is the same one.

    :raises KeyMalformed: it is none.
    """
    text = header.strip(" \t")
    if not _given.fullmatch(text):
        raise KeyMalformed
    return re.sub(r"\\(.)", r"\1", text[1:-1]) if text.startswith('"') else text


def _first(view: Callable[[], Response]) -> Answer:
    """What the view answers."""
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
