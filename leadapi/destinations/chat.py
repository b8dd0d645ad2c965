"""Chat: events as messages of a few lines, by a service that Apprise knows."""

import gc
import logging
import re
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Self
from urllib.parse import SplitResult, parse_qs, urlsplit

from leadapi.config import Settings
from leadapi.destinations import egress, hosts, kinds
from leadapi.destinations.errors import UrlRefused
from leadapi.destinations.kinds import Message, Outcome, Target
from leadapi.destinations.summary import Summary, shorten, summarize

if TYPE_CHECKING:
    # Apprise takes 0.2 s to import and 17 MB, so only processes that use it import it.
    from apprise import NotifyBase

# These show something on this machine, or write to its log.
_LOCAL = {"blink1", "dbus", "gio", "glib", "gnome", "growl", "kde", "macosx", "qt", "syslog", "windows"}
# Mail has a kind of its own.
_MAIL = {"mailto", "mailtos"}
# Parameters that name files of this machine.
_FILES = {"template", "keyfile", "subfile"}
MAX_TITLE = 150
MAX_TEXT = 500

# In most services, @ at the beginning of a word calls a person, and these words call everybody wherever they are.
_CALL = re.compile(r"@(?=everyone|here|channel|all|room|group)|(?<!\w)@", re.IGNORECASE)
_ZERO_WIDTH_SPACE = "\u200b"
# The beginnings of tags, of links with a text of their own and of code.
_MARKUP = str.maketrans({"<": "\u2039", ">": "\u203a", "[": "(", "]": ")", "`": "'"})
_STATUS = re.compile(r"error=([1-5][0-9]{2})\b")


def check(url: str, settings: Settings) -> str:
    """The URL as it is.

    :raises UrlRefused: Apprise does not know it, or nothing may be sent to it.
    """
    plugin, parts = _written(url)
    scheme = url.partition(":")[0].lower()
    if plugin is None or scheme in _LOCAL:
        raise UrlRefused("Must be the Apprise URL of a chat service, such as slack://… or ntfys://….")
    if scheme in _MAIL:
        raise UrlRefused("Mail is sent by a destination of the kind email.")
    # Apprise finds parameters where urlsplit() sees none, so the URL must first be written by Apprise.
    if files := sorted(_FILES & parse_qs(parts.query).keys()):
        raise UrlRefused(f"Must not have a parameter that names a file: {', '.join(files)}.")
    # For other services, `host` is the name of an account or a token.
    if plugin.host and "host" in plugin.template_tokens:
        hosts.check_host(plugin.host, allow_private=settings.webhook_allow_private)
    return url


def shown(url: str) -> str:
    """The URL without its secrets.

    `str()` hides the tokens that Apprise knows. Where it hides nothing in a path, the path itself can be a secret, such
    as a topic or that of a webhook. Parameters can be headers.
    """
    plugin, parts = _written(url)
    if plugin is None:
        scheme, separator, _ = url.partition("://")
        return f"{scheme}://****" if separator else "****"
    user, _, host = parts.netloc.rpartition("@")
    path = parts.path if "..." in host + parts.path else "/****" if parts.path.strip("/") else ""
    return f"{parts.scheme}://{'****@' if user else ''}{host if plugin.host else '****'}{path}"


def send(target: Target, messages: Sequence[Message], settings: Settings) -> Outcome:
    """Send the only message, once."""
    [message] = messages
    outcomes: list[Outcome] = []
    # Some services of Apprise wait before they repeat a request. Such a wait cannot be ended, only abandoned; the
    # guard refuses the connection that would follow.
    thread = threading.Thread(
        target=lambda: outcomes.append(_notify(target.url, summarize(message, settings), settings)), daemon=True
    )
    thread.start()
    thread.join(kinds.DEADLINE_SECONDS)
    return outcomes[0] if outcomes else Outcome(error=kinds.TIMEOUT)


def compose(summary: Summary) -> tuple[str, str]:
    """The title and the body of a message, in which nothing calls people or is markup."""
    company = next((value for label, value in summary.fields if label == "Company"), None)
    lines = [
        " · ".join(part for part in (company, summary.email) if part),
        shorten(summary.text, MAX_TEXT),
    ]
    body = "\n".join(_plain(line) for line in lines if line)
    return _plain(shorten(summary.headline, MAX_TITLE)), "\n".join(part for part in (body, summary.link) if part)


def _plain(text: str) -> str:
    return _CALL.sub(f"@{_ZERO_WIDTH_SPACE}", text.translate(_MARKUP))


def _notify(url: str, summary: Summary, settings: Settings) -> Outcome:
    title, body = compose(summary)
    plugin: NotifyBase | None = None
    with egress.Guard(allow_private=settings.webhook_allow_private) as guard, _Reasons() as reasons:
        try:
            plugin = _plugin(url)
            if plugin and plugin.notify(body=body or title, title=title if body else "", body_format="text"):
                guard.check_time()
                return Outcome()
        except Exception as exc:  # noqa: BLE001  # the services of Apprise are by many authors, and raise what they like
            return Outcome(error=guard.error(exc))
        finally:
            # Some services log out when they are deleted, which must happen inside of the guard. The traceback of an
            # error that requests has raised can be part of a cycle with the service, which only a collection ends.
            logs_out, plugin = hasattr(plugin, "__del__"), None
            if logs_out:
                gc.collect()
    reason = "\n".join(reasons.texts)
    status = _STATUS.search(reason)
    if guard.fault or (status is None and "connection error" in reason.lower()):
        return Outcome(error=guard.error(ConnectionError()))
    return Outcome(error=kinds.STATUS, status=int(status[1]) if status else None)


class _Reasons(logging.Handler):
    """Collects Apprise's log lines of this thread, its only report of the reason for a failure."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self._ident = threading.get_ident()

    def __enter__(self) -> Self:
        logging.getLogger("apprise").addHandler(self)
        return self

    def __exit__(self, *exc: object) -> None:
        logging.getLogger("apprise").removeHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        if threading.get_ident() == self._ident:
            self.texts.append(record.getMessage())


def _written(url: str) -> "tuple[NotifyBase | None, SplitResult]":
    """The service of Apprise that sends to a URL, and the URL as Apprise writes it, with its tokens hidden."""
    try:
        plugin = _plugin(url)
        return plugin, urlsplit(str(plugin))
    except Exception:  # noqa: BLE001  # some services cannot read, or write, URLs that they do not expect
        return None, urlsplit("")


def _plugin(url: str) -> "NotifyBase | None":
    """The service of Apprise that sends to a URL; None if there is none."""
    from apprise import Apprise, AppriseAsset  # noqa: PLC0415  # see above

    asset = AppriseAsset(app_id="leadapi", app_desc="leadapi", app_url="", image_url_mask="")
    plugin = Apprise.instantiate(url, asset=asset)
    if plugin is not None:
        # These override the parameters of the URL.
        plugin.redirects = False
        plugin.socket_connect_timeout = plugin.socket_read_timeout = kinds.DEADLINE_SECONDS
        plugin.request_rate_per_sec = 0
    return plugin
