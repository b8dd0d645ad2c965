"""When two addresses are the same."""

import sys
import time
import unicodedata

import pytest
from email_validator import EmailNotValidError, validate_email
from hypothesis import example, given
from hypothesis import strategies as st

from leadapi.leads.emails import InvalidEmail, email_key, normalize_email

# What may stand before the @, much of it in scripts and forms where folding is not simple.
LOCAL = st.text(
    st.one_of(
        st.sampled_from("azAZ09.+-ßẞſıİiIKÅﬁŉǰΐσςΣŰé\u0301\u0307"),
        st.characters(categories=["L", "M", "N"]),
    ),
    min_size=1,
    max_size=20,
)
# Without ß, whose capitals are SS to Python but which is a letter of its own in domains (RFC 5892).
DOMAIN = st.sampled_from(
    ["example.com", "bücher.example", "xn--bcher-kva.example", "παράδειγμα.example", "例え.example"]
)


def key_of(text: str) -> str | None:
    """The key of an address as it is sent, or None where it is refused."""
    try:
        return email_key(normalize_email(text))
    except InvalidEmail:
        return None


def composed(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def decomposed(text: str) -> str:
    return unicodedata.normalize("NFD", text)


@given(LOCAL, DOMAIN)
def test_the_key_is_the_same_for_every_case_and_form(local: str, domain: str) -> None:
    key = key_of(f"{local}@{domain}")
    if key is None:
        return
    for change in (str.upper, str.lower, str.title, str.swapcase, str.casefold, composed, decomposed):
        for spelling in (f"{change(local)}@{domain}", f"{local}@{change(domain)}"):
            # A change can make an address too long or give it a letter that is refused.
            assert key_of(spelling) in (key, None), (local, spelling)


@given(LOCAL, DOMAIN)
def test_the_key_of_a_key_is_itself(local: str, domain: str) -> None:
    key = email_key(f"{local}@{domain}")

    assert email_key(key) == key


@pytest.mark.parametrize(
    ("address", "key"),
    [
        ("Zoé.Dee+1@Example.com", "zoé.dee+1@example.com"),
        ("straße@bücher.example", "strasse@xn--bcher-kva.example"),
        ("\u1112\u1161\u11ab@example.com", "\ud55c@example.com"),
    ],
)
def test_a_key_stays_as_it_is_stored(address: str, key: str) -> None:
    # Byte for byte: those of earlier versions are in databases.
    assert email_key(address) == key


PLAIN = st.one_of(
    st.text("aZ09_+-.", min_size=1, max_size=20),
    st.sampled_from(["Postmaster", "ABUSE", "a@b", '"a"', "a b", " a", "a\n", ""]),
)
PLAIN_DOMAIN = st.one_of(
    st.text("aZ0-.", min_size=1, max_size=20).map(lambda name: f"{name}.com"),
    st.sampled_from(
        ["Example.COM", "xn--bcher-kva.example", "a.test", "localhost", "[127.0.0.1]", "a.com\n", "a..b", ""]
    ),
)


@given(PLAIN, PLAIN_DOMAIN)
@example("a" * 64, "example.com")
@example("a" * 65, "example.com")
def test_an_address_is_what_the_library_says(local: str, domain: str) -> None:
    try:
        expected = validate_email(f"{local}@{domain}", check_deliverability=False).normalized
    except EmailNotValidError:
        with pytest.raises(InvalidEmail):
            normalize_email(f"{local}@{domain}")
    else:
        assert normalize_email(f"{local}@{domain}") == expected


@given(LOCAL, DOMAIN)
def test_what_is_shown_is_accepted_again_and_stays_as_it_is(local: str, domain: str) -> None:
    try:
        shown = normalize_email(f"{local}@{domain}")
    except InvalidEmail:
        return

    assert normalize_email(shown) == shown
    assert len(shown) <= 254


def test_every_letter_has_one_key_for_both_its_cases() -> None:
    for code in range(sys.maxunicode + 1):
        letter = chr(code)
        if letter.isalpha() and letter != letter.upper():
            assert email_key(f"{letter}@example.com") == email_key(f"{letter.upper()}@example.com"), hex(code)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("a.b@example.com", "ab@example.com"),
        ("ab+tag@example.com", "ab@example.com"),
        ("ab@example.com", "ab@example.org"),
        ("ab@straße.example", "ab@strasse.example"),
        ("é@example.com", "e@example.com"),
    ],
)
def test_different_addresses_have_different_keys(one: str, other: str) -> None:
    assert key_of(one) != key_of(other)


@pytest.mark.parametrize(
    ("domain", "accepted"),
    [
        # 59 characters and "xn--" are a label of 63, where Punycode needs one character for each; here it needs more.
        (f"{'ä' * 45}.example", True),
        (f"{'ä' * 60}.example", False),
        (f"{'a' * 63}.example", True),
        (f"{'a' * 64}.example", False),
        (f"{'a' * 62}ä.example", False),
        # The decomposed spelling of an acceptable domain is longer than the limits.
        ("a\u0308" * 40 + ".example", True),
        (f"bücher\u3002{'a' * 60}\uff0eexample", True),
        ("\ufdfa" * 4 + ".example", False),
        ("ä." * 41 + "example", False),
    ],
)
def test_a_domain_that_is_too_long_once_encoded_is_refused(domain: str, accepted: bool) -> None:
    assert (key_of(f"x@{domain}") is not None) == accepted


@pytest.mark.parametrize(
    "domain",
    ["\ufdfa" * 240, ".".join(["\ufdfa" * 3] * 60), ".".join("ä" * 120), "e" + "\u0301" * 240, "\u0301\u0316" * 120],
)
def test_refusing_long_domains_takes_no_time(domain: str) -> None:
    started = time.thread_time()
    refused = [key_of(f"{number}@{domain}"[:254]) for number in range(500)]
    seconds = time.thread_time() - started

    assert refused == [None] * 500
    assert seconds < 0.3
