"""flask destinations: manage where events are sent, try it out, and send again what failed."""

import time
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import click
from flask import current_app
from marshmallow import Schema, ValidationError

from leadapi.destinations import errors, queue, schemas, service
from leadapi.destinations.models import DELIVERED, DUE
from leadapi.destinations.representations import DestinationWithSecret, ShownDestination
from leadapi.storage import schema
from leadapi.storage.commands import DatabaseGroup, show_table
from leadapi.web.fields import MAX_ID, Instant
from leadapi.web.parsing import flat

COLUMNS = ("ID", "KIND", "URL", "EVENTS", "SOURCES", "STATE", "LAST DELIVERY")
DELIVERY_COLUMNS = ("ID", "TYPE", "LEAD", "STATE", "ATTEMPTS", "LAST ATTEMPT", "NEXT ATTEMPT", "STATUS", "ERROR")
# How often a test looks at its delivery, and after which time without an attempt it gives a hint: a dispatcher takes a
# delivery within a second, but waits a minute between two mails.
ASK_SECONDS = 0.2
HINT_SECONDS = 5.0
HINT = (
    "No dispatcher has taken the delivery yet. With DELIVERY=embedded, the service must be running; with"
    " DELIVERY=external, `flask deliver` must be. A mail waits until a minute after the one before."
)

destination_id = click.argument("destination_id", metavar="ID", type=click.IntRange(1, MAX_ID))


class DestinationsGroup(DatabaseGroup):
    """Commands that say in one sentence what is refused."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except errors.FieldRefused as exc:
            raise click.ClickException(_sentence(exc.errors)) from exc
        except errors.Refused as exc:
            raise click.ClickException(str(exc)) from exc


class Moment(click.ParamType[datetime]):
    """A time with its zone, such as 2026-02-28T10:00:00Z."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        try:
            moment: datetime = Instant().deserialize(value)
        except ValidationError as exc:
            self.fail(" ".join(exc.messages), param, ctx)
        return moment


commands = DestinationsGroup("destinations", help="Manage where events are sent.")


def _with_fields(command: Any) -> Any:
    """Decorator: the options that both `create` and `change` have."""
    for option in (
        click.option("--description", help="What it is, for people."),
        click.option(
            "--header", "headers", multiple=True, help="A webhook's own header, as 'Name: value'. Repeatable."
        ),
        click.option("--source", "sources", multiple=True, help="Only leads from this source. Repeatable."),
        click.option("--event", "events", multiple=True, help=f"{', '.join(service.EVENTS)}. Repeatable."),
    ):
        command = option(command)
    return command


@commands.command()
@click.argument("kind", type=click.Choice(list(service.KINDS)))
@click.argument("url")
@_with_fields
def create(kind: str, url: str, **options: Any) -> None:
    """Create a destination of a KIND at a URL, and show the secret of a webhook once.

    The URL is https://… for a webhook, mailto:… for mail, and an Apprise URL for a chat.
    """
    schema.require_current()
    given = {"kind": kind, "url": url, **_given(options)}
    destination = service.create_destination(
        **_loaded(schemas.NewDestinationSchema(), given), settings=current_app.extensions["settings"]
    )
    click.echo(f"Destination {destination.id} is created.", err=True)
    _show_secret(destination)


@commands.command(name="list")
def show_list() -> None:
    """List all destinations, without their secrets."""
    schema.require_current()
    rows: list[tuple[str, ...]] = []
    after: int | None = 0
    while after is not None:
        page = service.list_destinations(limit=100, after=after)
        rows += map(_row, page.items)
        after = page.next_after
    show_table(COLUMNS, rows)


@commands.command()
@destination_id
def show(destination_id: int) -> None:
    """Show all fields of a destination but its secrets."""
    schema.require_current()
    _show(service.show_destination(destination_id))


@commands.command()
@destination_id
@click.option("--url", help="The new URL.")
@_with_fields
@click.option("--all-sources", is_flag=True, help="Leads from all sources.")
@click.option("--remove-header", "removed", multiple=True, help="The name of a header to remove. Repeatable.")
@click.option("--enable/--disable", "enabled", default=None, help="Send events to it, or keep them back.")
def change(destination_id: int, *, all_sources: bool, removed: tuple[str, ...], **options: Any) -> None:
    """Change some fields of a destination."""
    schema.require_current()
    changes = _given(options)
    if all_sources:
        changes["sources"] = None
    if removed:
        changes["headers"] = {**changes.get("headers", {}), **dict.fromkeys(removed)}
    loaded = _loaded(schemas.DestinationChangesSchema(), changes)
    _show(service.change_destination(destination_id, loaded, settings=current_app.extensions["settings"]))


@commands.command()
@destination_id
@click.confirmation_option(prompt="Delete the destination and its deliveries, also those that are due?")
def delete(destination_id: int) -> None:
    """Delete a destination and its deliveries."""
    schema.require_current()
    service.delete_destination(destination_id)
    click.echo(f"Destination {destination_id} is deleted.")


@commands.command()
@destination_id
def rotate(destination_id: int) -> None:
    """Give a webhook a new secret and show it once. The one before signs along for 24 hours."""
    schema.require_current()
    _show_secret(service.rotate_secret(destination_id))


