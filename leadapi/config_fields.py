"""Types of settings: marshmallow fields that read the text of an environment variable."""

import os
import re
import tempfile
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from email_validator import EmailNotValidError, validate_email
from limits import RateLimitItem, parse_many
from marshmallow import ValidationError, fields
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

IN_MEMORY = (None, "", ":memory:")
NONE = "none"


class Host(fields.String):
    """An IP address, or a name that has one."""

    default_error_messages = {"invalid": "must be an IP address or a name, without a port."}
    named = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        try:
            ip_address(value)
        except ValueError as exc:
            if not self.named.fullmatch(value):
                raise self.make_error("invalid") from exc
        return str(value)


class DatabaseUrl(fields.Field[URL]):
    """A SQLAlchemy URL for SQLite or PostgreSQL. A relative path is made absolute."""

    # Messages contain no URL, because it can contain a password.
    default_error_messages = {
        "invalid": "must be a URL such as sqlite:///./app.db or postgresql://user:password@host/name.",
        "backend": "must begin with sqlite:// or postgresql://.",
        "uri": "must name a SQLite file by its path, not by a file: URI.",
        "folder": "names a file in the folder {folder}, where SQLite cannot write: {reason}.",
        "file": "names the file {path}, which cannot be read and written.",
        "directory": "names the folder {path} instead of a file in it.",
        "at": "has an @ in its host: write an @ of the user or password as %40.",
        "name": "must name a PostgreSQL database, as in postgresql://user:password@host/name.",
    }

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> URL:
        try:
            url = make_url(value)
        except (ArgumentError, ValueError) as exc:
            raise self.make_error("invalid") from exc
        if url.drivername in ("postgres", "postgresql", "postgresql+psycopg"):
            if not url.database:
                raise self.make_error("name")
            # Otherwise, messages about the host would contain the end of the password.
            if "@" in (url.host or ""):
                raise self.make_error("at")
            return url.set(drivername="postgresql+psycopg")
        if url.drivername in ("sqlite", "sqlite+pysqlite"):
            return self._absolute(url)
        raise self.make_error("backend")

    def _absolute(self, url: URL) -> URL:
        if url.database in IN_MEMORY:
            return url
        if str(url.database).startswith("file:"):
            raise self.make_error("uri")
        # Flask-SQLAlchemy would resolve it against its instance folder.
        path = (Path.cwd() / str(url.database)).resolve()
        if path.is_dir():
            raise self.make_error("directory", path=path)
        try:
            # SQLite needs files of its own beside the database. os.access() would not tell the reason.
            tempfile.TemporaryFile(dir=path.parent).close()
        except OSError as exc:
            raise self.make_error("folder", folder=path.parent, reason=exc.strerror) from exc
        # Not opened, because closing it would end the locks that SQLite has on it in this process.
        if path.exists() and not os.access(path, os.R_OK | os.W_OK):
            raise self.make_error("file", path=path)
        return url.set(database=str(path))


class Switch(fields.Field[bool]):
    """`on` or `off`."""

    default_error_messages = {"invalid": "must be on or off."}

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> bool:
        try:
            return {"on": True, "off": False}[value.lower()]
        except KeyError as exc:
            raise self.make_error("invalid") from exc


