"""The house rules that a machine can check."""

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
FEATURE_FILES = {
    *("__init__", "views", "schemas", "service", "models", "errors", "cli"),
    *("forms", "captures", "emails", "exports", "merging", "queries", "representations", "storing"),
    *("bulk", "checks", "columns", "files", "imports", "progress", "tables"),
    *("fields", "guard", "once", "releases", "ring", "stamps", "texts", "traps"),
}
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

# Which of ours a file of a feature may import, by the last part of its name.
LAYERS = {
    "once": {"callers", "config", "errors", "logs", "service"},
    "traps": {"callers", "config", "errors", "fields", "service", "stamps"},
    "stamps": set(),
    "views": {
        *("api", "callers", "conditions", "errors", "fields", "forms", "logs", "parsing", "preferences", "problems"),
        *("captures", "exports", "representations", "schemas", "service", "traps"),
    },
    "releases": {"captures", "database"},
    "captures": {"database", "locks", "emails", "errors", "merging", "queries", "representations", "service"},
    "schemas": {"errors", "fields", "forms"},
    "fields": {"emails", "errors", "fields"},
    "forms": {"errors", "fields"},
    "files": {"checks", "columns", "imports", "progress", "tables"},
    "imports": {"database", "bulk", "captures", "emails", "errors", "merging", "progress"},
    "bulk": {"database", "emails", "queries"},
    "progress": {"database", "models"},
    "checks": {"emails", "errors", "fields", "parsing", "schemas"},
    "columns": {"exports", "fields", "tables"},
    "tables": {"exports"},
    "exports": {"queries", "representations"},
    "cli": {
        *("commands", "database", "errors", "migrations", "models", "parsing", "ring", "service"),
        *("columns", "exports", "fields", "files", "imports", "progress", "releases", "schemas", "tables"),
    },
    "guard": {"config", "errors", "locks", "logs", "ring", "security", "service"},
    "ring": {"errors", "service", "texts"},
    "texts": set(),
    "service": {
        *("database", "driver", "emails", "errors", "merging", "models", "queries", "representations", "storing"),
        "texts",
    },
    "storing": {"database", "driver", "queries", "representations"},
    "representations": {"queries"},
    "merging": {"emails", "errors"},
    "queries": {"driver", "models"},
    "models": {"database"},
    "errors": set(),
    "emails": set(),
}
# What a file of a feature may import of another feature, by the last part of its name.
NEIGHBOURS = {
    "cli": {"errors", "service"},
    "views": {"once", "schemas", "service", "traps"},
    "releases": {"service"},
    "service": {"service"},
    "captures": {"service"},
    "storing": {"service"},
    "imports": {"service"},
    "bulk": {"service"},
}
# HTTP has no place below the views.
BELOW_HTTP = {
    *("service", "models", "errors", "captures", "merging", "queries", "representations", "storing"),
    *("bulk", "files", "imports", "progress", "releases", "stamps", "tables"),
}
HTTP = {"flask", "flask_smorest", "werkzeug", "marshmallow", "webargs"}


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


def features() -> list[Path]:
    """The folders with a service."""
    return sorted(path.parent for path in PACKAGE.glob("*/service.py"))


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


@pytest.mark.parametrize("feature", features(), ids=lambda path: path.name)
def test_a_feature_has_only_files_that_other_features_have(feature: Path) -> None:
    assert {path.stem for path in feature.glob("*.py")} <= FEATURE_FILES


@pytest.mark.parametrize("path", [path for feature in features() for path in feature.glob("*.py")], ids=relative)
def test_imports_go_one_way(path: Path) -> None:
    if path.stem == "__init__":
        return
    ours = [name.split(".") for name in imports(path) if name.startswith("leadapi.")]
    names = {feature.name for feature in features()}
    neighbours = {parts[2] for parts in ours if parts[1] in names - {path.parent.name}}
    # leadapi.leads.emails.email_key is the module emails; leadapi.database.db is the module database.
    reached = {
        parts[2] if parts[1] == path.parent.name else parts[1]
        for parts in ours
        if parts[1] not in names - {path.parent.name}
    }

    assert reached <= LAYERS[path.stem]
    assert neighbours <= NEIGHBOURS.get(path.stem, set())


@pytest.mark.parametrize(
    "path",
    [path for feature in features() for path in feature.glob("*.py") if path.stem in BELOW_HTTP],
    ids=relative,
)
def test_http_stays_above_the_service(path: Path) -> None:
    assert {name.partition(".")[0] for name in imports(path)} & HTTP == set()


@pytest.mark.parametrize("path", sorted(PACKAGE.glob("*/views.py")), ids=relative)
def test_a_view_is_one_docstring_line_and_one_call(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef) and node.name in ("get", "post", "put", "patch", "delete"):
            docstring, answer = node.body
            assert isinstance(docstring, ast.Expr)
            assert "\n" not in str(ast.get_docstring(node))
            assert isinstance(answer, ast.Return | ast.Expr)
        assert not isinstance(node, ast.If), f"an if in {path.name}, line {node.lineno}"


def test_only_the_settings_read_the_environment() -> None:
    readers = {relative(path) for path in MODULES if re.search(r"os\.environ|getenv|dotenv", path.read_text())}

    assert readers == {"leadapi/config.py"}


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
    served = {"docs", "api-docs"}
    routes = {
        (re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule), method.lower())
        for rule in app.url_map.iter_rules()
        if rule.endpoint.partition(".")[0] not in served
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }

    # Beside its operations, a path has the parameters that are in it.
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
        # What does not touch the database does not wait for it either.
        if path not in ("/health", "/forms/ts"):
            assert {"500", "503"} <= statuses, (path, method)


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_a_module_says_what_it_is_for_and_is_short(path: Path) -> None:
    text = path.read_text()

    assert len(text.splitlines()) <= 320
    if path.name != "wsgi.py":
        assert ast.get_docstring(ast.parse(text)), "the module does not say what it is for"


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_an_exception_from_a_rule_has_its_reason_beside_it(path: Path) -> None:
    if path.name == Path(__file__).name:
        return
    for line in path.read_text().splitlines():
        exception, *reason = re.split(r"# (?:noqa: [A-Z0-9, ]+|type: ignore\[[a-z-]+\]|pragma: no cover)", line)
        assert "# noqa" not in exception
        assert "# type: ignore" not in exception
        assert not reason or len(reason[0].strip(" #-")) > 5, line
        assert not re.search("T[O]DO|F[I]XME|X[X]X", line), line
