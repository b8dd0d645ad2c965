"""Forms as browsers send them, and as only a program would; what becomes of a lead is in leads/test_forms.py."""

import base64
import quopri
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote_from_bytes

import pytest
from flask.testing import FlaskClient

from conftest import MARKER, Json, NewLead, body
from servers import ROOT

pytestmark = pytest.mark.one_database

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
JSON = "application/json"
KINDS = ["application/x-www-form-urlencoded", "multipart/form-data"]
MIB = 2**20
NAMED = 'Content-Disposition: form-data; name="a"'


def multipart(*parts: str | bytes) -> bytes:
    """A body of parts, each of them a head and a content."""
    encoded = [part if isinstance(part, bytes) else part.encode() for part in parts]
    return b"".join(b"--b\r\n%b\r\n" % part for part in encoded) + b"--b--\r\n"


@pytest.mark.parametrize(
    ("content", "content_type", "status"),
    [
        ("&".join(f"a{number}=1" for number in range(101)).encode(), KINDS[0], 422),
        (b"&" * 2**19, KINDS[0], 422),
        (b"%x" * 10_000, KINDS[0], 400),
        (b"", KINDS[0], 422),
        (b'{"full_name": "Zoe"}', KINDS[0], 415),
        (b"full_name=Zoe", f"{KINDS[0]}; {'a=b;' * 300}", 415),
        (b"--\r\n", KINDS[1], 400),
        (b"--b--", f"{KINDS[1]}; boundary=b", 422),
        (multipart("\r\nx"), f"{KINDS[1]}; boundary=b", 400),
        (multipart("Content-Disposition: form-data\r\n\r\nx"), f"{KINDS[1]}; boundary=b", 400),
        (multipart('Content-Disposition: attachment; name="a"\r\n\r\nx'), f"{KINDS[1]}; boundary=b", 400),
        (multipart(f"{NAMED}\r\nContent-Transfer-Encoding: base64\r\n\r\nA"), f"{KINDS[1]}; boundary=b", 400),
        (multipart(f"{NAMED}\r\nContent-Transfer-Encoding: uuencode\r\n\r\nx"), f"{KINDS[1]}; boundary=b", 400),
        (multipart(*[f"{NAMED}\r\n\r\n"] * 101), f"{KINDS[1]}; boundary=b", 422),
        (multipart(*[f"{NAMED}\r\n"] * 101), f"{KINDS[1]}; boundary=b", 422),
        # The body ends within a head, a content, a boundary.
        (f"--b\r\n{NAMED}".encode(), f"{KINDS[1]}; boundary=b", 400),
        (f"--b\r\n{NAMED}\r\n\r\nx".encode(), f"{KINDS[1]}; boundary=b", 400),
        (f"--b\r\n{NAMED}\r\n\r\nx\r\n--b".encode(), f"{KINDS[1]}; boundary=b", 400),
        # Clients use more than 70 characters now and then.
        (b"--%b--" % (b"b" * 100), f"{KINDS[1]}; boundary={'b' * 100}", 422),
        (b"--%b--" % (b"b" * 101), f"{KINDS[1]}; boundary={'b' * 101}", 400),
        (multipart(f"Content-Disposition: form-data; name={'a' * 8192}\r\n\r\nx"), f"{KINDS[1]}; boundary=b", 400),
        (multipart(f"{NAMED}\r\n{'a: b' * 2}" * 5 + "\r\n\r\nx"), f"{KINDS[1]}; boundary=b", 400),
        (b"x" * 2 * MIB, KINDS[0], 413),
    ],
)
def test_what_is_no_form_is_refused_in_the_way_it_was_sent(
    client: FlaskClient, content: bytes, content_type: str, status: int
) -> None:
    page = client.post("/leads", data=content, content_type=content_type, headers={"Accept": BROWSER})
    problem = client.post("/leads", data=content, content_type=content_type, headers={"Accept": JSON})

    assert (page.status_code, page.mimetype) == (status, "text/html")
    assert "<h1>Your message was not sent</h1>" in page.text
    assert (problem.status_code, problem.mimetype) == (status, "application/problem+json")


def part(name: str, content: str, filename: str | None = None) -> str:
    """A part of a multipart body."""
    file = "" if filename is None else f'; filename="{filename}"\r\nContent-Type: text/plain'
    return f'--b\r\nContent-Disposition: form-data; name="{name}"{file}\r\n\r\n{content}\r\n'


