"""The settings of deliveries and of mail."""

import pytest

from leadapi import config
from leadapi.config import ConfigError
from leadapi.config_fields import SmtpServer


@pytest.mark.parametrize(
    ("url", "port", "is_tls", "requires_starttls"),
    [
        ("smtp://mail.example.com", 587, False, True),
        ("smtp://mail.example.com:25/?starttls=optional", 25, False, False),
        ("smtps://mail.example.com", 465, True, False),
    ],
)
def test_an_smtp_url_says_how_the_connection_is_encrypted(
    url: str, port: int, is_tls: bool, requires_starttls: bool
) -> None:
    server = config.load({"SMTP_URL": url}).smtp_url

    assert server == SmtpServer("mail.example.com", port, None, None, is_tls, requires_starttls)


@pytest.mark.parametrize(
    ("environ", "sender"),
    [
        ({"SMTP_URL": "smtp://a%40example.com:b@mail.example.com", "NOTIFY_EMAIL": "c@example.com"}, "a@example.com"),
        ({"SMTP_URL": "smtp://a:b@mail.example.com", "NOTIFY_EMAIL": "c@example.com,d@example.com"}, "c@example.com"),
        ({"SMTP_URL": "smtp://a:b@mail.example.com"}, None),
        ({"SMTP_URL": "smtp://mail.example.com", "MAIL_FROM": "e@example.com"}, "e@example.com"),
    ],
)
def test_the_sender_of_mail_is_an_address_that_the_server_knows(environ: dict[str, str], sender: str | None) -> None:
    assert config.load(environ).mail_from == sender


@pytest.mark.parametrize(
    ("environ", "fault"),
    [
        ({"DELIVERY": "off"}, "DELIVERY must be embedded or external."),
        ({"WEBHOOK_ALLOW_PRIVATE": "yes"}, "WEBHOOK_ALLOW_PRIVATE must be on or off."),
        ({"SMTP_URL": "mail.example.com"}, "SMTP_URL must be none or a URL such as smtp://"),
        ({"SMTP_URL": "smtp://"}, "SMTP_URL must be none or a URL"),
        ({"SMTP_URL": "smtp://mail.example.com:0"}, "SMTP_URL must be none or a URL"),
        ({"SMTP_URL": "smtp://mail.example.com:x"}, "SMTP_URL must be none or a URL"),
        ({"SMTP_URL": "smtp://mail.example.com/path"}, "SMTP_URL must be none or a URL"),
        ({"SMTP_URL": "smtp://mail.example.com?starttls=no"}, "SMTP_URL must be none or a URL"),
        ({"SMTP_URL": "smtp://a:p%C3%A4ss@mail.example.com"}, "SMTP_URL must have a user and a password of ASCII"),
        ({"SMTP_URL": "smtp://mail.example.com?tls=on"}, "SMTP_URL must be none or a URL"),
        ({"MAIL_FROM": "leads"}, "MAIL_FROM must be none or one email address, with only ASCII before its @."),
        (
            {"MAIL_FROM": "leads@example.com,sales@example.com"},
            "MAIL_FROM must be none or one email address, with only ASCII before its @.",
        ),
        ({"NOTIFY_EMAIL": "sales@example.com"}, "NOTIFY_EMAIL needs SMTP_URL"),
        (
            {"NOTIFY_EMAIL": "sales@example.com;boss@example.com", "SMTP_URL": "smtp://mail.example.com"},
            "NOTIFY_EMAIL must be none or at most 50 email addresses separated by commas",
        ),
        ({"NOTIFY_EMAIL": "jöhn@example.com", "SMTP_URL": "smtp://mail.example.com"}, "only ASCII before each @."),
        (
            {
                "NOTIFY_EMAIL": ",".join(f"a{number}@example.com" for number in range(51)),
                "SMTP_URL": "smtp://mail.example.com",
            },
            "NOTIFY_EMAIL must be none or at most 50 email addresses",
        ),
    ],
)
def test_an_invalid_setting_is_refused(environ: dict[str, str], fault: str) -> None:
    with pytest.raises(ConfigError) as refused:
        config.load(environ)

    assert len(refused.value.message.splitlines()) == 2
    assert fault in refused.value.message
