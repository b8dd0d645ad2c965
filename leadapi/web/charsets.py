"""The charsets that pages and clients declare (WHATWG Encoding Standard), and text in them."""

import re
from functools import cache

# Standard label -> Python codec. `codecs.lookup` is unsafe for labels from clients: it caches every label, and some of
# its codecs take quadratic time.
CODECS = {
    "utf-8": "utf-8",
    "utf8": "utf-8",
    # Browsers read these as windows-1252.
    **dict.fromkeys(["windows-1252", "cp1252", "iso-8859-1", "iso8859-1", "latin1", "ascii", "us-ascii"], "cp1252"),
    # Browsers read this one as windows-1254.
    "iso-8859-9": "cp1254",
    **{f"windows-{number}": f"cp{number}" for number in (1250, 1251, *range(1253, 1259))},
    **{f"iso-8859-{number}": f"iso8859-{number}" for number in (*range(2, 9), 10, 13, 14, 15, 16)},
    "windows-874": "cp874",
    "tis-620": "cp874",
    "ibm866": "cp866",
    "koi8-r": "koi8-r",
    "koi8-u": "koi8-u",
    "macintosh": "mac-roman",
    "gbk": "gb18030",
    "gb2312": "gb18030",
    "gb18030": "gb18030",
    "big5": "big5hkscs",
    "shift_jis": "cp932",
    "shift-jis": "cp932",
    "euc-jp": "euc-jp",
    "euc-kr": "cp949",
}
DEFAULT = "utf-8"
# The codecs in which a character can have several bytes.
SEVERAL_BYTES = (DEFAULT, "gb18030", "big5hkscs", "cp932", "euc-jp", "cp949")
# Browsers use this charset for pages that declare none.
FALLBACK = "cp1252"
# In one text. No field of a lead and no attribute can be as long.
MAX_REFERENCES = 10_000

# Browsers send characters outside the page's charset as decimal character references.
_reference = re.compile(r"&#([0-9]{3,7});")


def codec_of(label: str | None) -> str | None:
    """The codec of a declared charset; None for UTF-8 and unknown charsets, where `guess_codec` decides."""
    codec = CODECS.get((label or "").strip(" \"'").lower())
    return None if codec == DEFAULT else codec


def guess_codec(content: bytes) -> str:
    """UTF-8 if the bytes are valid UTF-8, otherwise `FALLBACK`."""
    try:
        content.decode(DEFAULT)
    except UnicodeDecodeError:
        return FALLBACK
    return DEFAULT


def decode(content: bytes, codec: str) -> str:
    """The text of a form field."""
    try:
        text = content.decode(codec)
    except UnicodeDecodeError:
        text = _replacing(content, codec)
    return text if codec == DEFAULT else _reference.sub(_referred, text, count=MAX_REFERENCES)


def _replacing(content: bytes, codec: str) -> str:
    if codec in SEVERAL_BYTES:
        return content.decode(codec, "replace")
    # In charsets with one byte per character, that takes 0.15 µs per invalid byte, and this takes 0.03 µs.
    return content.decode("latin-1").translate(_characters(codec))


@cache
def _characters(codec: str) -> str:
    """The character of each byte."""
    return bytes(range(256)).decode(codec, "replace")


def _referred(reference: re.Match[str]) -> str:
    number = int(reference[1])
    is_character = number <= 0x10FFFF and not 0xD800 <= number <= 0xDFFF
    return chr(number) if is_character else reference[0]
