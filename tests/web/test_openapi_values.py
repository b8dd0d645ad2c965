"""The OpenAPI document says exactly which values are taken."""

from collections.abc import Callable

import pytest
from documents import validator
from hypothesis import given
from hypothesis import strategies as st

from conftest import MARKER, Json
from leadapi.leads.schemas import NewLeadSchema

Judge = Callable[[str, str], tuple[bool, bool]]


@pytest.fixture(scope="module")
def judge(document: Json) -> Judge:
    """Whether the document allows a value of a field, and whether the service accepts it."""
    properties = document["components"]["schemas"]["NewLead"]["properties"]
    documented = {field: validator(document, schema) for field, schema in properties.items()}
    accepted = {field: NewLeadSchema(only=[field]) for field in properties}

    def judge(field: str, value: str) -> tuple[bool, bool]:
        return documented[field].is_valid(value), not accepted[field].validate({field: value})

    return judge


@pytest.mark.parametrize("field", ["full_name", "company", "message", "source"])
def test_every_space_and_control_character_is_taken_as_documented(judge: Judge, field: str) -> None:
    for character in map(chr, [*range(0x2100), 0x2800, 0x3000, 0x3164, 0xFE0F, 0xFEFF, 0x1D7FF]):
        for value in (f"{character}zz", f"zz{character}", f"z{character}", f"z{character}z", character * 2):
            documented, accepted = judge(field, value)
            assert documented == accepted, (character, value)


@given(
    st.sampled_from(["full_name", "company", "message", "source"]),
    st.text(st.sampled_from("zÉ𝔷") | st.sampled_from(" \u3000\t") | st.sampled_from("\r\n\0\x9f"), max_size=6),
)
def test_a_text_is_accepted_when_the_document_says_so(judge: Judge, field: str, value: str) -> None:
    documented, accepted = judge(field, value)

    assert documented == accepted


@pytest.mark.parametrize(("field", "most"), [("full_name", 255), ("company", 255), ("message", 2000), ("source", 100)])
def test_lengths_are_documented_as_they_are_counted(judge: Judge, field: str, most: int) -> None:
    assert judge(field, "𝔷" * most) == (True, True)
    assert judge(field, "𝔷" * (most + 1)) == (False, False)
    # Only a name has the spaces around it removed before it is measured.
    trimmed = field == "full_name"
    assert judge(field, f" {'z' * most}\u3000") == (trimmed, trimmed)


@pytest.mark.parametrize(
    ("address", "valid"),
    [
        (f"{MARKER}@example.com", True),
        (f"{MARKER}!#$%&'*+-/=?^_`{{|}}~.tag@mail.example.co", True),
        (f"{MARKER}@bücher.example", True),
        ("jöhn@bücher.example", True),
        (f"{MARKER}@xn--bcher-kva.example", True),
        ("用户@例え.テスト", True),
        ("χρήστης@παράδειγμα.ελ", True),
        (f"{MARKER}@" + ".".join(["a" * 60] * 3) + ".example.com", True),
        (f"{MARKER}@" + ".".join(["a" * 60] * 4) + ".example.com", False),
        (MARKER, False),
        (f"{MARKER}@", False),
        (f"{MARKER}@localhost", False),
        (f"{MARKER}@example.test", False),
        (f"{MARKER}@[127.0.0.1]", False),
        (f"{MARKER}@127.0.0.1", False),
        (f'"{MARKER}"@example.com', False),
        (f"{MARKER}@ex_ample.com", False),
        (f"{MARKER}@-example.com", False),
        (f"{MARKER}@xn--a.example", False),
        (f"{MARKER}..dee@example.com", False),
        (f"{MARKER}@example.com\0", False),
        (f"{MARKER} dee@example.com", False),
    ],
)
def test_an_address_is_accepted_when_the_document_says_so(judge: Judge, address: str, valid: bool) -> None:
    assert judge("email", address) == (valid, valid)
