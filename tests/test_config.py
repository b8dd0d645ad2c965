"""Settings."""

from pathlib import Path

import pytest
from sqlalchemy.engine import make_url

from conftest import body
from leadapi import config, create_app
from leadapi.config import ConfigError
from leadapi.config_fields import SmtpServer


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_every_setting_has_a_default(folder: Path) -> None:
    settings = config.load({})

    assert settings == config.Settings(
        database_url=make_url(f"sqlite:///{folder}/app.db"),
        env="local",
        log_level="INFO",
        auto_migrate=True,
        host="127.0.0.1",
        port=8000,
        web_concurrency=2,
        threads=2,
        max_body_bytes=1048576,
        auth=False,
        public_capture=True,
        inbox=True,
        idempotency_hours=24,
        cors_origins=(),
        redirect_urls=(),
        min_fill_seconds=0,
        form_secret=None,
        trusted_proxies=0,
        rate_limit_capture=(),
        rate_limit_api=(),
        redis_url=None,
        public_url="",
        script_name="",
        delivery="embedded",
        webhook_allow_private=False,
        smtp_url=None,
        mail_from=None,
        notify_email=(),
        metrics=False,
        metrics_port=0,
        retention=(),
        scrub_hour=None,
    )


def test_every_setting_can_be_given(folder: Path) -> None:
    settings = config.load(
        {
            "DATABASE_URL": "postgresql://zebedee:secret@db.example.com:6543/leads?sslmode=require",
            "ENV": "production",
            "LOG_LEVEL": "warning",
            "AUTO_MIGRATE": "ON",
            "HOST": "0.0.0.0",
            "PORT": "80",
            "WEB_CONCURRENCY": "8",
            "THREADS": "2",
            "MAX_BODY_BYTES": "65536",
            **dict.fromkeys(["AUTH", "PUBLIC_CAPTURE", "INBOX"], "off"),
            "IDEMPOTENCY_HOURS": "48",
            "CORS_ORIGINS": "https://www.example.com, HTTP://[::1]:3000,http://localhost:8080,https://www.example.com",
            "TRUSTED_PROXIES": "2",
            "REDIRECT_URLS": "https://www.example.com/thanks?a=1#top, http://localhost:3000/",
            "MIN_FILL_SECONDS": "3",
            "FORM_SECRET": "secret of 32 characters or more.",
            "RATE_LIMIT_CAPTURE": "100/hour; 5 per second",
            "REDIS_URL": "rediss://:secret@redis.example.com:6380/1",
            "PUBLIC_URL": "https://www.example.com:8443/leadapi/",
            "SCRIPT_NAME": "/leadapi/",
            "DELIVERY": "external",
            "WEBHOOK_ALLOW_PRIVATE": "on",
            "SMTP_URL": "smtps://zebedee%40example.com:secret@mail.example.com:8465",
            "MAIL_FROM": "leads@example.com",
            "NOTIFY_EMAIL": "sales@example.com, boss@EXAMPLE.com",
            "SOMETHING_ELSE": "is not ours",
        }
    )

    assert settings.database_url.render_as_string(hide_password=False) == (
        "postgresql+psycopg://zebedee:secret@db.example.com:6543/leads?sslmode=require"
    )
    assert (settings.env, settings.log_level, settings.auto_migrate) == ("production", "WARNING", True)
    assert (settings.host, settings.port, settings.web_concurrency, settings.threads) == ("0.0.0.0", 80, 8, 2)
    assert (settings.auth, settings.public_capture, settings.inbox) == (False, False, False)
    assert (settings.max_body_bytes, settings.trusted_proxies, settings.idempotency_hours) == (65536, 2, 48)
    assert [(limit.amount, limit.get_expiry()) for limit in settings.rate_limit_capture] == [(5, 1), (100, 3600)]
    assert [(limit.amount, limit.get_expiry()) for limit in settings.rate_limit_api] == [(600, 60)]
    assert settings.redis_url == "rediss://:secret@redis.example.com:6380/1"
    assert (settings.public_url, settings.script_name) == ("https://www.example.com:8443/leadapi", "/leadapi")
    assert "secret" not in repr(settings)
    assert (settings.delivery, settings.webhook_allow_private) == ("external", True)
    assert settings.smtp_url == SmtpServer(
        host="mail.example.com",
        port=8465,
        user="zebedee@example.com",
        password="secret",
        is_tls=True,
        requires_starttls=False,
    )
    assert settings.mail_from == "leads@example.com"
    assert settings.notify_email == ("sales@example.com", "boss@example.com")
    assert (settings.min_fill_seconds, settings.form_secret) == (3, "secret of 32 characters or more.")
    assert settings.redirect_urls == ("https://www.example.com/thanks?a=1#top", "http://localhost:3000/")
    assert settings.cors_origins == ("https://www.example.com", "http://[::1]:3000", "http://localhost:8080")


