"""Email addresses: what is accepted, how it is shown, and when two are the same."""

import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache

import email_validator
from email_validator import EmailNotValidError, ValidatedEmail
from email_validator.rfc_constants import CASE_INSENSITIVE_MAILBOX_NAMES

MAX_LENGTH = 254
# RFC 1035, 2.3.4.
MAX_DOMAIN_LENGTH = 253
MAX_LABEL_LENGTH = 63
# In IDNA, a label that is not ASCII begins with "xn--", and each of its characters takes at least one more.
PREFIX_LENGTH = 4

_atoms = re.compile(r"[A-Za-z0-9_+-]+(?:\.[A-Za-z0-9_+-]+)*").fullmatch
_dots = re.compile("[.\u3002]")


class InvalidEmail(ValueError):
    """The text is not an email address that can receive mail."""


def normalize_email(text: str) -> str:
    """The address as clients see it: the domain in lower case and Unicode, the local part in NFC.

    No DNS lookup is made.

    :raises InvalidEmail: it is not an address (RFC 5321, RFC 6531), or is longer than 254 characters.
    """
    address = normalize_fast(text)
    if address is None and _domain(text.rpartition("@")[2]) is None:
        # Checking the whole address would encode the domain again.
        raise InvalidEmail(text)
    return address or _validate(text).normalized


def normalize_fast(text: str) -> str | None:
    """The same for nearly every address, in a tenth of the time; None where only `normalize_email` can tell."""
    local, _, domain = text.rpartition("@")
    # The library writes some of these names in lower case.
    if len(text) > MAX_LENGTH or not _atoms(local) or local.lower() in CASE_INSENSITIVE_MAILBOX_NAMES:
        return None
    shown, _ = _domain(domain) or (None, None)
    # If more than the case of its letters changes, the address can get longer than is accepted.
    return f"{local}@{shown}" if shown == domain.lower() else None


@lru_cache(2**14)
def _domain(domain: str) -> tuple[str, str] | None:
    """The domain as clients see it and as IDNA encodes it; None if it is not valid."""
    try:
        valid = _validate(f"x@{domain}")
    except InvalidEmail:
        return None
    return valid.domain, valid.ascii_domain.lower()


def _validate(text: str) -> ValidatedEmail:
    # The library's work grows with the length of the text, and of what IDNA maps the domain to.
    if len(text) > MAX_LENGTH or _is_too_long(text.rpartition("@")[2]):
        raise InvalidEmail(text)
    try:
        # The library also refuses an address that is too long once it is normalised.
        return email_validator.validate_email(text, check_deliverability=False)
    except EmailNotValidError as exc:
        raise InvalidEmail(text) from exc


def _is_too_long(domain: str) -> bool:
    """Whether the domain certainly exceeds a limit once it is encoded, told without the costly encoding."""
    if domain.isascii():
        # The library checks these lengths first.
        return False
    # One character can stand for 18 (U+FDFA).
    labels = _dots.split(unicodedata.normalize("NFKC", domain))
    lengths = [len(label) + (0 if label.isascii() else PREFIX_LENGTH) for label in labels]
    return max(lengths) > MAX_LABEL_LENGTH or sum(lengths) + len(labels) - 1 > MAX_DOMAIN_LENGTH


def domains_to_encode(addresses: Iterable[str]) -> int:
    """The length of all domains, each counted once, that IDNA has to encode. That takes up to 20 µs per character."""
    domains = {address.rpartition("@")[2].lower() for address in addresses if len(address) <= MAX_LENGTH}
    return sum(len(domain) for domain in domains if _is_international(domain) and not _is_too_long(domain))


def _is_international(domain: str) -> bool:
    return not domain.isascii() or "xn--" in domain


def email_key(address: str) -> str:
    """The key that all spellings of one address share.

    Spellings that differ only in letter case, Unicode form or the encoding of the domain (IDNA)
    have the same key. Dots or a +tag make another address.

    :param address: an address as `normalize_email` returns it.
    """
    if address.isascii():
        return address.lower()
    local, _, domain = address.rpartition("@")
    # Rows that were inserted by hand may have a domain that is not valid.
    _, ascii_domain = _domain(domain) or (None, domain.lower())
    # Case folding can undo the normal form and the reverse (The Unicode Standard, 3.13, D146).
    folded = _fold(_fold(unicodedata.normalize("NFD", local)))
    return f"{unicodedata.normalize('NFKC', folded)}@{ascii_domain}"


def _fold(text: str) -> str:
    # Through upper case, so that letters with the same capital (i and dotless i) are equal.
    return unicodedata.normalize("NFKD", text.upper().casefold())