@commands.command()
@destination_id
@click.option("--wait", default=100, show_default=True, help="For how many seconds to wait for the first attempt.")
def test(destination_id: int, wait: int) -> None:
    """Send a test event to a destination, and tell how it went.

    The event goes through the same queue as every other. The exit status is 1 unless it was delivered.
    """
    schema.require_current()
    delivery_id = service.send_test(destination_id)["id"]
    click.echo(f"Delivery {delivery_id} is due.", err=True)
    delivery = _wait_for_attempt(destination_id, delivery_id, wait)
    if delivery["state"] == DELIVERED:
        click.echo(f"Delivered in {delivery['duration_ms']} ms{_with_status(delivery)}.")
        return
    if delivery["attempts"] == 0:
        raise click.ClickException(HINT)
    if delivery["error"] is None:
        raise click.ClickException("The attempt has not ended yet.")
    destination = service.show_destination(destination_id)
    after = f" The next attempt is at {_time(delivery['next_attempt_at'])}." if delivery["state"] == DUE else ""
    if not destination.enabled:
        after = f" The destination is disabled now ({destination.disabled_reason})."
    # The text of a stranger may contain escape sequences of terminals.
    printable = (letter if letter.isprintable() or letter == "\n" else "\ufffd" for letter in delivery["excerpt"] or "")
    said = f"\n{''.join(printable)}".rstrip()
    raise click.ClickException(f"The attempt failed: {delivery['error']}{_with_status(delivery)}.{after}{said}")


@commands.command()
@destination_id
@click.option("--state", type=click.Choice(schemas.STATES), help="Only those in this state.")
@click.option("--limit", type=click.IntRange(1, 100), default=50, show_default=True, help="At most.")
def deliveries(destination_id: int, **part: Any) -> None:
    """List what was sent to a destination, newest first."""
    schema.require_current()
    page = service.list_deliveries(destination_id, descending=True, **part)
    show_table(DELIVERY_COLUMNS, map(_delivery_row, page.items))


@commands.command()
@destination_id
@click.option("--delivery", "delivery_id", type=click.IntRange(1, MAX_ID), help="The id of one delivery.")
@click.option("--since", type=Moment(), help="All that failed at this time or later, such as 2026-02-28T10:00:00Z.")
def replay(destination_id: int, delivery_id: int | None, since: datetime | None) -> None:
    """Send a delivery again, or all that failed since a time."""
    schema.require_current()
    if (delivery_id is None) == (since is None):
        raise click.UsageError("Give either --delivery or --since.")
    if delivery_id is not None:
        service.replay_delivery(destination_id, delivery_id)
        click.echo(f"Delivery {delivery_id} is due.")
    elif since is not None:
        click.echo(f"{service.replay_failed(destination_id, since)} deliveries are due.")


def _given(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options that were given, as the fields of a request."""
    given = {name: value for name, value in options.items() if value not in (None, ())}
    if "headers" in given:
        pairs = [header.partition(":") for header in given["headers"]]
        given["headers"] = {name: value.strip() for name, _, value in pairs}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in given.items()}


def _loaded(body: Schema, given: Mapping[str, Any]) -> dict[str, Any]:
    """The fields as the API accepts them."""
    try:
        loaded: dict[str, Any] = body.load(given)
    except ValidationError as exc:
        raise click.ClickException(_sentence(flat(exc.messages_dict))) from exc
    return loaded


def _sentence(faults: Mapping[str, list[str]]) -> str:
    return " ".join(f"{name}: {' '.join(messages)}" for name, messages in faults.items())


def _wait_for_attempt(destination_id: int, delivery_id: int, seconds: int) -> dict[str, Any]:
    """The delivery once its first attempt has ended or the time is over."""
    started = time.monotonic()
    is_hinted = False
    while True:
        delivery = queue.show_delivery(destination_id, delivery_id)
        waited = time.monotonic() - started
        if delivery["state"] != DUE or delivery["error"] is not None or waited >= seconds:
            return delivery
        if not is_hinted and delivery["attempts"] == 0 and waited >= HINT_SECONDS:
            is_hinted = True
            click.echo(HINT, err=True)
        time.sleep(ASK_SECONDS)


def _show_secret(destination: ShownDestination) -> None:
    if isinstance(destination, DestinationWithSecret):
        click.echo("This is its secret. It is shown only now; keep it in a safe place.", err=True)
        click.echo(destination.secret)


def _show(destination: ShownDestination) -> None:
    texts = {name: _text(value) for name, value in asdict(destination).items()}
    width = max(map(len, texts))
    for name, text in texts.items():
        click.echo(f"{name.ljust(width)}  {text}")


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return _time(value)
    if isinstance(value, dict):
        return " ".join(_text(each) for each in value.values() if each is not None)
    return (", ".join(value) if isinstance(value, list) else str(value or "")) or "-"


def _row(destination: ShownDestination) -> tuple[str, ...]:
    state = "enabled" if destination.enabled else f"disabled ({destination.disabled_reason or 'by hand'})"
    last = destination.last_delivery
    return (
        str(destination.id),
        destination.kind,
        destination.url,
        ",".join(destination.events),
        ",".join(destination.sources or ["all"]),
        state,
        f"{last.state} {_time(last.at)}" if last else "-",
    )


def _delivery_row(delivery: Mapping[str, Any]) -> tuple[str, ...]:
    names = ("id", "type", "lead_id", "state", "attempts", "last_attempt_at", "next_attempt_at", "status", "error")
    cells = (delivery[name] for name in names)
    return tuple("-" if cell is None else _time(cell) if isinstance(cell, datetime) else str(cell) for cell in cells)


def _with_status(delivery: Mapping[str, Any]) -> str:
    return f", status {delivery['status']}" if delivery["status"] is not None else ""


def _time(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
