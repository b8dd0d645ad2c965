"""Every package that the code or the tests import is pinned, so that a commit always installs the same versions."""

import ast
import re
from importlib.metadata import PackageNotFoundError, packages_distributions, requires, version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from servers import ROOT

FILES = [ROOT / "requirements.txt", ROOT / "tests/requirements.txt"]


def pins(path: Path) -> dict[str, Requirement]:
    """The requirements in a file, by canonical name."""
    lines = (line.partition("#")[0].strip() for line in path.read_text().splitlines())
    found = [Requirement(line) for line in lines if line and not line.startswith("-r")]
    return {canonicalize_name(requirement.name): requirement for requirement in found}


def all_pins() -> dict[str, Requirement]:
    return {name: requirement for path in FILES for name, requirement in pins(path).items()}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_version_is_exact(path: Path) -> None:
    for requirement in pins(path).values():
        assert re.fullmatch(r"==[0-9][0-9a-z.]*", str(requirement.specifier)), requirement


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_everything_that_is_needed_is_pinned(path: Path) -> None:
    known = pins(FILES[0]) | pins(path)
    for name, requirement in pins(path).items():
        try:
            needs = [Requirement(need) for need in requires(name) or []]
        except PackageNotFoundError:
            continue
        for need in needs:
            wanted = need.marker is None or any(
                need.marker.evaluate({"extra": extra}) for extra in ("", *requirement.extras)
            )
            assert not wanted or canonicalize_name(need.name) in known, f"{need} is needed by {requirement}"


def test_the_installed_versions_are_the_pinned_ones() -> None:
    for name, requirement in all_pins().items():
        try:
            installed = version(name)
        except PackageNotFoundError:
            continue
        assert requirement.specifier.contains(installed), f"{name} is {installed}; install {requirement}"


def test_the_tests_requirements_start_with_the_service_s() -> None:
    lines = [line for line in FILES[1].read_text().splitlines() if line and not line.startswith("#")]

    assert lines[0] == "-r ../requirements.txt"


@pytest.mark.parametrize(("code", "path"), [("leadapi", FILES[0]), ("tests", FILES[1])], ids=["leadapi", "tests"])
def test_everything_that_is_imported_is_pinned(code: str, path: Path) -> None:
    found = packages_distributions()
    known = pins(FILES[0]) | pins(path)
    trees = [ast.parse(file.read_text()) for file in (ROOT / code).rglob("*.py")]
    imported = {
        module.partition(".")[0]
        for node in (node for tree in trees for node in ast.walk(tree))
        for module in _modules(node)
    }
    for module in imported & set(found):
        assert any(canonicalize_name(name) in known for name in found[module]), f"{module} is imported, not pinned"


def _modules(node: ast.AST) -> list[str]:
    if isinstance(node, ast.ImportFrom) and not node.level:
        return [str(node.module)]
    return [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