@pytest.mark.parametrize(("env", "auth"), [("local", False), ("production", True)])
def test_callers_need_keys_everywhere_but_locally(env: str, auth: bool) -> None:
    assert config.load({"ENV": env}).auth is auth
    assert config.load({"ENV": env, "AUTH": "off" if auth else "on"}).auth is not auth


@pytest.mark.parametrize(("env", "amounts"), [("local", []), ("staging", [60, 600]), ("production", [60, 600])])
def test_limits_are_for_what_others_can_reach(env: str, amounts: list[int]) -> None:
    settings = config.load({"ENV": env})

    assert [limit.amount for limit in settings.rate_limit_capture + settings.rate_limit_api] == amounts


@pytest.mark.parametrize(
    "url", ["redis://db", "redis://:secret@[::1]:6379/15", "rediss://db/", "redis+unix:///run/redis"]
)
def test_redis_may_be_anywhere(url: str) -> None:
    assert config.load({"REDIS_URL": url}).redis_url == url


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_every_name_of_postgresql_means_psycopg_3(scheme: str) -> None:
    settings = config.load({"DATABASE_URL": f"{scheme}://db/leads"})

    assert settings.database_url.drivername == "postgresql+psycopg"
    assert settings.auto_migrate is False


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:///./app.db", "app.db"),
        ("sqlite:///app.db", "app.db"),
        ("sqlite:///data/../app.db", "app.db"),
    ],
)
def test_a_relative_database_is_in_the_working_directory(folder: Path, url: str, path: str) -> None:
    (folder / "data").mkdir()

    assert config.load({"DATABASE_URL": url}).database_url.database == str(folder / path)


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:"])
def test_takes_a_database_in_memory(url: str) -> None:
    client = create_app({"DATABASE_URL": url}).test_client()

    assert client.post("/leads", json={"full_name": "Zebedee", "email": "z@example.com"}).status_code == 201
    assert body(client.get("/leads"))["total"] == 1


