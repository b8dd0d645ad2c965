"""Rules of the house that can be checked automatically."""

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import MakeApp
from servers import ROOT

PACKAGE = ROOT / "leadapi"
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if "versions" not in path.parts)
SOURCES = sorted([*PACKAGE.rglob("*.py"), *(ROOT / "tests").rglob("*.py"), ROOT / "wsgi.py"])
TOP_LEVEL = {
    "leadapi",
    "tests",
    "wsgi.py",
    "Dockerfile",
    "docker-compose.yml",
    "requirements.txt",
    ".env.example",
    "README.md",
}

# A folder or module of the package may import from its own layer and from lower ones. Folders that are not named here
# are features.
LAYERS = [
    {"__init__", "errors", "gunicorn", "health"},
    {"inbox"},
    {"<feature>"},
    {"limits", "server", "web"},
    {"storage"},
    {"config", "config_fields", "config_retention", "config_sources", "logs"},
]
FEATURES = LAYERS.index({"<feature>"})
# Features may import these modules of other features.
SHOWN = {"errors", "schemas", "service"}
# Views may also import these modules of other features: decorators, and values of the request.
SHOWN_TO_VIEWS = SHOWN | {"guard", "decorator", "traps"}
# These modules of a feature do not know HTTP.
HTTP = {"flask", "flask_smorest", "werkzeug", "marshmallow", "webargs"}
WITHOUT_HTTP = {"service", "models", "errors", "queries"}


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


def imports(path: Path) -> Iterator[str]:
    """The dotted names of everything a module imports."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_the_visible_top_level_is_the_promised_one() -> None:
    tracked = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if tracked.returncode != 0:
        pytest.skip("this is no git checkout, so what belongs to the project cannot be told")
    names = {line.partition("/")[0] for line in tracked.stdout.splitlines()}

    assert {name for name in names if not name.startswith(".")} | {".env.example"} == TOP_LEVEL
    assert ".env.example" in names


def layer(part: str) -> int:
    """The number of the layer that a folder or module of the package is in; 0 is the top."""
    return next((number for number, parts in enumerate(LAYERS) if part in parts), FEATURES)


def test_imports_go_down() -> None:
    for path in MODULES:
        own = path.relative_to(PACKAGE).with_suffix("").parts
        for name in imports(path):
            if not name.startswith("leadapi."):
                continue
            other = name.split(".")[1:]
            if other[0] == own[0] or (path.name == "env.py" and other[0] == "storage"):
                continue
            assert layer(own[0]) <= layer(other[0]), f"{name} is above {relative(path)}"
            if layer(own[0]) == layer(other[0]) == FEATURES:
                shown = SHOWN_TO_VIEWS if own[1] in ("decorator", "traps", "views") else SHOWN
                assert other[1] in shown, f"{relative(path)} imports {name}"


def test_no_two_folders_import_each_other() -> None:
    reached: dict[str, set[str]] = {}
    for path in MODULES:
        own = path.relative_to(PACKAGE).with_suffix("").parts[0]
        if own in LAYERS[0]:
            continue
        for name in imports(path):
            package, *other = name.split(".")
            if package == "leadapi":
                reached.setdefault(own, set()).add(other[0])

    for own, others in reached.items():
        assert not [other for other in others - {own} if own in reached.get(other, ())], own


def test_the_inbox_uses_services_and_has_no_sql_but_for_its_sessions() -> None:
    for path in sorted((PACKAGE / "inbox").glob("*.py")):
        names = set(imports(path))
        assert not [name for name in names if set(name.split(".")[2:-1]) & {"models", "queries", "views"}] or (
            path.stem == "sessions"
        ), relative(path)
        if path.stem not in ("models", "sessions"):
            assert not [name for name in names if name.startswith(("sqlalchemy", "leadapi.storage."))], relative(path)


def test_http_stays_above_the_service() -> None:
    for path in MODULES:
        if path.stem in WITHOUT_HTTP and path.parent != PACKAGE:
            assert {name.partition(".")[0] for name in imports(path)} & HTTP == set(), relative(path)


def test_only_the_settings_read_the_environment() -> None:
    readers = {relative(path) for path in MODULES if re.search(r"os\.environ|getenv|dotenv", path.read_text())}

    assert readers == {"leadapi/config.py", "leadapi/config_sources.py"}


@pytest.mark.slow
def test_importing_a_module_does_nothing(tmp_path: Path) -> None:
    names = [
        ".".join(path.with_suffix("").relative_to(ROOT).parts).removesuffix(".__init__")
        for path in MODULES
        if path.name not in ("gunicorn.py", "env.py")
    ]
    program = f"""
import importlib, logging, os, threading
os.environ.clear()
for name in {names}: importlib.import_module(name)
assert threading.active_count() == 1
assert logging.getLogger().handlers == []
"""
    result = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    assert list(tmp_path.iterdir()) == []


def test_every_operation_says_all_it_can_answer(make_app: MakeApp) -> None:
    app = make_app(DATABASE_URL="sqlite://")
    document = app.test_client().get("/openapi.json").json
    assert document is not None
    # The pages for people are in no document.
    served = {"docs", "api-docs", "inbox"}
    routes = {
        (re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule), method.lower())
        for rule in app.url_map.iter_rules()
        if rule.endpoint.partition(".")[0] not in served
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }

    # The entry of a path contains its parameters beside its operations.
    described = {
        (path, method): operation
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
        if method != "parameters"
    }
    assert routes == described.keys()
    for (path, method), operation in described.items():
        statuses = set(operation["responses"])
        assert "default" not in statuses
        if "requestBody" in operation:
            assert {"400", "413", "415", "422"} <= statuses, (path, method)
        if "parameters" in operation:
            assert "422" in statuses, (path, method)
        if "{" in path:
            assert "404" in statuses, (path, method)
        # These two do not use the database.
        if path not in ("/health", "/forms/ts"):
            assert {"500", "503"} <= statuses, (path, method)


def test_a_module_has_a_docstring_and_is_short() -> None:
    for path in SOURCES:
        text = path.read_text()
        assert len(text.splitlines()) <= 320, relative(path)
        assert path.name == "wsgi.py" or ast.get_docstring(ast.parse(text)), relative(path)


def test_an_exception_from_a_rule_has_its_reason_beside_it() -> None:
    lines = [
        (relative(path), line)
        for path in SOURCES
        if path.name != Path(__file__).name
        for line in path.read_text().splitlines()
    ]

    for path, line in lines:
        exception, *reason = re.split(r"# (?:noqa: [A-Z0-9, ]+|type: ignore\[[a-z-]+\]|pragma: no cover)", line)
        assert "# noqa" not in exception, (path, line)
        assert "# type: ignore" not in exception, (path, line)
        assert not reason or len(reason[0].strip(" #-")) > 5, (path, line)
        assert not re.search("T[O]DO|F[I]XME|X[X]X", line), (path, line)


def test_a_start_loads_nothing_that_it_does_not_need_and_leaves_the_collection_of_garbage_on(tmp_path: Path) -> None:
    program = (
        "import gc, sys, wsgi\n"
        "print(sorted({'apprise', 'psycopg', 'redis', 'requests'} & sys.modules.keys()))\n"
        "print(gc.isenabled(), gc.get_freeze_count() > 10_000)"
    )
    result = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"], "LOG_LEVEL": "ERROR", "DATABASE_URL": "sqlite://"},
        capture_output=True,
        text=True,
        check=True,
    )

    assert result.stdout == "[]\nTrue True\n"
