"""Converts HTML forms into the JSON bodies of new leads.

A form is refused only for errors that its visitor can see and correct. Hidden fields, scripts and browser extensions
add fields of their own, so names and values beyond the limits of a lead are cut or left out.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from leadapi.leads import aliases
from leadapi.leads.errors import MAX_ATTRIBUTES, MAX_ATTRIBUTES_BYTES
from leadapi.leads.fields import Attributes
from leadapi.leads.models import SENT
from leadapi.web.fields import CONTROL, INVISIBLE, SELECTORS, SPACES, STAMP_FIELD, TAGS, TRAP_FIELD, TRAP_FIELDS

FIELDS = tuple(name for name in SENT if name != "attributes")
MAX_SOURCE_LENGTH = 100

# Of the text for the history, in bytes.
MAX_LEFT_OUT = 64 * 1024

# The tokens of captcha widgets: g-recaptcha-response, h-captcha-response, cf-turnstile-response, altcha, cap-token,
# smart-token (Yandex), fc-token (Arkose), geetest_challenge …
_captcha = re.compile(r"captcha|turnstile-response|^altcha$|^(cap|smart|fc)-token$|^geetest_", re.IGNORECASE)
_control = re.compile(rf"[{CONTROL}]")
# Office programs end lines with VT and FF, old Macs with CR, and mainframes with NEL.
_to_lines = {code: "\n" if code in (0x0B, 0x0C, 0x0D, 0x85) else " " for code in (*range(0x20), *range(0x7F, 0xA0))}
_to_lines |= {ord("\t"): "\t", ord("\n"): "\n"}
_to_spaces = dict.fromkeys(_to_lines, " ")
# Invisible characters have no meaning in an address, except the two joiners, which some domain names use.
_invisible = re.compile(rf"(?![\u200c\u200d])[{INVISIBLE}{SELECTORS}{TAGS}]")

# The name of a field in the form, and its text, which is not blank.
Entry = tuple[str, str]


def to_body(form: Mapping[str, list[str]]) -> tuple[dict[str, Any], dict[str, str]]:
    """The JSON body for a form, and the full text of each field that was cut or left out.

    The full texts are for the history of the lead. They have the names of the form, and at most MAX_LEFT_OUT bytes
    in all.
    """
    entries, rest = _entries(form)
    body: dict[str, Any] = {}
    cut: list[Entry] = []
    for field in FIELDS:
        # The exact name of the field takes precedence over its aliases; among equals, the first entry wins.
        found = sorted(entries.get(field, []), key=lambda entry: entry[0] != field)
        if found:
            text = body[field] = found[0][1]
            rest += [entry for entry in found if entry[0] != field and entry[1] != text]
            cut += [entry for entry in found if entry[0] == field and entry[1] != text]
    if len(body.get("source", "")) > MAX_SOURCE_LENGTH:
        cut.append(("source", body["source"]))
        body["source"] = body["source"][:MAX_SOURCE_LENGTH]
    attributes, cut_attributes = _attributes(_joined(rest))
    if attributes:
        body["attributes"] = attributes
    return body | _for_traps(form), _bounded(_joined(cut + cut_attributes))


def _entries(form: Mapping[str, list[str]]) -> tuple[dict[str, list[Entry]], list[Entry]]:
    """The entries by field of a lead, and the entries that match no field."""
    entries: dict[str, list[Entry]] = {}
    rest: list[Entry] = []
    for name, texts in form.items():
        if name in TRAP_FIELDS or _captcha.search(name[:100]):
            continue
        field = name if name in FIELDS else aliases.field_of(name)
        found = rest if field is None else entries.setdefault(field, [])
        found += [(name, text) for text in (_clean(field, text) for text in texts) if text.strip(SPACES)]
    return entries, rest + _join_name(entries)


def _clean(field: str | None, text: str) -> str:
    """The text without control characters; an address also without invisible characters."""
    if _control.search(text):
        text = text.translate(_to_lines if field in (None, "message") else _to_spaces)
    return _invisible.sub("", text) if field == "email" else text


def _join_name(entries: dict[str, list[Entry]]) -> list[Entry]:
    """Join the parts of a name into `full_name` if the form has no full name; return the unused entries."""
    first, name, last = (entries.pop(part, []) for part in (aliases.FIRST_NAME, aliases.NAME, aliases.LAST_NAME))
    if entries.get("full_name") or not (first or name or last):
        return first + name + last
    texts = [part[0][1] if part else "" for part in (first, name, last)]
    words = [set(text.casefold().split()) for text in texts]
    if name and words[0] | words[2] <= words[1]:
        # The field "name" holds the full name: "Ada Doe" next to "Ada" and "Doe".
        used, unused = texts[1:2], first + last
    elif first and last:
        used, unused = texts[::2], name
    else:
        used, unused = texts, []
    entries["full_name"] = [("full_name", " ".join(filter(None, used)))]
    return unused


def _joined(entries: Iterable[Entry]) -> dict[str, str]:
    """The texts by name. Checkboxes of one group share a name, so their texts are joined."""
    texts: dict[str, list[str]] = {}
    for name, text in entries:
        texts.setdefault(name, []).append(text)
    return {name: ", ".join(each) for name, each in texts.items()}


def _attributes(texts: Mapping[str, str]) -> tuple[dict[str, str], list[Entry]]:
    """The attributes within the limits of a lead, and the entries that were cut or left out."""
    attributes: dict[str, str] = {}
    cut: list[Entry] = []
    room = MAX_ATTRIBUTES_BYTES
    for name, text in texts.items():
        kept_name = name[: Attributes.longest_name].translate(_to_spaces).strip(SPACES)
        kept_text = text[: Attributes.longest]
        size = len(orjson.dumps({kept_name: kept_text}))
        fits = size <= room and len(attributes) < MAX_ATTRIBUTES and kept_name and kept_name not in attributes
        if fits:
            attributes[kept_name] = kept_text
            room -= size
        if not fits or len(name) > Attributes.longest_name or text != kept_text:
            cut.append((name, text))
    return attributes, cut


def _bounded(texts: Mapping[str, str]) -> dict[str, str]:
    """The texts, cut to MAX_LEFT_OUT in all."""
    bounded: dict[str, str] = {}
    room = MAX_LEFT_OUT
    for name, text in texts.items():
        room -= len(name.encode())
        if room > 0:
            bounded[name] = text.encode()[:room].decode(errors="ignore")
            room -= len(bounded[name].encode())
    return bounded


def _for_traps(form: Mapping[str, list[str]]) -> dict[str, str]:
    """The fields of the spam traps. Bad values cause no error, because a visitor cannot see and correct them."""
    filled = "".join(form.get(TRAP_FIELD, ()))
    stamps = form.get(STAMP_FIELD, ())
    # Several stamps are ambiguous, so none of them counts.
    return ({TRAP_FIELD: filled} if filled else {}) | ({STAMP_FIELD: stamps[0]} if len(stamps) == 1 else {})
