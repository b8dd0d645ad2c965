"""The escape of CSV cells that a spreadsheet would run as formulas (OWASP, CSV Injection): a leading apostrophe."""

import re

FIRST = "=+-@\t\r"
# A leading ' of the value itself is escaped, too, so that unescaping is the exact inverse.
_needs_escape = re.compile(rf"'*[{re.escape(FIRST)}]").match
_is_escaped = re.compile(rf"'+[{re.escape(FIRST)}]").match
_first = frozenset("'" + FIRST)


def may_be_formula(text: str) -> bool:
    """A cheap test that is true for every text that needs the escape."""
    return text[:1] in _first


def escape_formula(value: str) -> str:
    """The cell for a value, which no spreadsheet runs."""
    return f"'{value}" if _needs_escape(value) else value


def unescape_formula(cell: str) -> str:
    """The value of a cell that may be escaped."""
    return cell[1:] if _is_escaped(cell) else cell
