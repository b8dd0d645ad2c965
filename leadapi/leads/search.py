"""The text in which a lead is searched, and the words of a search, both in a form without case and accents."""

import re
import unicodedata
from collections.abc import Mapping
from typing import Any

from leadapi.leads.models import SEARCHED

# Between two fields, so that no word is found across them: a word of a search never contains it.
SEPARATOR = "\n"


def normalize(text: str) -> str:
    """The text in NFKD without nonspacing marks (the category Mn), case-folded. This makes ß to ss."""
    if text.isascii():
        return text.lower()
    decomposed = unicodedata.normalize("NFKD", text)
    # A text has few different characters, and looking up the category is the largest part of the work.
    marks = {letter for letter in set(decomposed) if unicodedata.category(letter) == "Mn"}
    if marks:
        decomposed = "".join([letter for letter in decomposed if letter not in marks])
    return decomposed.casefold()


def search_text(lead: Mapping[str, Any]) -> str:
    """The normalised fields of a lead.

    :param lead: fields of a lead; `attributes` as a mapping or None.
    """
    texts: list[str] = []
    for name in SEARCHED:
        value = lead.get(name)
        if isinstance(value, str):
            texts.append(value)
        elif value:
            texts += value.values()
    # PostgreSQL stores no NUL in a text, and no word of a search has one.
    return normalize(SEPARATOR.join(filter(None, texts)).replace("\0", SEPARATOR))


def patterns(text: str | None) -> dict[str, str]:
    """The words of a search as patterns of LIKE, by the names of their parameters in `queries`."""
    if text is None:
        return {}
    found: list[str] = []
    # The longest first, because few leads have it. A word that is part of another one asks for nothing more.
    for word in sorted(map(normalize, text.split()), key=len, reverse=True):
        if not any(word in other for other in found):
            found.append(word)
    return {f"word_{place}": f"%{_escape(word)}%" for place, word in enumerate(found)}


def _escape(word: str) -> str:
    return re.sub(r"([\\%_])", r"\\\1", word)
