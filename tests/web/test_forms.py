"""Forms as browsers send them, and as only a program would; what becomes of a lead is in leads/test_forms.py."""

import pytest
from flask.testing import FlaskClient

from conftest import NewLead, body

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
JSON = "application/json"
KINDS = ["application/x-www-form-urlencoded", "multipart/form-data"]
# The most expensive name of a field.
LONG = b"\\" * 10**6


@pytest.mark.parametrize(
    ("content", "content_type", "status"),
    [
        (b"full_name=%ff", KINDS[0], 400),
        (b"full_name=\xff", KINDS[0], 400),
        ("&".join(f"a{number}=1" for number in range(101)).encode(), KINDS[0], 422),
        (b"&" * 2**19, KINDS[0], 422),
        (b"full_name=Z", f"{KINDS[0]}; charset=iso-8859-1", 415),
        (b"", KINDS[0], 422),
        (b"--\r\n", KINDS[1], 400),
        (b"--b--", f"{KINDS[1]}; boundary=b", 422),
        (b"--b\r\n\r\nx\r\n--b--\r\n", f"{KINDS[1]}; boundary=b", 400),
        (b"--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b--\r\n", f"{KINDS[1]}; boundary=b", 400),
        (b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\nx', f"{KINDS[1]}; boundary=b", 400),
        (b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n\xff\r\n--b--\r\n', f"{KINDS[1]}; boundary=b", 400),
        (b"--b\r\nContent-Disposition: form-data; name=a\r\n\r\n\r\n" * 101 + b"--b--", f"{KINDS[1]}; boundary=b", 422),
        # More than 70 are made by Werkzeug's own client, now and then.
        (b"--%b--" % (b"b" * 100), f"{KINDS[1]}; boundary={'b' * 100}", 422),
        (b"--%b--" % (b"b" * 101), f"{KINDS[1]}; boundary={'b' * 101}", 400),
        # To look for it everywhere would take seconds.
        (b"\\" + b"-" * 1_000_000, f"{KINDS[1]}; boundary={'-' * 8000}", 400),
        # To read such a name would take half a second.
        (
            b'--b\r\nContent-Disposition: form-data; name="%b"\r\n\r\nx\r\n--b--' % (b"\\" * 10**6),
            f"{KINDS[1]}; boundary=b",
            400,
        ),
        (b"x" * 2**21, KINDS[0], 413),
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
def test_has_as_many_fields_as_a_body_may_have(client: FlaskClient, new_lead: NewLead, kind: str) -> None:
    lead = new_lead()
    more = {f"field {number}": "" for number in range(101 - len(lead))}

    refused = client.post("/leads", data=lead | more, content_type=kind, headers={"Accept": JSON})
    more.popitem()
    taken = client.post("/leads", data=lead | more, content_type=kind, headers={"Accept": JSON})

    assert body(refused)["errors"] == {"body": ["Has more than 100 fields."]}
    assert taken.status_code == 201


def test_a_file_is_refused_by_its_name(client: FlaskClient, new_lead: NewLead) -> None:
    parts = [part(name, value) for name, value in new_lead().items()]

    for extra, status in (
        (part("cv", "text", "cv.txt"), 422),
        (part("cv", "", "cv.txt"), 422),
        (part("cv", "text", ""), 422),
        (part("cv", "", ""), 200),
    ):
        content = "".join([*parts, extra, "--b--\r\n"]).encode()
        response = client.post("/leads", data=content, content_type=f"{KINDS[1]}; boundary=b")

        assert response.status_code == status
        assert ("<dt>cv</dt>" in response.text) == (status == 422)
    assert body(client.get("/leads"))["items"][0]["attributes"] == {}


@pytest.mark.parametrize(
    ("sent", "name"), [("5%22 or 6%22", '5" or 6"'), ("C:\\", "C:\\"), (r"a\b", r"a\b"), ("a\\\\", "a\\\\")]
)
def test_names_are_read_as_browsers_write_them(client: FlaskClient, new_lead: NewLead, sent: str, name: str) -> None:
    parts = [part(field, value) for field, value in new_lead().items()]
    # The same line in what a person wrote is no name.
    text = 'Content-Disposition: form-data; name="C:\\"\r\n'
    content = "".join([*parts, part(sent, "yes"), part("note", text), "--b--\r\n"]).encode()

    response = client.post("/leads", data=content, content_type=f"{KINDS[1]}; boundary=b", headers={"Accept": JSON})

    assert body(response)["attributes"] == {name: "yes", "note": text.replace("\r\n", "\n")}
