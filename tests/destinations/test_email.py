"""Mail: what people get."""

from dataclasses import replace
from datetime import UTC, datetime
from email.message import EmailMessage
from typing import TYPE_CHECKING, Any

import pytest
from destinations.conftest import LEAD, MESSAGE, SALES, NewSettings, mail_settings

from leadapi import config
from leadapi.destinations import email
from leadapi.destinations.errors import UrlRefused
from leadapi.destinations.kinds import Message, Outcome, Target
from receivers import Mailbox

if TYPE_CHECKING:
    from playwright.sync_api import Page


def part(mail: EmailMessage, subtype: str) -> str:
    """The text of one of the two parts of a mail."""
    found = mail.get_body((subtype,))
    assert found is not None
    assert isinstance(found, EmailMessage)
    text: str = found.get_content()
    return text.replace("\r\n", "\n")


def test_people_get_the_lead_as_text_and_as_html(mailbox: Mailbox, new_settings: NewSettings) -> None:
    outcome = email.send(SALES, [MESSAGE], new_settings())

    assert outcome == Outcome(status=250)
    [mail] = mailbox.mails
    assert mailbox.recipients == [["sales@example.com"]]
    assert mailbox.senders == ["leads@example.com"]
    assert mail["From"] == "leads@example.com"
    assert mail["To"] == "sales@example.com"
    assert mail["Reply-To"] == "maria@xn--bcher-kva.example"
    assert mail["Subject"] == "New lead: María Lee (landing-page)"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert abs((mail["Date"].datetime - datetime.now(UTC)).total_seconds()) < 5
    assert [(kind.get_content_type()) for kind in mail.iter_parts()] == ["text/plain", "text/html"]
    assert part(mail, "plain") == (
        "New lead: María Lee (landing-page)\nmaria@bücher.example\n\n"
        "Hello,\n\nwe need <40> licences.\nBest, María\n\n"
        "Company: Lee & Sons <b>\nSource: landing-page\nutm_source: news & more\n"
        "page: https://www.example.com/?a=1&b=2\nTime: 2026-02-28 10:00 UTC\n\n"
        "https://leads.example.com/inbox/leads/12\n\nReply to this mail to answer María Lee.\n"
    )
    html = part(mail, "html")
    assert "Hello,<br><br>we need &lt;40&gt; licences.<br>Best, María" in html
    assert "Lee &amp; Sons &lt;b&gt;" in html
    assert 'href="https://leads.example.com/inbox/leads/12"' in html
    assert 'href="mailto:maria%40b%C3%BCcher.example"' in html


def test_without_an_inbox_the_link_leads_to_the_api() -> None:
    settings = mail_settings("smtp://h", PUBLIC_URL="https://leads.example.com", INBOX="off")

    mail = email.compose(["sales@example.com"], [MESSAGE], settings)

    assert "\nhttps://leads.example.com/leads/12\n" in part(mail, "plain")


@pytest.mark.parametrize("width", [320, 390, 1200])
def test_the_html_part_fits_its_window_and_has_dark_colours(page: "Page", width: int) -> None:
    lead = {**LEAD, "full_name": "x" * 255, "message": "y" * 2000, "attributes": {"z" * 100: "https://" + "w" * 1000}}
    mail = email.compose(["sales@example.com"], [MESSAGE, replace(MESSAGE, lead=lead)], mail_settings("smtp://h"))
    page.set_viewport_size({"width": width, "height": 800})

    page.set_content(part(mail, "html"))

    assert page.evaluate("document.scrollingElement.scrollWidth") <= width
    background = "getComputedStyle(document.querySelector('.card')).backgroundColor"
    page.emulate_media(color_scheme="light")
    assert page.evaluate(background) == "rgb(255, 255, 255)"
    page.emulate_media(color_scheme="dark")
    assert page.evaluate(background) == "rgb(28, 34, 43)"


def test_several_recipients_get_one_mail(mailbox: Mailbox, new_settings: NewSettings) -> None:
    several = Target(url="mailto:a@example.com,b@example.com", headers={}, secrets=())

    email.send(several, [MESSAGE], new_settings())

    assert mailbox.recipients == [["a@example.com", "b@example.com"]]
    assert mailbox.mails[0]["To"] == "a@example.com, b@example.com"


def test_several_leads_are_one_mail_without_a_reply_to(mailbox: Mailbox, new_settings: NewSettings) -> None:
    names = ["Ann", "Bob", "Cy", "Di", "Ed"]
    messages = [
        replace(MESSAGE, delivery_id=number, lead={**LEAD, "id": number, "full_name": name, "message": f"I am {name}."})
        for number, name in enumerate(names, 1)
    ]

    email.send(SALES, messages, new_settings())

    [mail] = mailbox.mails
    assert mail["Subject"] == "5 new leads: Ann, Bob, Cy, 2 more"
    assert mail["Reply-To"] is None
    for name in names:
        assert f"I am {name}." in part(mail, "plain")
        assert f"I am {name}." in part(mail, "html")
    assert "Reply to this mail" not in part(mail, "plain") + part(mail, "html")