class WholeNumber(fields.Field[int]):
    """Decimal digits, within inclusive bounds."""

    def __init__(self, low: int, high: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.low, self.high = low, high

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> int:
        if re.fullmatch(r"[0-9]{1,15}", value) and self.low <= int(value) <= self.high:
            return int(value)
        raise ValidationError(f"must be a whole number from {self.low} to {self.high}.")


class Origins(fields.Field[tuple[str, ...]]):
    """Origins as browsers serialise them (RFC 6454, 6.2), separated by commas; `*` for all, `none` for no origin."""

    pattern = re.compile(r"https?://([a-z0-9_.-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?")
    default_error_messages = {
        "invalid": "must be none, * or origins separated by commas, such as https://www.example.com, without a path.",
        "port": "must leave out the port 80 of http:// and 443 of https://, as browsers do.",
    }

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> tuple[str, ...]:
        if value == NONE:
            return ()
        origins = tuple(dict.fromkeys(origin.strip().lower() for origin in value.split(",")))
        if origins != ("*",) and not all(self.pattern.fullmatch(origin) for origin in origins):
            raise self.make_error("invalid")
        if any(re.fullmatch(r"http://.*\D:80|https://.*\D:443", origin) for origin in origins):
            raise self.make_error("port")
        return origins


class Urls(fields.Field[tuple[str, ...]]):
    """URLs of pages, separated by commas; `none` for no URL."""

    default_error_messages = {
        "invalid": "must be none or URLs separated by commas, such as https://www.example.com/thanks."
    }

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> tuple[str, ...]:
        if value == NONE:
            return ()
        urls = tuple(url.strip() for url in value.split(","))
        # They are sent in the header Location, which can contain only these characters.
        if not all(re.fullmatch(r"https?://[A-Za-z0-9.\[][!-~]*", url) for url in urls):
            raise self.make_error("invalid")
        return urls


class RateLimits(fields.Field[tuple[RateLimitItem, ...]]):
    """Limits such as 60/minute, separated by semicolons and each with its own window; `none` for no limit."""

    default_error_messages = {
        "invalid": "must be none or limits separated by semicolons, such as 5/second;100/hour.",
        "window": "must not have two limits for the same length of time.",
    }

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> tuple[RateLimitItem, ...]:
        if value == NONE:
            return ()
        try:
            limits = tuple(sorted(parse_many(value)))
        except ValueError as exc:
            raise self.make_error("invalid") from exc
        windows = [limit.get_expiry() for limit in limits]
        if not all(1 <= limit.amount <= 10**9 for limit in limits) or max(windows) > 366 * 86400:
            raise self.make_error("invalid")
        if len(set(windows)) < len(windows):
            raise self.make_error("window")
        return limits


class RedisUrl(fields.Field[str | None]):
    """The URL of a Redis, or `none`."""

    # Messages contain no URL, because it can contain a password.
    default_error_messages = {
        "invalid": "must be none or a URL such as redis://:password@host:6379/0, rediss://… or redis+unix:///path."
    }

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str | None:
        if value == NONE:
            return None
        try:
            url = urlsplit(value)
            port_is_valid = url.port != 0
        except ValueError as exc:
            raise self.make_error("invalid") from exc
        tcp = url.scheme in ("redis", "rediss") and url.hostname and re.fullmatch(r"/?|/\d{1,4}", url.path)
        unix = url.scheme == "redis+unix" and not url.hostname and len(url.path) > 1
        # redis-py takes timeouts from the query, which decide how long requests wait.
        if not (tcp or unix) or not port_is_valid or url.query or url.fragment:
            raise self.make_error("invalid")
        return str(value)


class PublicUrl(fields.Field[str]):
    """The URL by which clients reach the service, without a slash at its end; empty for `none`."""

    default_error_messages = {
        "invalid": "must be none or a URL without query and fragment, such as https://www.example.com/leadapi."
    }

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        if value == NONE:
            return ""
        if not re.fullmatch(r"https?://([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?(/[A-Za-z0-9._~%/-]*)?", value):
            raise self.make_error("invalid")
        return str(value).rstrip("/")


class ScriptName(fields.Field[str]):
    """The path prefix of the service, without a slash at its end; empty for `none`."""

    default_error_messages = {"invalid": "must be none or a path prefix such as /leadapi."}

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        if value == NONE:
            return ""
        if not re.fullmatch(r"(/[A-Za-z0-9._~-]+)*/?", value):
            raise self.make_error("invalid")
        return str(value).rstrip("/")


@dataclass(frozen=True)
class SmtpServer:
    """The server that sends mail.

    :param is_tls: whether the connection is encrypted from its beginning (smtps://).
    :param requires_starttls: whether a server that does not offer STARTTLS is refused.
    """

    host: str
    port: int
    user: str | None
    password: str | None = field(repr=False)
    is_tls: bool
    requires_starttls: bool


class SmtpUrl(fields.Field[SmtpServer | None]):
    """The URL of an SMTP server, or `none`."""

    # Messages contain no URL, because it can contain a password.
    default_error_messages = {
        "invalid": "must be none or a URL such as smtp://user:password@mail.example.com:587 or smtps://…,"
        " with ?starttls=optional for a server without encryption.",
        "ascii": "must have a user and a password of ASCII characters, because the login sends no others.",
    }

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> SmtpServer | None:
        if value == NONE:
            return None
        try:
            url = urlsplit(value)
            port = url.port
        except ValueError as exc:
            raise self.make_error("invalid") from exc
        query = parse_qs(url.query, keep_blank_values=True)
        starttls = query.pop("starttls", ["required"])
        if (
            url.scheme not in ("smtp", "smtps")
            or not url.hostname
            or port == 0
            or query
            or url.fragment
            or url.path not in ("", "/")
            or starttls not in (["required"], ["optional"])
        ):
            raise self.make_error("invalid")
        is_tls = url.scheme == "smtps"
        user, password = (unquote(text) if text else None for text in (url.username, url.password))
        if not f"{user}{password}".isascii():
            raise self.make_error("ascii")
        requires_starttls = not is_tls and starttls == ["required"]
        return SmtpServer(url.hostname, port or (465 if is_tls else 587), user, password, is_tls, requires_starttls)


class MailRecipients(fields.Field[tuple[str, ...]]):
    """Addresses in ASCII, separated by commas; `none` for none."""

    most = 50
    default_error_messages = {
        "invalid": "must be none or at most 50 email addresses separated by commas, with only ASCII before each @."
    }

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        if value == NONE:
            return ()
        try:
            addresses = [validate_email(address.strip(), check_deliverability=False) for address in value.split(",")]
        except EmailNotValidError as exc:
            raise self.make_error("invalid") from exc
        found = tuple(dict.fromkeys(address.ascii_email for address in addresses))
        if None in found or len(found) > self.most:
            raise self.make_error("invalid")
        return found


class MailAddress(MailRecipients):
    """One address in ASCII, or `none`."""

    most = 1
    default_error_messages = {"invalid": "must be none or one email address, with only ASCII before its @."}

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        return next(iter(super()._deserialize(value, attr, data, **kwargs)), None)
