"""The escape of CSV cells that a spreadsheet would run as formulas (OWASP, CSV Injection): an apostrophe."""

import re

# The fullwidth signs count for spreadsheets of East Asia.
FIRST = "=+-@\t＝＋－＠"  # noqa: RUF001  # fullwidth signs on purpose
# In many countries, spreadsheets separate cells by semicolons, whatever the file does. They then ignore quotation marks
# within a cell and begin a new cell at each semicolon and line break, perhaps with quotation marks.
# Some ignore spaces before a sign. Texts that look escaped are escaped, too, so that unescaping is the exact inverse.
_BEFORE = r"""(?:['"]|[^\S\r\n])*"""
_INNER = rf"{_BEFORE}[{re.escape(FIRST)}]"
_OUTER = rf"{_BEFORE}[{re.escape(FIRST)}\r\n]"
_escapes = re.compile(rf"\A(?={_OUTER})|(?<=[;\r\n])(?={_INNER})")
_escaped = re.compile(rf"\A'(?={_OUTER})|(?<=[;\r\n])'(?={_INNER})")
_first = frozenset("'\"" + FIRST)


def escape_formula(value: str) -> str:
    """The cell for a value, which no spreadsheet runs."""
    # These tests are cheap, and most values pass them.
    if value[:1] in _first or value[:1].isspace() or ";" in value or "\n" in value or "\r" in value:
        return _escapes.sub("'", value)
    return value


def unescape_formula(cell: str) -> str:
    """The value of a cell that may be escaped."""
    return _escaped.sub("", cell) if "'" in cell else cell