def test_the_largest_mail_fits_the_limits_of_servers() -> None:
    # Each of these characters has four bytes, which quoted-printable triples, and is in both parts.
    text = "\U0001f600"
    texts = {"full_name": text * 255, "company": text * 255, "message": text * 2000, "source": text * 100}
    attributes = {f"name {number}": text * 80 for number in range(50)}
    largest = replace(MESSAGE, lead={**LEAD, **texts, "attributes": attributes}, sent={"attributes": attributes})

    one, many = (
        email.compose(["sales@example.com"], [largest] * number, mail_settings("smtp://127.0.0.1"))
        for number in (1, 50)
    )

    assert "name 49" in part(one, "plain")
    assert "name 22" in part(many, "plain")
    assert "Left out here: 27 more" in part(many, "plain")
    assert len(bytes(many)) < 8_000_000


def test_a_repeat_shows_what_came_in_with_it(mailbox: Mailbox, new_settings: NewSettings) -> None:
    sent = {"full_name": "Mary Lee", "message": "One more thing", "company": None, "attributes": {"phone": "123"}}

    email.send(SALES, [replace(MESSAGE, type="lead.repeated", sent=sent)], new_settings())

    [mail] = mailbox.mails
    assert mail["Subject"] == "New message: Mary Lee (landing-page)"
    text = part(mail, "plain")
    assert "\n\nOne more thing\n\n" in text
    assert "licences" not in text
    assert "Company: Lee & Sons <b>" in text
    assert "phone: 123" in text
    assert "utm_source: news & more" in text


@pytest.mark.parametrize(
    ("changes", "subject", "link"),
    [
        (
            {"type": "lead.updated", "lead": {**LEAD, "status": "qualified"}},
            "Lead updated: María Lee (landing-page)",
            True,
        ),
        ({"type": "lead.erased", "lead": {"id": 12}}, "Lead erased: lead 12", False),
        ({"type": "lead.test"}, "Test lead: María Lee (landing-page)", False),
        ({"type": "lead.noted"}, "New note: María Lee (landing-page)", True),
        ({"lead": {**LEAD, "source": None}}, "New lead: María Lee", True),
        ({"lead": {**LEAD, "full_name": "x" * 255}}, "New lead: " + "x" * 139 + "…", True),
    ],
)
def test_the_subject_says_what_happened(changes: dict[str, Any], subject: str, link: bool) -> None:
    mail = email.compose(
        ["sales@example.com"],
        [replace(MESSAGE, **changes)],
        mail_settings("smtp://h", PUBLIC_URL="https://leads.example.com"),
    )

    assert mail["Subject"] == subject
    assert ("https://leads.example.com/inbox/leads/12" in part(mail, "plain")) is link
    assert ("Status: qualified" in part(mail, "plain")) is (
        changes["type"] == "lead.updated" if "type" in changes else False
    )


@pytest.mark.parametrize(
    "name",
    [
        "=?utf-8?q?x=0D=0ABcc:evil@example.com?=",
        "=?utf-8?b?eA0KQmNjOiBldmlsQGV4YW1wbGUuY29t?=",
        "==?utf-8?q?x=0D=0ABcc:evil@example.com?=",
        "x\r\nBcc: evil@example.com",
        "x\nBcc: evil@example.com",
        "x\u2028Bcc: evil@example.com",
        "x\x85Bcc: evil@example.com",
        "x\x0bBcc:\x0cevil@example.com\x00",
    ],
)
def test_a_name_adds_no_header(mailbox: Mailbox, new_settings: NewSettings, name: str) -> None:
    lead = {**LEAD, "full_name": name, "source": name}

    assert email.send(SALES, [replace(MESSAGE, lead=lead)], new_settings()).error is None
    assert email.send(SALES, [replace(MESSAGE, lead=lead)] * 2, new_settings()).error is None

    for mail in mailbox.mails:
        assert sorted(mail.keys()) == sorted({*mail.keys()})
        assert mail["Bcc"] is None
        assert mail["To"] == "sales@example.com"
        assert "\n" not in mail["Subject"]
    assert mailbox.recipients == [["sales@example.com"]] * 2


def test_a_repeat_without_a_message_does_not_show_the_earlier_one() -> None:
    repeat = replace(MESSAGE, type="lead.repeated", sent={"full_name": "María Lee", "message": None})

    assert "licences" not in part(email.compose(["sales@example.com"], [repeat], mail_settings("smtp://h")), "plain")


