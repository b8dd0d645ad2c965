"""The settings: environment variables, read once and checked. All faults are reported together."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from ipaddress import ip_address
from typing import Any

import click
from dotenv import dotenv_values
from limits import RateLimitItem, parse_many
from marshmallow import EXCLUDE, Schema, ValidationError, fields, validate, validates_schema
from sqlalchemy.engine import URL

from leadapi import config_sources
from leadapi.config_fields import IN_MEMORY as IN_MEMORY  # noqa: PLC0414  # other modules import it from here
from leadapi.config_fields import (
    NONE,
    DatabaseUrl,
    Host,
    MailAddress,
    MailRecipients,
    Origins,
    PublicUrl,
    RateLimits,
    RedisUrl,
    ScriptName,
    SmtpServer,
    SmtpUrl,
    Switch,
    Urls,
    WholeNumber,
)
from leadapi.config_retention import Ages, OptionalHour


class ConfigError(click.ClickException):
    """Some settings are invalid. The message has one line for each fault.

    As a click exception, it makes the `flask` command print the message instead of a traceback. gunicorn does so for
    every exception of its configuration module.
    """


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The valid settings. Each attribute is the lower-case name of a variable, except `warnings`."""

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
    inbox: bool
    idempotency_hours: int
    cors_origins: tuple[str, ...]
    redirect_urls: tuple[str, ...]
    min_fill_seconds: int
    form_secret: str | None = field(repr=False)
    trusted_proxies: int
    rate_limit_capture: tuple[RateLimitItem, ...]
    rate_limit_api: tuple[RateLimitItem, ...]
    # Not in the repr, because it can contain a password.
    redis_url: str | None = field(repr=False)
    # An absolute URL without a slash at its end, or an empty text.
    public_url: str
    # A path without a slash at its end, or an empty text.
    script_name: str
    # `embedded` or `external`.
    delivery: str
    webhook_allow_private: bool
    smtp_url: SmtpServer | None
    mail_from: str | None
    notify_email: tuple[str, ...]
    metrics: bool
    # 0 for none.
    metrics_port: int
    # By status, how long leads are kept after their last change.
    retention: tuple[tuple[str, timedelta], ...]
    scrub_hour: int | None
    # Sentences about settings that are valid but probably a mistake.
    warnings: tuple[str, ...] = ()

    @property
    def has_metrics(self) -> bool:
        """Whether METRICS or METRICS_PORT is set."""
        return self.metrics or self.metrics_port > 0

    @property
    def exposure(self) -> str | None:
        """The sentence for an operator whose service is open to other machines by mistake; None if it is not."""
        lacks = ["no API key"] * (not self.auth) + ["no rate limit"] * (not self.rate_limit_api)
        if self.env != "local" or is_loopback(self.host) or not lacks:
            return None
        return (
            f"HOST={self.host} with ENV=local: callers from other machines meet {' and '.join(lacks)}. "
            "Set ENV=production, unless only you can reach this address."
        )