@pytest.mark.parametrize("kind", KINDS)
def test_has_more_fields_than_a_visitor_fills_in_but_not_any_number(
    client: FlaskClient, new_lead: NewLead, kind: str
) -> None:
    lead = new_lead()
    more = {f"field {number}": "" for number in range(501 - len(lead))}

    refused = client.post("/leads", data=lead | more, content_type=kind, headers={"Accept": JSON})
    more.popitem()
    taken = client.post("/leads", data=lead | more, content_type=kind, headers={"Accept": JSON})

    assert body(refused)["errors"] == {"body": ["Has more than 500 fields."]}
    assert taken.status_code == 201


def test_a_file_is_refused_by_its_name(client: FlaskClient, new_lead: NewLead) -> None:
    parts = [part(name, value) for name, value in new_lead().items()]

    for extra, status in (
        (part("cv", "text", "cv.txt"), 422),
        (part("cv", "", "cv.txt"), 422),
        (part("cv", "text", ""), 422),
        (part("cv", "", ""), 201),
    ):
        content = "".join([*parts, extra, "--b--\r\n"]).encode()
        response = client.post("/leads", data=content, content_type=f"{KINDS[1]}; boundary=b")

        assert response.status_code == status
        assert (body(response).get("errors") == {"cv": ["Files are not taken."]}) == (status == 422)
    assert body(client.get("/leads"))["items"][0]["attributes"] == {}


@pytest.mark.parametrize(
    ("sent", "name"),
    [
        ("5%22 or 6%22", '5" or 6"'),
        ("C:\\", "C:\\"),
        (r"a\b", r"a\b"),
        ("a\\\\", "a\\\\"),
        ("100%", "100%"),
        ("two%0D%0Alines", "two  lines"),
        ("größe;é=ü", "größe;é=ü"),
    ],
)
def test_names_are_read_as_browsers_write_them(client: FlaskClient, new_lead: NewLead, sent: str, name: str) -> None:
    parts = [part(field, value) for field, value in new_lead().items()]
    # The same line in what a person wrote is no name.
    text = 'Content-Disposition: form-data; name="C:\\"\r\n'
    content = "".join([*parts, part(sent, "yes"), part("note", text), "--b--\r\n"]).encode()

    response = client.post("/leads", data=content, content_type=f"{KINDS[1]}; boundary=b", headers={"Accept": JSON})

    assert body(response)["attributes"] == {name: "yes", "note": text.replace("\r\n", "\n")}


def test_a_field_without_a_name_is_ignored(client: FlaskClient, new_lead: NewLead) -> None:
    parts = [part(field, value) for field, value in new_lead().items()]
    content = "".join([*parts, part("", "x"), "--b--\r\n"]).encode()
    pairs = "&".join(f"{name}={value}" for name, value in new_lead().items())

    answers = [
        client.post("/leads", data=content, content_type=f"{KINDS[1]}; boundary=b"),
        client.post("/leads", data=f"=x&&{pairs}&=&", content_type=KINDS[0]),
    ]

    assert [(answer.status_code, body(answer)["attributes"]) for answer in answers] == [(201, {}), (201, {})]


# --- charsets ------------------------------------------------------------------------------------


def urlencoded(fields: dict[str, Any], charset: str) -> bytes:
    """A body as a browser makes it on a page in a charset: characters that it lacks become decimal references."""
    return "&".join(
        "=".join(quote_from_bytes(text.encode(charset, "xmlcharrefreplace")) for text in pair)
        for pair in fields.items()
    ).encode()


def in_parts(fields: dict[str, Any], charset: str) -> bytes:
    return multipart(
        *[
            b'Content-Disposition: form-data; name="%b"\r\n\r\n%b'
            % tuple(text.encode(charset, "xmlcharrefreplace") for text in pair)
            for pair in fields.items()
        ]
    )