def test_a_note_is_shown_instead_of_the_message_of_the_lead() -> None:
    note = replace(MESSAGE, type="lead.noted", note="Called back")

    mail = email.compose(["sales@example.com"], [note], mail_settings("smtp://h"))

    assert mail["Subject"] == "New note: María Lee (landing-page)"
    assert "\n\nCalled back\n\n" in part(mail, "plain")
    assert "licences" not in part(mail, "plain")


def test_characters_that_are_not_seen_are_left_out() -> None:
    lead = {**LEAD, "full_name": "A\u202eB\x00C\x07D", "message": "E\u2066F\x1b[1mG\tH", "source": "\x7f"}

    mail = email.compose(["sales@example.com"], [replace(MESSAGE, lead=lead)], mail_settings("smtp://h"))

    assert mail["Subject"] == "New lead: A B C D"
    assert "\n\nE F [1mG H\n\n" in part(mail, "plain")


@pytest.mark.parametrize("address", ["müller@example.com", "no address", "", None])
def test_without_an_address_that_a_header_can_have_there_is_no_reply_to(address: str | None) -> None:
    mail = email.compose(
        ["sales@example.com"], [replace(MESSAGE, lead={**LEAD, "email": address})], mail_settings("smtp://h")
    )

    assert mail["Reply-To"] is None


def test_the_message_id_names_the_deliveries() -> None:
    def message_id(*messages: Message) -> str:
        return str(email.compose(["sales@example.com"], messages, mail_settings("smtp://h"))["Message-ID"])

    assert message_id(MESSAGE).startswith("<3.")
    assert message_id(MESSAGE).endswith("@example.com>")
    assert message_id(MESSAGE) == message_id(MESSAGE)
    other = replace(MESSAGE, delivery_id=4, event_id=6)
    assert len({message_id(MESSAGE), message_id(other), message_id(MESSAGE, other)}) == 3
    # The first delivery of another database.
    assert message_id(MESSAGE) != message_id(replace(MESSAGE, time=datetime(2027, 1, 1, tzinfo=UTC)))


@pytest.mark.parametrize(
    ("url", "normal"),
    [
        ("mailto:sales@example.com", "mailto:sales@example.com"),
        ("MAILTO:Ann.Lee@Example.COM", "mailto:Ann.Lee@example.com"),
        ("mailto:a@example.com, b@example.com,a@example.com?", "mailto:a@example.com,b@example.com"),
        ("mailto:a%2Bb@b%C3%BCcher.example", "mailto:a+b@xn--bcher-kva.example"),
        ("mailto:a%26b@example.com", "mailto:a%26b@example.com"),
    ],
)
def test_a_url_is_kept_with_normalised_addresses(url: str, normal: str) -> None:
    assert email.check(url, mail_settings("smtp://mail.example.com")) == normal
    assert email.check(normal, mail_settings("smtp://mail.example.com")) == normal
    assert email.shown(normal) == normal


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("sales@example.com", "Must be a URL such as mailto:"),
        ("https://example.com", "Must be a URL such as mailto:"),
        ("mailto:", "Must contain valid addresses"),
        ("mailto://sales@example.com", "Must be a URL such as mailto:"),
        ("mailto:sales", "Must contain valid addresses"),
        ("mailto:a@example.com,", "Must contain valid addresses"),
        ("mailto:a@example.com;b@example.com", "Must contain valid addresses"),
        ("mailto:a@example.com%0D%0ABcc:b@example.com", "Must contain valid addresses"),
        ("mailto:a@example.com?bcc=b@example.com", "Must contain addresses only"),
        ("mailto:a@example.com?subject=x", "Must contain addresses only"),
        ("mailto:a@example.com#x", "Must contain addresses only"),
        ("mailto:m%C3%BCller@example.com", "Must contain only ASCII characters"),
        ("mailto:" + ",".join(f"a{number}@example.com" for number in range(51)), "Must not contain more than 50"),
    ],
)
def test_what_is_no_list_of_addresses_is_refused(url: str, sentence: str) -> None:
    with pytest.raises(UrlRefused) as caught:
        email.check(url, mail_settings("smtp://mail.example.com"))

    assert caught.value.errors["url"][0].startswith(sentence)


@pytest.mark.parametrize(
    ("environ", "setting"),
    [({}, "SMTP_URL"), ({"SMTP_URL": "smtp://mail.example.com"}, "MAIL_FROM")],
)
def test_without_a_server_or_a_sender_mail_is_refused(environ: dict[str, str], setting: str) -> None:
    configured = config.load({"DATABASE_URL": "sqlite://"} | environ)

    with pytest.raises(UrlRefused) as caught:
        email.check(SALES.url, configured)

    assert setting in caught.value.errors["url"][0]
    # The settings can change after the destination was created.
    assert email.send(SALES, [MESSAGE], configured).error == "connection"