@pytest.mark.parametrize(
    ("environ", "fault"),
    [
        ({"DATABASE_URL": "leads.db"}, "DATABASE_URL must be a URL"),
        ({"DATABASE_URL": "mysql://db/leads"}, "DATABASE_URL must begin with"),
        ({"DATABASE_URL": "postgresql://db"}, "DATABASE_URL must name a PostgreSQL database"),
        ({"DATABASE_URL": "postgresql://db:port/leads"}, "DATABASE_URL must be a URL"),
        ({"DATABASE_URL": "postgresql://me:zebedee-secret@x@db/leads"}, "DATABASE_URL has an @ in its host"),
        ({"DATABASE_URL": "sqlite:////nowhere/app.db"}, "/nowhere, where SQLite cannot write: No such file"),
        ({"DATABASE_URL": "sqlite:///file:app.db?uri=true"}, "DATABASE_URL must name a SQLite file by its path"),
        ({"ENV": "Über"}, "ENV must be"),
        ({"ENV": "e" * 33}, "ENV must be"),
        ({"LOG_LEVEL": "LOUD"}, "LOG_LEVEL must be one of DEBUG"),
        ({"AUTO_MIGRATE": "yes"}, "AUTO_MIGRATE must be on or off."),
        ({"PORT": "0"}, "PORT must be a whole number from 1 to 65535."),
        ({"PORT": "8000 "}, "PORT must be a whole number from 1 to 65535."),
        ({"PORT": "٨"}, "PORT must be a whole number from 1 to 65535."),
        ({"THREADS": "-1"}, "THREADS must be a whole number from 1 to 256."),
        ({"CORS_ORIGINS": "https://example.com/"}, "CORS_ORIGINS must be none, * or origins"),
        ({"CORS_ORIGINS": "example.com"}, "CORS_ORIGINS must be none, * or origins"),
        ({"CORS_ORIGINS": "https://*.example.com"}, "CORS_ORIGINS must be none, * or origins"),
        ({"CORS_ORIGINS": "*,https://example.com"}, "CORS_ORIGINS must be none, * or origins"),
        ({"CORS_ORIGINS": "https://example.com,"}, "CORS_ORIGINS must be none, * or origins"),
        ({"CORS_ORIGINS": "null"}, "CORS_ORIGINS must be none, * or origins"),
        ({"CORS_ORIGINS": "https://example.com:443"}, "CORS_ORIGINS must leave out the port 80"),
        ({"CORS_ORIGINS": "http://example.com:80"}, "CORS_ORIGINS must leave out the port 80"),
        ({"TRUSTED_PROXIES": "11"}, "TRUSTED_PROXIES must be a whole number from 0 to 10."),
        ({"TRUSTED_PROXIES": "*"}, "TRUSTED_PROXIES must be a whole number from 0 to 10."),
        ({"RATE_LIMIT_API": "60"}, "RATE_LIMIT_API must be none or limits"),
        ({"RATE_LIMIT_API": "0/minute"}, "RATE_LIMIT_API must be none or limits"),
        ({"RATE_LIMIT_API": "5/2year"}, "RATE_LIMIT_API must be none or limits"),
        ({"RATE_LIMIT_API": "60/minute;"}, "RATE_LIMIT_API must be none or limits"),
        ({"RATE_LIMIT_CAPTURE": "60/minute;5/minute"}, "RATE_LIMIT_CAPTURE must not have two limits for the same"),
        ({"REDIS_URL": "localhost:6379"}, "REDIS_URL must be none or a URL"),
        ({"REDIS_URL": "redis://:secret@db:port"}, "REDIS_URL must be none or a URL"),
        ({"REDIS_URL": "redis://db:6379/leads"}, "REDIS_URL must be none or a URL"),
        ({"REDIS_URL": "redis://db?socket_timeout=60"}, "REDIS_URL must be none or a URL"),
        ({"REDIS_URL": "redis://db/0#1"}, "REDIS_URL must be none or a URL"),
        ({"REDIS_URL": "redis://db:0"}, "REDIS_URL must be none or a URL"),
        ({"MIN_FILL_SECONDS": "3"}, "FORM_SECRET must be set if MIN_FILL_SECONDS is not 0."),
        ({"MIN_FILL_SECONDS": "3", "FORM_SECRET": "none"}, "FORM_SECRET must be set if"),
        ({"MIN_FILL_SECONDS": "3", "FORM_SECRET": "s" * 31}, "FORM_SECRET must be none or at least 32 characters."),
        ({"DATABASE_URL": "sqlite:///."}, "DATABASE_URL names the folder "),
        ({"MIN_FILL_SECONDS": "3601"}, "MIN_FILL_SECONDS must be a whole number from 0 to 3600."),
        ({"REDIRECT_URLS": "/thanks"}, "REDIRECT_URLS must be none or URLs"),
        ({"REDIRECT_URLS": "javascript:alert(1)"}, "REDIRECT_URLS must be none or URLs"),
        ({"REDIRECT_URLS": "https://example.com/a b"}, "REDIRECT_URLS must be none or URLs"),
        ({"REDIRECT_URLS": "https://example.com/,"}, "REDIRECT_URLS must be none or URLs"),
        ({"PUBLIC_URL": "www.example.com"}, "PUBLIC_URL must be none or a URL without query and fragment"),
        ({"PUBLIC_URL": "https://example.com/?a=1"}, "PUBLIC_URL must be none or a URL"),
        ({"PUBLIC_URL": "https://example.com/#a"}, "PUBLIC_URL must be none or a URL"),
        ({"PUBLIC_URL": "https://user:secret@example.com"}, "PUBLIC_URL must be none or a URL"),
        ({"PUBLIC_URL": "https://example.com/a b"}, "PUBLIC_URL must be none or a URL"),
        ({"SCRIPT_NAME": "leadapi"}, "SCRIPT_NAME must be none or a path prefix such as /leadapi."),
        ({"SCRIPT_NAME": "//leadapi"}, "SCRIPT_NAME must be none or a path prefix"),
        ({"MAX_BODY_BYTES": "1"}, "MAX_BODY_BYTES must be a whole number from 1024 to"),
    ],
)
def test_an_invalid_setting_is_refused(environ: dict[str, str], fault: str) -> None:
    with pytest.raises(ConfigError) as refused:
        config.load(environ)

    assert len(refused.value.message.splitlines()) == 2
    assert fault in refused.value.message


