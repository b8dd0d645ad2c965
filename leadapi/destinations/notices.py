"""A mail to the operator about a destination that was disabled because it kept failing."""

import logging
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import make_msgid

from leadapi.config import Settings
from leadapi.destinations import smtp

SUBJECT = "Destination {id} is disabled"
TEXT = """\
Nothing is sent to destination {id} any more, because every attempt has failed for five days.

Due deliveries are kept, and sent when you enable it again:

    flask destinations change {id} --enable

This shows what its receiver answered:

    flask destinations deliveries {id}
"""

logger = logging.getLogger(__name__)


def send_disabled(destination_id: int, settings: Settings) -> None:
    """Send the mail, once, to NOTIFY_EMAIL or else to MAIL_FROM. Without an SMTP_URL there is only the log."""
    if settings.smtp_url is None or settings.mail_from is None:
        return
    recipients = settings.notify_email or (settings.mail_from,)
    mail = EmailMessage(policy=SMTP)
    mail["From"] = settings.mail_from
    mail["To"] = ", ".join(recipients)
    mail["Subject"] = SUBJECT.format(id=destination_id)
    mail["Date"] = datetime.now(UTC)
    mail["Message-ID"] = make_msgid(domain=settings.mail_from.rpartition("@")[2])
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(TEXT.format(id=destination_id))
    outcome = smtp.submit(mail, recipients, settings.smtp_url)
    if outcome.error is not None:
        logger.warning("notice.failed", extra={"destination_id": destination_id, "reason": outcome.error})
