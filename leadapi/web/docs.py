"""Swagger UI at /docs, from local files, so that it works without internet."""

from pathlib import Path

import flask_swagger_ui
from flask import Blueprint, Flask, Response, redirect, render_template, request, send_from_directory
from werkzeug.wrappers import Response as WerkzeugResponse

from leadapi.web.headers import DOCS_POLICY

ASSETS = Path(flask_swagger_ui.__file__).with_name("dist")
PAGE_ASSETS = Path(__file__).parent.with_name("static")

blp = Blueprint("docs", __name__)


@blp.get("/")
def show_start() -> WerkzeugResponse:
    """Redirect / to the documentation."""
    # Relative, because a proxy may have removed a prefix. With a prefix of our own, the URL may lack its slash.
    return redirect(f"{request.script_root}/docs" if request.script_root else "docs")


@blp.get("/docs")
def show_docs() -> tuple[str, dict[str, str]]:
    """The page of Swagger UI. All its links are relative to this path."""
    return render_template("docs.html"), {"Content-Security-Policy": DOCS_POLICY}


@blp.get("/docs/")
def leave_folder() -> WerkzeugResponse:
    """Redirect /docs/ to the page."""
    return redirect("../docs")


@blp.get("/docs/start.js")
def show_start_script() -> Response:
    """The script that starts Swagger UI. It is a file, because the policy forbids inline scripts."""
    return send_from_directory(PAGE_ASSETS, "docs.js", conditional=False)


@blp.get("/docs/style.css")
def show_style() -> Response:
    """What Swagger UI's style lacks."""
    return send_from_directory(PAGE_ASSETS, "docs.css", conditional=False)


@blp.get("/docs/assets/<path:name>")
def show_asset(name: str) -> Response:
    """A file of Swagger UI."""
    # Not conditional: Werkzeug raises OverflowError on dates out of range.
    return send_from_directory(ASSETS, name, max_age=86400, conditional=False)


def init_app(app: Flask) -> None:
    """Register the pages."""
    app.register_blueprint(blp)
