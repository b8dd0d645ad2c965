"""The pages that answer a form, in the languages of their visitors."""

import io
import re

import pytest
from flask.testing import FlaskClient

from conftest import MakeApp, NewLead

pytestmark = pytest.mark.one_database

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
KINDS = ["application/x-www-form-urlencoded", "multipart/form-data"]


@pytest.mark.parametrize(
    ("accepted", "language", "title"),
    [
        ("", "en", "Thank you"),
        ("sv, zh;q=0.8", "en", "Thank you"),
        ("en-GB", "en", "Thank you"),
        ("de-AT,de;q=0.9,en;q=0.8", "de", "Vielen Dank"),
        ("sv, en;q=0.5, fr-CA;q=0.7", "fr", "Merci"),
        ("ES", "es", "Gracias"),
        ("pt-BR", "pt", "Obrigado"),
        ("it", "it", "Grazie"),
        ("nl-BE", "nl", "Bedankt"),
        ("pl", "pl", "Dziękujemy"),
        ("de;q=0, nl;q=0.1", "nl", "Bedankt"),
        ("*", "en", "Thank you"),
        ("de;q=x, <b>", "en", "Thank you"),
    ],
)
def test_a_page_speaks_the_language_of_its_visitor(
    client: FlaskClient, new_lead: NewLead, accepted: str, language: str, title: str
) -> None:
    headers = {"Accept": BROWSER, "Accept-Language": accepted}
    response = client.post("/leads", data=new_lead(), headers=headers)

    assert f'<html lang="{language}">' in response.text
    assert f"<title>{title}</title>" in response.text
    assert f"<h1>{title}</h1>" in response.text


@pytest.mark.parametrize("language", ["en", "de", "fr", "es", "pt", "it", "nl", "pl"])
def test_every_language_has_words_for_every_refusal(make_app: MakeApp, new_lead: NewLead, language: str) -> None:
    client = make_app(DATABASE_URL="sqlite://", AUTO_MIGRATE="off", RATE_LIMIT_CAPTURE="5/hour").test_client()
    file = {"cv": (io.BytesIO(b"x"), "cv.txt")}
    wrong = {"full_name": "Z", "email": "nobody", "company": "c" * 256, "message": "m" * 2001}
    headers = {"Accept": BROWSER, "Accept-Language": language}

    answers = [
        client.post("/leads", data=fields, content_type=content_type, headers=headers)
        for fields, content_type in (
            (wrong, KINDS[0]),
            (file, KINDS[1]),
            (b"x" * 2**21, KINDS[0]),
            (b"x", KINDS[1]),
            # The database has no tables.
            (new_lead(), KINDS[0]),
            (b"", KINDS[0]),
        )
    ]

    assert [answer.status_code for answer in answers] == [422, 422, 413, 400, 503, 429]
    for answer in answers:
        assert f'<html lang="{language}">' in answer.text
    assert len(re.findall("<dt>.+</dt>\\s*<dd>.+</dd>", answers[0].text)) == 4
    reasons = {reason for answer in answers for reason in re.findall('<p role="alert">(.+)</p>', answer.text)}
    assert len(reasons) == 5
