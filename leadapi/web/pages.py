"""Answers to people who sent a form: a small page, or the one that the form asks for."""

from http import HTTPStatus

import orjson
from flask import Flask, Response, render_template, request

from leadapi.config import Settings
from leadapi.web import forms

# Where forms are sent to. Elsewhere, a form is only a body of a wrong type.
DOOR = "/leads"
# Whoever sends an Idempotency-Key with a form wants to know.
REPLAYED = "Idempotent-Replayed"


def init_app(app: Flask, settings: Settings) -> None:
    """Answer visitors in HTML. Nothing is different for programs."""

    def answer(response: Response) -> Response:
        if request.path != DOOR or not forms.is_from_visitor():
            return response
        if response.status_code >= HTTPStatus.BAD_REQUEST:
            return _explain(response)
        # Of what a program is told beside the lead, only this is no secret about the visitor.
        kept = {name: value for name, value in response.headers if name == REPLAYED}
        wish = forms.next_page()
        if wish in settings.redirect_urls:
            return Response(status=HTTPStatus.SEE_OTHER, headers={**kept, "Location": wish})
        # Not 201: whether a visitor has been here before is nobody's business.
        return Response(render_template("thanks.html"), headers=kept, mimetype="text/html")

    app.after_request(answer)


def _explain(response: Response) -> Response:
    """The same error for people, with its status and its headers."""
    problem = orjson.loads(response.get_data())
    errors = {name.removeprefix("attributes."): texts for name, texts in problem.get("errors", {}).items()}
    response.set_data(render_template("refused.html", detail=problem["detail"], errors=errors))
    response.mimetype = "text/html"
    return response
