"""Hands mail over to the server that SMTP_URL names."""

import smtplib
from collections.abc import Sequence
from contextlib import closing, suppress
from email.message import EmailMessage

from leadapi.config_fields import SmtpServer
from leadapi.destinations import egress, kinds
from leadapi.destinations.kinds import Outcome

# The size of the mail is refused; RFC 1870 allows this reply to MAIL FROM, too.
TOO_LARGE = 552


def submit(mail: EmailMessage, recipients: Sequence[str], server: SmtpServer) -> Outcome:
    """Send a mail to recipients, once. It is a success if the server accepts it for at least one of them."""
    # The operator has set the server, which is often in a private network.
    with egress.Guard(allow_private=True) as guard:
        try:
            with closing(_connect(server)) as smtp:
                outcome = _submit(smtp, mail, recipients, server)
                # The answer to QUIT says nothing about the mail.
                with suppress(OSError):
                    smtp.quit()
                return outcome
        except smtplib.SMTPServerDisconnected as exc:
            return Outcome(error=guard.error(exc))
        # All errors of smtplib are OSErrors.
        except smtplib.SMTPException as exc:
            return _refusal(exc)
        # smtplib raises a ValueError for a challenge that is not base64.
        except (OSError, ValueError) as exc:
            return Outcome(error=guard.error(exc))


def _connect(server: SmtpServer) -> smtplib.SMTP:
    if server.is_tls:
        return smtplib.SMTP_SSL(server.host, server.port, timeout=kinds.DEADLINE_SECONDS, context=egress.tls())
    return smtplib.SMTP(server.host, server.port, timeout=kinds.DEADLINE_SECONDS)


def _submit(smtp: smtplib.SMTP, mail: EmailMessage, recipients: Sequence[str], server: SmtpServer) -> Outcome:
    smtp.ehlo_or_helo_if_needed()
    if not server.is_tls and smtp.has_extn("starttls"):
        try:
            # Where no encryption is accepted as well, a certificate that is not valid is no worse.
            smtp.starttls(context=egress.tls(verify=server.requires_starttls))
        except smtplib.SMTPResponseException as exc:
            return Outcome(error=kinds.TLS, status=exc.smtp_code, excerpt=_text(exc.smtp_error))
    elif server.requires_starttls:
        return Outcome(error=kinds.TLS)
    if server.user is not None:
        smtp.login(server.user, server.password or "")
    refused = smtp.send_message(mail, to_addrs=recipients)
    return Outcome(status=250, excerpt=_replies(refused))


def _refusal(exc: smtplib.SMTPException) -> Outcome:
    """The outcome of a refusal. Replies of 400 to 499 are temporary."""
    if isinstance(exc, smtplib.SMTPRecipientsRefused):
        codes = [code for code, _ in exc.recipients.values()]
        is_final = min(codes) >= 500
        error = kinds.RECIPIENT if is_final else kinds.STATUS
        return Outcome(error=error, status=min(codes), is_final=is_final, excerpt=_replies(exc.recipients))
    if not isinstance(exc, smtplib.SMTPResponseException):
        # The server offers no authentication, or no method of it that smtplib knows.
        return Outcome(error=kinds.AUTH, disables=kinds.AUTH, excerpt=_text(str(exc)))
    status, excerpt = exc.smtp_code, _text(exc.smtp_error)
    is_content = isinstance(exc, smtplib.SMTPDataError) or status == TOO_LARGE
    is_sender = isinstance(exc, (smtplib.SMTPAuthenticationError, smtplib.SMTPSenderRefused))
    if status >= 500 and is_sender and not is_content:
        return Outcome(error=kinds.AUTH, status=status, disables=kinds.AUTH, excerpt=excerpt)
    is_final = status >= 500 and is_content
    return Outcome(error=kinds.STATUS, status=status, is_final=is_final, excerpt=excerpt)


def _text(reply: bytes | str) -> str | None:
    return kinds.excerpt(reply if isinstance(reply, bytes) else reply.encode())


def _replies(refused: dict[str, tuple[int, bytes]]) -> str | None:
    """The server's reply for each recipient that it refused."""
    return kinds.excerpt(b"\n".join(b"%s: %d %s" % (to.encode(), code, text) for to, (code, text) in refused.items()))