def is_loopback(host: str) -> bool:
    """Whether only this machine can connect to the address."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class SettingsSchema(Schema):
    """The environment variables. `.env.example` explains each of them."""

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
    HOST = Host(load_default="127.0.0.1")
    PORT = WholeNumber(1, 65535, load_default=8000)
    WEB_CONCURRENCY = WholeNumber(1, 256, load_default=2)
    THREADS = WholeNumber(1, 256, load_default=2)
    MAX_BODY_BYTES = WholeNumber(1024, 1024**3, load_default=1024**2)
    AUTH = Switch(load_default=None)
    PUBLIC_CAPTURE = Switch(load_default="on")
    INBOX = Switch(load_default="on")
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
    PUBLIC_URL = PublicUrl(load_default=NONE)
    SCRIPT_NAME = ScriptName(load_default=NONE)
    DELIVERY = fields.String(
        load_default="embedded",
        validate=validate.OneOf(["embedded", "external"], error="must be embedded or external."),
    )
    WEBHOOK_ALLOW_PRIVATE = Switch(load_default="off")
    SMTP_URL = SmtpUrl(load_default=NONE)
    MAIL_FROM = MailAddress(load_default=NONE)
    NOTIFY_EMAIL = MailRecipients(load_default=NONE)
    METRICS = Switch(load_default="off")
    METRICS_PORT = WholeNumber(0, 65535, load_default=0)
    RETENTION = Ages(load_default=NONE)
    SCRUB_HOUR = OptionalHour(load_default=NONE)

    @validates_schema(skip_on_field_errors=False)
    def check_mail(self, values: dict[str, Any], **kwargs: Any) -> None:
        """Require an SMTP_URL for NOTIFY_EMAIL. Invalid values are not in `values`."""
        if values.get("NOTIFY_EMAIL") and "SMTP_URL" in values and values["SMTP_URL"] is None:
            raise ValidationError("needs SMTP_URL, the server that sends the mail.", "NOTIFY_EMAIL")

    @validates_schema(skip_on_field_errors=False)
    def check_ports(self, values: dict[str, Any], **kwargs: Any) -> None:
        """Require a METRICS_PORT of its own."""
        if values.get("METRICS_PORT") and values["METRICS_PORT"] == values.get("PORT"):
            raise ValidationError("must not be PORT.", "METRICS_PORT")

    @validates_schema(skip_on_field_errors=False)
    def check_secret(self, values: dict[str, Any], **kwargs: Any) -> None:
        """Require a FORM_SECRET for MIN_FILL_SECONDS. Invalid values are not in `values`."""
        if values.get("MIN_FILL_SECONDS") and values.get("FORM_SECRET") == NONE:
            raise ValidationError("must be set if MIN_FILL_SECONDS is not 0.", "FORM_SECRET")


def load(environ: Mapping[str, str] | None = None) -> Settings:
    """Read and check the settings.

    :param environ: the variables. Without it, the process environment and the file `.env` in the working directory
        are used; the environment takes precedence. `NAME_FILE=/path` reads the value of NAME from a file. An empty
        variable counts as not set.
    :raises ConfigError: some settings are invalid.
    """
    schema = SettingsSchema()
    warnings: tuple[str, ...] = ()
    if environ is None:
        from_file = _from_file()
        environ = config_sources.environment(from_file)
        warnings = config_sources.warnings(from_file, list(schema.fields))

    given, faults = config_sources.given(environ, list(schema.fields))
    defaults = {name: str(field.load_default) for name, field in schema.fields.items() if field.load_default}
    try:
        # Defaults are checked too, because the folder of the default database may not be writable.
        values = schema.load(defaults | given)
    except ValidationError as exc:
        faults += [f"{name} {text}" for name, texts in exc.messages_dict.items() for text in texts]
    if faults:
        raise ConfigError("\n".join(["The settings are not usable.", *faults]))

    if values["AUTO_MIGRATE"] is None:
        # A SQLite file belongs to one service. A PostgreSQL database can have other users, so its operator decides.
        values["AUTO_MIGRATE"] = values["DATABASE_URL"].get_backend_name() == "sqlite"
    if values["AUTH"] is None:
        # A local service is for trying out, without keys.
        values["AUTH"] = values["ENV"] != "local"
    if values["MAIL_FROM"] is None and values["SMTP_URL"]:
        # Most servers accept the account's own address, or a recipient of theirs, as the sender.
        user = values["SMTP_URL"].user or ""
        values["MAIL_FROM"] = user if "@" in user else next(iter(values["NOTIFY_EMAIL"]), None)
    if values["FORM_SECRET"] == NONE:
        values["FORM_SECRET"] = None
    for name, limit in (("RATE_LIMIT_CAPTURE", "60/minute"), ("RATE_LIMIT_API", "600/minute")):
        if values[name] is None:
            values[name] = () if values["ENV"] == "local" else tuple(parse_many(limit))
    return Settings(**{name.lower(): value for name, value in values.items()}, warnings=warnings)


def hide_script_name() -> None:
    """Remove SCRIPT_NAME from the environment of this process.

    gunicorn's own workers read it at every request and answer 500 to paths without the prefix. The application has
    read it already and serves both.
    """
    os.environ.pop("SCRIPT_NAME", None)


def share_metrics(folder: str) -> None:
    """Let the processes that this one forks share their metrics in a folder, which is empty.

    prometheus_client reads the variable when it is imported.
    """
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder


def metrics_folder() -> str | None:
    """The folder in which processes share their metrics; None for one process."""
    return os.environ.get("PROMETHEUS_MULTIPROC_DIR")


def ignore_proxies() -> None:
    """Keep requests, by which Apprise sends, from using the proxies of the environment.

    A proxy would connect to the addresses that the guard of outgoing connections refuses.
    """
    os.environ["no_proxy"] = "*"


def _from_file() -> dict[str, str]:
    """The variables of `.env` that are not empty."""
    try:
        return {name: value for name, value in dotenv_values(".env").items() if value}
    except UnicodeDecodeError as exc:
        raise ConfigError(f"The file .env is not UTF-8: see its byte {exc.start}, counted from 0.") from exc