def test_names_every_fault_at_once_and_no_value(folder: Path) -> None:
    (folder / "both").write_text("local")

    with pytest.raises(ConfigError) as refused:
        config.load(
            {
                "DATABASE_URL": "mysql://zebedee:secret@db/leads",
                "PORT": "secret",
                "ENV": "local",
                "ENV_FILE": str(folder / "both"),
                "THREADS_FILE": str(folder / "missing"),
                "MIN_FILL_SECONDS": "1",
            }
        )

    lines = refused.value.message.splitlines()
    assert lines[0] == "The settings are not usable."
    assert sorted(line.split()[0] for line in lines[1:]) == [
        "DATABASE_URL",
        "ENV",
        "FORM_SECRET",
        "PORT",
        "THREADS_FILE",
    ]
    assert "secret" not in refused.value.message


def test_reads_a_secret_from_a_file(folder: Path) -> None:
    (folder / "url").write_text("postgresql://zebedee:secret@db/leads\n")
    (folder / "secret").write_text("secret of 32 characters or more.\n")

    settings = config.load(
        {
            "DATABASE_URL_FILE": str(folder / "url"),
            "MIN_FILL_SECONDS": "1",
            "FORM_SECRET_FILE": str(folder / "secret"),
        }
    )

    assert settings.database_url.password == "secret"
    assert settings.form_secret == "secret of 32 characters or more."


def test_a_level_may_be_in_lower_case_wherever_it_is_given(folder: Path) -> None:
    (folder / "level").write_text("info\n")

    assert config.load({"LOG_LEVEL_FILE": str(folder / "level")}).log_level == "INFO"


def test_an_empty_variable_counts_as_not_given() -> None:
    assert config.load({"PORT": "", "ENV": "", "ENV_FILE": ""}) == config.load({})


def test_the_environment_goes_before_the_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / ".env").write_text("ENV=staging\nPORT=81\nHOST=::\n# a comment\nTHREADS\n")
    monkeypatch.setenv("PORT", "82")
    monkeypatch.setenv("HOST", "")
    for name in ("ENV", "THREADS"):
        monkeypatch.delenv(name, raising=False)

    settings = config.load()

    assert (settings.env, settings.port, settings.host, settings.threads) == ("staging", 82, "::", 2)


@pytest.mark.parametrize("loaded", [False, True], ids=["by a server", "by the flask command, which loads .env first"])
def test_the_environment_goes_before_the_file_in_whichever_way_either_gives_a_setting(
    folder: Path, monkeypatch: pytest.MonkeyPatch, loaded: bool
) -> None:
    (folder / "secret").write_text("84")
    lines = {"PORT": "81", "THREADS_FILE": "missing", "ENV": "staging"}
    (folder / ".env").write_text("".join(f"{name}={value}\n" for name, value in lines.items()))
    monkeypatch.setenv("PORT_FILE", "secret")
    monkeypatch.setenv("THREADS", "3")
    for name, value in lines.items() if loaded else ():
        monkeypatch.setenv(name, value)

    settings = config.load()

    assert (settings.port, settings.threads, settings.env) == (84, 3, "staging")
