"""Email addresses: what is accepted, how it is shown, and when two are the same."""

import re
import unicodedata
from functools import lru_cache

import email_validator
from email_validator import EmailNotValidError
from email_validator.rfc_constants import CASE_INSENSITIVE_MAILBOX_NAMES

MAX_LENGTH = 254

_atoms = re.compile(r"[A-Za-z0-9_+-]+(?:\.[A-Za-z0-9_+-]+)*").fullmatch


class InvalidEmail(ValueError):
    """This is not an email address one could write to."""


def normalize_email(text: str) -> str:
    """The address in the form it is shown: domain in lower case and Unicode, local part in NFC.

    No DNS look-up is made.

    :raises InvalidEmail: it is not an address (RFC 5321, RFC 6531), or is longer than 254 characters.
    """
    # Checked first: the validator's work grows with the text.
    if len(text) > MAX_LENGTH:
        raise InvalidEmail(text)
    return _normalize_shortly(text) or _normalize_thoroughly(text)


def _normalize_shortly(text: str) -> str | None:
    """The same for nearly every address; None where it cannot tell. The library takes ten times as long."""
    local, _, domain = text.rpartition("@")
    # Of the last, the library writes some in lower case.
    if not _atoms(local) or local.lower() in CASE_INSENSITIVE_MAILBOX_NAMES:
        return None
    shown = _domain(domain)
    return shown and f"{local}@{shown}"


@lru_cache(2**14)
def _domain(domain: str) -> str | None:
    """A domain as it is shown, where only its letter case may have to change, so that it gets no longer."""
    try:
        shown = _normalize_thoroughly(f"x@{domain}").removeprefix("x@")
    except InvalidEmail:
        return None
    return shown if shown == domain.lower() else None


def _normalize_thoroughly(text: str) -> str:
    try:
        # What is longer in the form it is shown is refused here, too.
        return email_validator.validate_email(text, check_deliverability=False).normalized
    except EmailNotValidError as exc:
        raise InvalidEmail(text) from exc


def email_key(address: str) -> str:
    """What all spellings of one address have in common.

    Spellings that differ only in letter case, Unicode form or the encoding of the domain (IDNA)
    have the same key. Everything else, such as dots or a +tag, makes another address.

    :param address: an address as `normalize_email` returns it.
    """
    if address.isascii():
        return address.lower()
    local, _, domain = address.rpartition("@")
    ascii_domain = email_validator.validate_email(f"x@{domain}", check_deliverability=False).ascii_domain
    # Folding can undo the normal form and the reverse, hence twice: The Unicode Standard, 3.13, D146.
    folded = _fold(_fold(unicodedata.normalize("NFD", local)))
    return f"{unicodedata.normalize('NFKC', folded)}@{ascii_domain.lower()}"


def _fold(text: str) -> str:
    # By way of upper case, so that letters which share their capital (i and dotless i) are the same.
    return unicodedata.normalize("NFKD", text.upper().casefold())
