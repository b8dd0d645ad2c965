"""Answers to people who sent a form: a small page, or a redirect to the page that the form asks for."""

import base64
import hashlib
import tomllib
from collections.abc import Collection
from http import HTTPStatus
from pathlib import Path
from typing import Any

import orjson
from flask import Flask, Response, current_app, render_template, request
from markupsafe import Markup

from leadapi.config import Settings
from leadapi.web import forms
from leadapi.web.negotiation import best_language

# Where forms are sent. At other addresses a form is a body of a wrong content type.
PATH = "/leads"
# Pages keep this header: a client that sends an Idempotency-Key with a form reads it.
REPLAYED = "Idempotent-Replayed"
DEFAULT_LANGUAGE = "en"
# Responses are data. If a browser renders one as a page, nothing in it may load or run.
POLICY = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"


def init_app(app: Flask, settings: Settings) -> None:
    """Read the texts of the pages."""
    folder = Path(app.root_path, app.template_folder or "")
    app.extensions["pages"] = Pages(folder, settings.redirect_urls)


def answer(response: Response) -> Response:
    """The response for the sender of a form: a page or a redirect for a person, the response itself for a program."""
    if request.path != PATH or not forms.is_from_visitor():
        return response
    pages: Pages = current_app.extensions["pages"]
    if response.status_code >= HTTPStatus.BAD_REQUEST:
        return pages.refuse(response)
    # Other headers would tell whether the visitor has been here before; so would the status 201. The response stays
    # the same object, because hooks may wait for its end.
    replayed = response.headers.get(REPLAYED)
    response.headers.clear()
    if replayed:
        response.headers[REPLAYED] = replayed
    url = forms.next_page()
    if url in pages.redirect_urls:
        response.status_code = HTTPStatus.SEE_OTHER
        response.headers["Location"] = str(url)
        response.set_data(b"")
        return response
    return pages.thank(response)


class Pages:
    """The pages, in the language of the visitor.

    :param folder: has their texts and their style.
    :param redirect_urls: where a form may ask to send its visitor.
    """

    def __init__(self, folder: Path, redirect_urls: Collection[str]) -> None:
        self.redirect_urls = redirect_urls
        self._texts: dict[str, dict[str, Any]] = tomllib.loads((folder / "texts.toml").read_text("utf-8"))
        self._style = (folder / "page.css").read_text("utf-8")
        digest = base64.b64encode(hashlib.sha256(self._style.encode()).digest()).decode()
        # A style in the page, because a file would need an address that all proxies pass on.
        self._policy = f"{POLICY}; style-src 'sha256-{digest}'"

    def thank(self, response: Response) -> Response:
        """The page for a form that was accepted."""
        response.status_code = HTTPStatus.OK
        return self._show(response, "thanks.html")

    def refuse(self, response: Response) -> Response:
        """The page for an error, with the error's status and headers."""
        problem = orjson.loads(response.get_data())
        texts = self._texts[self._language()]
        # The body as a whole is nothing that a visitor filled in.
        errors = {name: messages for name, messages in problem.get("errors", {}).items() if name != "body"}
        hints = {_label(texts, name): _hint(texts, name, messages) for name, messages in errors.items()}
        reason = texts[_reason(response.status_code, hints)].format(seconds=response.headers.get("Retry-After"))
        return self._show(response, "refused.html", reason=reason, hints=hints, detail=problem["detail"])

    def _show(self, response: Response, template: str, **values: Any) -> Response:
        language = self._language()
        page = render_template(
            template,
            language=language,
            texts=self._texts[language],
            # The style is not from a visitor.
            style=Markup(self._style),  # noqa: S704  # see above
            **values,
        )
        response.set_data(page)
        response.mimetype = "text/html"
        response.headers["Content-Security-Policy"] = self._policy
        return response

    def _language(self) -> str:
        return best_language(self._texts, DEFAULT_LANGUAGE)


def _reason(status: int, hints: dict[str, str]) -> str:
    """The name of the sentence that says why a form was refused."""
    if hints:
        return "correct"
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return "later"
    named = {HTTPStatus.TOO_MANY_REQUESTS: "wait", HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "too_large"}
    return named.get(HTTPStatus(status), "broken")


def _label(texts: dict[str, Any], name: str) -> str:
    """The name of a field in words: that of a lead's field in the visitor's language, others as the form has them."""
    words = " ".join(name.replace("_", " ").replace("-", " ").split())
    label: str = texts["labels"].get(name) or words[:1].upper() + words[1:]
    return label


def _hint(texts: dict[str, Any], name: str, messages: list[str]) -> str:
    """What the visitor can do about a field."""
    default = "files" if messages == [forms.FILES_REFUSED] else "other"
    hint: str = texts["hints"].get(name) or texts["hints"][default]
    return hint
