"""flask keys: create, list and revoke API keys."""

import re
import unicodedata
from datetime import UTC, datetime, timedelta
from typing import Any

import click
from sqlalchemy import Row

from leadapi import storage
from leadapi.keys import service
from leadapi.keys.errors import KeyUnknown
from leadapi.keys.ring import REMEMBERED_SECONDS
from leadapi.storage import schema
from leadapi.storage.commands import DatabaseGroup, show_table

COLUMNS = ("ID", "NAME", "SCOPES", "CREATED", "EXPIRES", "LAST USED", "STATE")
FOREVER = timedelta(days=36500)

commands = DatabaseGroup("keys", help="Create, list and revoke API keys.")


class Moment(click.ParamType[datetime]):
    """A time from now (30d, 12h) or the start of a date in UTC (2027-01-31)."""

    name = "30d|date"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        if isinstance(value, datetime):
            return value
        time = storage.now()
        span = re.fullmatch(r"([0-9]{1,6})([dh])", value)
        try:
            if span:
                hours = int(span[1]) * (24 if span[2] == "d" else 1)
                moment = time + min(timedelta(hours=hours), FOREVER)
            else:
                moment = datetime.strptime(value, "%Y-%m-%d").replace(tzinfo=UTC)
        except ValueError:
            self.fail("give a number of days or hours, as in 30d or 12h, or a date, as in 2027-01-31", param, ctx)
        if moment <= time:
            self.fail("this is in the past", param, ctx)
        return moment


class KeyName(click.ParamType[str]):
    """A name of 1 to 100 printable characters."""

    name = "name"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        name = str(value).strip()
        if not 1 <= len(name) <= 100 or any(unicodedata.category(character)[0] == "C" for character in name):
            self.fail("give 1 to 100 printable characters", param, ctx)
        return name


@commands.command()
@click.option("--name", type=KeyName(), required=True, help="What to call the key, such as the program that uses it.")
@click.option(
    "--scope",
    "scopes",
    type=click.Choice(list(service.SCOPES)),
    required=True,
    multiple=True,
    help=f"{'; '.join(f'{name}: {what}' for name, what in service.SCOPES.items())}. Repeat it for several scopes.",
)
@click.option("--expires", type=Moment(), help="When the key expires: in days or hours (30d, 12h), or on a date (UTC).")
def create(name: str, scopes: tuple[str, ...], expires: datetime | None) -> None:
    """Create a key and show it once."""
    schema.require_current()
    key = service.create_key(name=name, scopes=scopes, expires_at=expires)
    click.echo(f"This is key {key.key_id}. It is shown only now; keep it in a safe place.", err=True)
    click.echo(key.text)


@commands.command(name="list")
def show_list() -> None:
    """List all keys, without their secrets."""
    schema.require_current()
    show_table(COLUMNS, map(_row, service.list_keys()))


@commands.command()
@click.argument("key_id", metavar="ID")
def revoke(key_id: str) -> None:
    """Revoke the key with this ID, as the list shows it."""
    schema.require_current()
    try:
        service.revoke_key(key_id)
    except KeyUnknown as exc:
        raise click.ClickException(str(exc)) from exc
    click.echo(f"Key {key_id} is revoked. Running services refuse it within {REMEMBERED_SECONDS:.0f} seconds.")


def _row(key: Row[Any]) -> tuple[str, ...]:
    expired = key.expires_at is not None and key.expires_at <= datetime.now(UTC)
    state = f"revoked {_time(key.revoked_at)}" if key.revoked_at else "expired" if expired else "valid"
    times = (_time(key.created_at), _time(key.expires_at), _time(key.last_used_at))
    return (key.id, key.name, key.scopes.replace(" ", ","), *times, state)


def _time(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}" if moment else "-"
