"""Relative links in the documents lead to existing files and headings."""

import re
from pathlib import Path

import pytest

from servers import ROOT

PAGES = sorted(
    [
        ROOT / "README.md",
        ROOT / "tests/benchmarks/README.md",
        *(ROOT / "leadapi/guide").glob("*.md"),
        *(ROOT / ".github").rglob("*.md"),
    ]
)
LISTS = ["leadapi/guide/index.md", ".github/decisions/README.md"]


def text_of(page: Path) -> str:
    """The text of a page without its code."""
    return re.sub(r"^```.*?^```$|`[^`\n]*`", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)


def links(page: Path) -> list[str]:
    """The targets of the relative links on a page."""
    targets = re.findall(r"\]\(([^)\s]+)\)", text_of(page))
    return [target for target in targets if not re.match(r"https?://", target)]


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub makes from the headings of a page."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_link_leads_somewhere(page: Path) -> None:
    for target in links(page):
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), target
        assert not anchor or anchor in anchors(file), target


@pytest.mark.parametrize("name", LISTS)
def test_a_list_of_pages_is_complete(name: str) -> None:
    page = ROOT / name

    assert {path.name for path in page.parent.glob("*.md")} - {page.name} <= set(links(page))
