"""Every setting: read once from the environment, all faults reported together."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click
from dotenv import dotenv_values
from limits import RateLimitItem, parse_many
from marshmallow import EXCLUDE, Schema, ValidationError, fields, validate, validates_schema
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

IN_MEMORY = (None, "", ":memory:")
NONE = "none"


class ConfigError(click.ClickException):
    """Some settings are wrong; the message names each fault on a line of its own.

    It is a click exception so that the `flask` command prints the sentences and not a
    traceback; gunicorn does so with any exception of its configuration module.
    """


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What the operator decided, checked. One attribute per variable, in lower case."""

    database_url: URL
    env: str
    log_level: str
    auto_migrate: bool
    host: str
    port: int
    web_concurrency: int
    threads: int
    max_body_bytes: int
    auth: bool
    public_capture: bool
    idempotency_hours: int
    cors_origins: tuple[str, ...]
    redirect_urls: tuple[str, ...]
    min_fill_seconds: int
    form_secret: str | None = field(repr=False)
    trusted_proxies: int
    rate_limit_capture: tuple[RateLimitItem, ...]
    rate_limit_api: tuple[RateLimitItem, ...]
    # Not shown with the others: it may hold a password.
    redis_url: str | None = field(repr=False)


class DatabaseUrl(fields.Field[URL]):
    """A SQLAlchemy URL for SQLite or PostgreSQL, made independent of the working directory."""

    # Never repeat the value in a message: it may hold a password.
    default_error_messages = {
        "invalid": "must be a URL such as sqlite:///./app.db or postgresql://user:password@host/name.",
        "backend": "must begin with sqlite:// or postgresql://.",
        "uri": "must name a SQLite file by its path, not by a file: URI.",
        "folder": "is in a folder that does not exist.",
        "directory": "names a folder, and not a file in it.",
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
            return url.set(drivername="postgresql+psycopg")
        if url.drivername in ("sqlite", "sqlite+pysqlite"):
            return self._absolute(url)
        raise self.make_error("backend")

    def _absolute(self, url: URL) -> URL:
        if url.database in IN_MEMORY:
            return url
        if str(url.database).startswith("file:"):
            raise self.make_error("uri")
        # Flask-SQLAlchemy would look in its instance folder; people mean the folder they stand in.
        path = Path.cwd() / str(url.database)
        if not path.parent.is_dir():
            raise self.make_error("folder")
        if path.is_dir():
            raise self.make_error("directory")
        return url.set(database=str(path.resolve()))


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
    """Origins as browsers write them (RFC 6454, 6.2), separated by commas; `*` is any, `none` is none."""

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
    """Addresses of pages, separated by commas; `none` is none."""

    default_error_messages = {
        "invalid": "must be none or URLs separated by commas, such as https://www.example.com/thanks."
    }

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> tuple[str, ...]:
        if value == NONE:
            return ()
        urls = tuple(url.strip() for url in value.split(","))
        # Exactly these characters are answered, so they must be such as a header can hold.
        if not all(re.fullmatch(r"https?://[A-Za-z0-9.\[][!-~]*", url) for url in urls):
            raise self.make_error("invalid")
        return urls


class RateLimits(fields.Field[tuple[RateLimitItem, ...]]):
    """Limits such as 60/minute, separated by semicolons, each with another window; `none` is none."""

    default_error_messages = {
        "invalid": "must be none or limits separated by semicolons, such as 5/second;100/hour.",
        "window": "must not have two limits for the same time.",
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
    """Where Redis is; `none` is nowhere."""

    # Never repeat the value in a message: it may hold a password.
    default_error_messages = {
        "invalid": "must be none or a URL such as redis://:password@host:6379/0, rediss://… or redis+unix:///path."
    }

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str | None:
        if value == NONE:
            return None
        try:
            url = urlsplit(value)
            port_is_fine = url.port != 0
        except ValueError as exc:
            raise self.make_error("invalid") from exc
        tcp = url.scheme in ("redis", "rediss") and url.hostname and re.fullmatch(r"/?|/\d{1,4}", url.path)
        unix = url.scheme == "redis+unix" and not url.hostname and len(url.path) > 1
        # The query could change how long requests wait.
        if not (tcp or unix) or not port_is_fine or url.query or url.fragment:
            raise self.make_error("invalid")
        return str(value)


class SettingsSchema(Schema):
    """The environment variables, by their names. `.env.example` explains each of them."""

    class Meta:
        unknown = EXCLUDE

    DATABASE_URL = DatabaseUrl(load_default="sqlite:///./app.db")
    ENV = fields.String(
        load_default="local",
        validate=validate.Regexp(
            r"[a-z][a-z0-9_-]{0,31}\Z", error="must be a short lower-case word such as local or production."
        ),
    )
    LOG_LEVEL = fields.String(
        load_default="INFO",
        validate=validate.OneOf(
            ["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"],
            error="must be one of {choices}.",
        ),
    )
    AUTO_MIGRATE = Switch(load_default=None)
    HOST = fields.String(load_default="127.0.0.1")
    PORT = WholeNumber(1, 65535, load_default=8000)
    WEB_CONCURRENCY = WholeNumber(1, 256, load_default=2)
    THREADS = WholeNumber(1, 256, load_default=4)
    MAX_BODY_BYTES = WholeNumber(1024, 1024**3, load_default=1024**2)
    AUTH = Switch(load_default=None)
    PUBLIC_CAPTURE = Switch(load_default="on")
    IDEMPOTENCY_HOURS = WholeNumber(1, 8760, load_default=24)
    CORS_ORIGINS = Origins(load_default=NONE)
    REDIRECT_URLS = Urls(load_default=NONE)
    MIN_FILL_SECONDS = WholeNumber(0, 3600, load_default=0)
    FORM_SECRET = fields.String(
        load_default=NONE, validate=validate.Regexp(r"(none|.{32,})\Z", error="must be none or at least 32 characters.")
    )
    TRUSTED_PROXIES = WholeNumber(0, 10, load_default=0)
    RATE_LIMIT_CAPTURE = RateLimits(load_default=None)
    RATE_LIMIT_API = RateLimits(load_default=None)
    REDIS_URL = RedisUrl(load_default=NONE)

    @validates_schema(skip_on_field_errors=False)
    def check_secret(self, values: dict[str, Any], **kwargs: Any) -> None:
        """What is signed is signed with something. What is faulty is not among the values."""
        if values.get("MIN_FILL_SECONDS") and values.get("FORM_SECRET") == NONE:
            raise ValidationError("must be given where MIN_FILL_SECONDS is not 0.", "FORM_SECRET")


def load(environ: Mapping[str, str] | None = None) -> Settings:
    """Read and check the settings.

    :param environ: the variables; when not given, the process environment over `.env` in the
        working directory. `NAME_FILE=/path` gives the value of NAME as the content of a file.
        An empty variable counts as not given.
    :raises ConfigError: something is wrong; every fault is in the message.
    """
    if environ is None:
        environ = _environment()

    schema = SettingsSchema()
    given, faults = _given(environ, list(schema.fields))
    defaults = {name: str(field.load_default) for name, field in schema.fields.items() if field.load_default}
    try:
        # Defaults go through the same checks: the default database needs its folder, too.
        values = schema.load(defaults | given)
    except ValidationError as exc:
        faults += [f"{name} {text}" for name, texts in exc.messages_dict.items() for text in texts]
    if faults:
        raise ConfigError("\n".join(["The settings are not usable.", *faults]))

    if values["AUTO_MIGRATE"] is None:
        # One SQLite file belongs to one service; a PostgreSQL database may have other users,
        # so changing its tables is a decision of its operator.
        values["AUTO_MIGRATE"] = values["DATABASE_URL"].get_backend_name() == "sqlite"
    if values["AUTH"] is None:
        # To try it out, one needs no key; whoever names an environment means it.
        values["AUTH"] = values["ENV"] != "local"
    if values["FORM_SECRET"] == NONE:
        values["FORM_SECRET"] = None
    # Whoever tries it out is alone with it; anything else may stand on the open internet.
    alone = values["ENV"] == "local"
    for name, limit in (("RATE_LIMIT_CAPTURE", "60/minute"), ("RATE_LIMIT_API", "600/minute")):
        if values[name] is None:
            values[name] = () if alone else tuple(parse_many(limit))
    return Settings(**{name.lower(): value for name, value in values.items()})


def _environment() -> dict[str, str]:
    """The process environment over `.env`, of which a setting is left out that the environment gives in either way."""
    from_file = {name: value for name, value in dotenv_values(".env").items() if value}
    # The flask command has loaded the file into the environment already; what is the same in both is the file's.
    own = {name: value for name, value in os.environ.items() if value and from_file.get(name) != value}
    ways = {name.removesuffix("_FILE") for name in own}
    return {name: value for name, value in from_file.items() if name.removesuffix("_FILE") not in ways} | own


def _given(environ: Mapping[str, str], names: list[str]) -> tuple[dict[str, str], list[str]]:
    """The values the operator gave, directly or by file, and the faults in how they were given."""
    given: dict[str, str] = {}
    faults: list[str] = []
    for name in names:
        value, path = environ.get(name), environ.get(f"{name}_FILE")
        if value and path:
            faults.append(f"{name} and {name}_FILE are both given; give only one.")
        elif path:
            try:
                given[name] = Path(path).read_text(encoding="utf-8").strip()
            except (OSError, ValueError):
                faults.append(f"{name}_FILE names a file that cannot be read.")
        elif value:
            given[name] = value
    if "LOG_LEVEL" in given:
        given["LOG_LEVEL"] = given["LOG_LEVEL"].upper()
    return given, faults
