"""Mail: events as messages to people, who answer the lead by replying."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from functools import cache
from urllib.parse import quote, unquote

from email_validator import EmailNotValidError, validate_email
from jinja2 import Environment, PackageLoader, select_autoescape

from leadapi.config import Settings
from leadapi.destinations import kinds, smtp
from leadapi.destinations.errors import UrlRefused
from leadapi.destinations.kinds import Message, Outcome, Target
from leadapi.destinations.summary import Summary, shorten, summarize

MAX_RECIPIENTS = 50
MAX_SUBJECT = 150
# The names of so many people are in the subject of a mail about several.
MAX_NAMES = 3
# A mail about several leads shows so many characters of each one's attributes. Its largest size is then 7 MB; many
# servers refuse 10 MB.
MAX_ATTRIBUTES = 2000


def check(url: str, settings: Settings) -> str:
    """The URL with normalised addresses.

    :raises UrlRefused: it is no mailto: URL, or there is nothing that could send the mail.
    """
    if settings.smtp_url is None:
        raise UrlRefused("Mail needs the setting SMTP_URL, the server that sends it.")
    if settings.mail_from is None:
        raise UrlRefused("Mail needs the setting MAIL_FROM, its sender.")
    return "mailto:" + ",".join(quote(address, safe="!$'*+@") for address in _recipients(url))


def shown(url: str) -> str:
    """The URL, which has no secrets."""
    return url


def send(target: Target, messages: Sequence[Message], settings: Settings) -> Outcome:
    """Send the messages as one mail, once."""
    if settings.smtp_url is None or settings.mail_from is None:
        return Outcome(error=kinds.CONNECTION)
    recipients = _recipients(target.url)
    outcome = smtp.submit(compose(recipients, messages, settings), recipients, settings.smtp_url)
    if outcome.error == kinds.STATUS and len(messages) > 1:
        # One of the messages may be the reason. The jitter of the retries puts them into different mails.
        return replace(outcome, is_final=False)
    return outcome


def compose(recipients: Sequence[str], messages: Sequence[Message], settings: Settings) -> EmailMessage:
    """The mail about some messages."""
    most = MAX_ATTRIBUTES if len(messages) > 1 else None
    summaries = [summarize(message, settings, most) for message in messages]
    mail = EmailMessage(policy=SMTP)
    mail["From"] = sender = settings.mail_from
    mail["To"] = ", ".join(recipients)
    mail["Subject"] = _subject(summaries)
    mail["Date"] = datetime.now(UTC)
    mail["Message-ID"] = f"<{_name(messages)}@{str(sender).rpartition('@')[2]}>"
    mail["Auto-Submitted"] = "auto-generated"
    if reply_to := _reply_to(summaries):
        mail["Reply-To"] = reply_to
    values = {"summaries": summaries, "subject": mail["Subject"], "reply_to": reply_to}
    mail.set_content(_templates().get_template("mail.txt").render(values), cte="quoted-printable")
    mail.add_alternative(_templates().get_template("mail.html").render(values), subtype="html", cte="quoted-printable")
    return mail


def _recipients(url: str) -> list[str]:
    """The addresses of a mailto: URL (RFC 6068), each once, in ASCII.

    :raises UrlRefused: it is no such URL.
    """
    scheme, _, addresses = url.partition(":")
    if scheme.lower() != "mailto" or addresses.startswith("//"):
        raise UrlRefused("Must be a URL such as mailto:sales@example.com.")
    addresses, _, fields = addresses.partition("?")
    if fields or "#" in addresses:
        raise UrlRefused("Must contain addresses only, separated by commas, and no subject or other header.")
    found = []
    for text in addresses.split(","):
        try:
            address = validate_email(unquote(text).strip(), check_deliverability=False).ascii_email
        except EmailNotValidError as exc:
            raise UrlRefused("Must contain valid addresses, separated by commas.") from exc
        if address is None:
            raise UrlRefused("Must contain only ASCII characters before each @.")
        found.append(address)
    if len(found) > MAX_RECIPIENTS:
        raise UrlRefused(f"Must not contain more than {MAX_RECIPIENTS} addresses.")
    return list(dict.fromkeys(found))


def _subject(summaries: Sequence[Summary]) -> str:
    """A subject that names the people.

    Its texts have no line breaks. The parser of a header decodes encoded words (RFC 2047), which can contain line
    breaks, so none may remain.
    """
    if len(summaries) == 1:
        subject = summaries[0].headline
    else:
        names = list(dict.fromkeys(summary.name for summary in summaries))
        more = [f"{len(names) - MAX_NAMES} more"] if len(names) > MAX_NAMES else []
        kind = "new leads" if {summary.kind for summary in summaries} == {"New lead"} else "messages about leads"
        subject = f"{len(summaries)} {kind}: {', '.join(names[:MAX_NAMES] + more)}"
    return shorten(re.sub(r"=(?=\?)", "= ", subject), MAX_SUBJECT)


def _name(messages: Sequence[Message]) -> str:
    """The part of the Message-ID before the @.

    Each attempt to send the same deliveries has the same one, so that mail programs recognise duplicates. A mail with
    more deliveries has another one, and so have the deliveries of another database.
    """
    ids = [f"{message.delivery_id}/{message.event_id}/{message.time.isoformat()}" for message in messages]
    return f"{messages[0].delivery_id}.{hashlib.sha256(' '.join(ids).encode()).hexdigest()[:24]}"


def _reply_to(summaries: Sequence[Summary]) -> Address | None:
    """The only lead's address, if it can be written in a header without SMTPUTF8."""
    if len(summaries) != 1 or not summaries[0].email:
        return None
    try:
        address = validate_email(summaries[0].email, check_deliverability=False).ascii_email
    except EmailNotValidError:
        return None
    return Address(addr_spec=address) if address else None


@cache
def _templates() -> Environment:
    loader = PackageLoader("leadapi")
    return Environment(loader=loader, autoescape=select_autoescape(), trim_blocks=True, lstrip_blocks=True)
