"""Swagger UI at /docs, from files served here: it works with no internet."""

from pathlib import Path

import flask_swagger_ui
from flask import Blueprint, Flask, Response, redirect, render_template, send_from_directory, url_for
from werkzeug.wrappers import Response as WerkzeugResponse

from leadapi.web.headers import DOCS_POLICY

ASSETS = Path(flask_swagger_ui.__file__).with_name("dist")
PAGE_ASSETS = Path(__file__).parent.with_name("static")

blp = Blueprint("docs", __name__)


@blp.get("/")
def show_start() -> WerkzeugResponse:
    """Send whoever opens the bare address to the documentation."""
    return redirect(url_for("docs.show_docs"))


@blp.get("/docs")
def show_docs() -> tuple[str, dict[str, str]]:
    """The page."""
    return render_template("docs.html"), {"Content-Security-Policy": DOCS_POLICY}


@blp.get("/docs/start.js")
def show_start_script() -> Response:
    """What starts Swagger UI; a file of its own, so that a policy may forbid inline scripts."""
    return send_from_directory(PAGE_ASSETS, "docs.js", conditional=False)


@blp.get("/docs/assets/<path:name>")
def show_asset(name: str) -> Response:
    """A file of Swagger UI."""
    # Not conditional: Werkzeug fails on dates that no calendar has (OverflowError).
    return send_from_directory(ASSETS, name, max_age=86400, conditional=False)


def init_app(app: Flask) -> None:
    """Add the pages."""
    app.register_blueprint(blp)