@pytest.mark.parametrize(
    ("charset", "name", "declared"),
    [
        ("cp1252", "Zoë “Čapek” €", ""),
        ("cp1252", "Zoë “Čapek” €", "ISO-8859-1"),
        ("cp1250", "Čapek Őry ś", "windows-1250"),
        ("cp1251", "Анна Каренина", "windows-1251"),
        ("koi8-r", "Анна Каренина", "KOI8-R"),
        ("iso8859-2", "Őry Žofie", "iso-8859-2"),
        ("cp932", "夏目漱石 ①", "Shift_JIS"),
        ("gb18030", "李小龙", "GBK"),
        ("cp949", "이순신", "euc-kr"),
        ("utf-8", "Zoë 夏目 𝔷", ""),
        ("utf-8", "Zoë 夏目 𝔷", "UTF-8"),
        ("utf-8", "Zoë 夏目 𝔷", "no-such-charset"),
        ("cp1252", "Zoë", "utf-8"),
    ],
)
def test_the_charset_of_the_page_is_decoded(
    client: FlaskClient, new_lead: NewLead, charset: str, name: str, declared: str
) -> None:
    def answers() -> Iterator[Json]:
        for encode, content_type in ((urlencoded, KINDS[0]), (in_parts, f"{KINDS[1]}; boundary=b")):
            fields = new_lead(full_name=f"{MARKER} {name}", größe="ä")
            told = f"{content_type}; charset={declared}" if declared else content_type
            yield body(client.post("/leads", data=encode(fields, charset), content_type=told))
            fields = new_lead(full_name=f"{MARKER} {name}", größe="ä", _charset_=declared)
            yield body(client.post("/leads", data=encode(fields, charset), content_type=content_type))

    for lead in answers():
        assert lead["full_name"] == f"{MARKER} {name}"
        assert lead["attributes"] == {"größe": "ä"}


def test_a_raw_byte_is_read_like_an_encoded_one(client: FlaskClient) -> None:
    content = b"full_name=Zo\xeb+Roe&email=raw@example.com&message=100%+%zz+&#300;"

    response = client.post("/leads", data=content, content_type=KINDS[0])

    assert body(response)["full_name"] == "Zoë Roe"
    assert body(response)["message"] == "100% %zz "


@pytest.mark.parametrize("reference", ["&#55296;", "&#1114112;", "&#9999999;", "&#1;", "&amp;"])
def test_what_refers_to_no_character_stays(client: FlaskClient, new_lead: NewLead, reference: str) -> None:
    fields = new_lead(message=f"é {reference}")

    response = client.post("/leads", data=urlencoded(fields, "cp1252"), content_type=KINDS[0])

    assert body(response)["message"] == f"é {reference}"


@pytest.mark.parametrize(
    ("encoding", "content"),
    [
        ("base64", base64.encodebytes(f"{MARKER} José".encode())),
        ("BASE64", base64.b64encode(f"{MARKER} José".encode())),
        ("quoted-printable", quopri.encodestring(f"{MARKER} José".encode())),
        ("8bit", f"{MARKER} José".encode()),
        ("binary", f"{MARKER} José".encode()),
        ("", f"{MARKER} José".encode()),
    ],
)
def test_a_transfer_encoding_is_decoded(client: FlaskClient, new_lead: NewLead, encoding: str, content: bytes) -> None:
    head = f'Content-Disposition: form-data; name="full_name"\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n'
    others = [f'Content-Disposition: form-data; name="{name}"\r\n\r\n{text}' for name, text in new_lead().items()]

    response = client.post(
        "/leads", data=multipart(head.encode() + content, *others[1:]), content_type=f"{KINDS[1]}; boundary=b"
    )

    assert (response.status_code, body(response)["full_name"]) == (201, f"{MARKER} José")


def test_a_part_may_have_a_charset_of_its_own(client: FlaskClient, new_lead: NewLead) -> None:
    others = [f'Content-Disposition: form-data; name="{name}"\r\n\r\n{text}' for name, text in new_lead().items()]
    head = b'Content-Disposition: form-data; name="full_name"\r\nContent-Type: text/plain; charset=windows-1251\r\n\r\n'
    content = multipart(
        head + "Анна".encode("cp1251"), *others[1:], 'Content-Disposition: form-data; name="x"\r\n\r\né'
    )

    response = client.post("/leads", data=content, content_type=f"{KINDS[1]}; boundary=b")

    assert (body(response)["full_name"], body(response)["attributes"]) == ("Анна", {"x": "é"})


@pytest.mark.parametrize(
    ("file", "shown"),
    [
        ("cte-base64.multipart", {"full_name": "José Roe"}),
        ("cte-qp.multipart", {"full_name": "José Roe"}),
        ("company-twice.urlencoded", {"company": "Acme", "attributes": {}}),
        ("recaptcha.urlencoded", {"message": "Please call", "attributes": {}}),
        ("landing-url.urlencoded", {"full_name": "Url Roe"}),
    ],
)
def test_a_form_as_another_program_sent_it_is_a_lead(client: FlaskClient, file: str, shown: dict[str, Any]) -> None:
    content = (ROOT / "tests/web/cases" / file).read_bytes()
    content_type = f"{KINDS[1]}; boundary=BB" if file.endswith("multipart") else KINDS[0]

    response = client.post("/leads", data=content, content_type=content_type)

    assert response.status_code == 201
    assert shown.items() <= body(response).items()
