"""flask leads purge."""

import re
import time
from datetime import timedelta
from typing import Any

import click
from flask.cli import with_appcontext

from leadapi import storage
from leadapi.config_retention import MAX_DAYS, STATUSES
from leadapi.retention import service
from leadapi.storage import schema
from leadapi.storage.commands import exit_on_interrupt, progress_bar


class Age(click.ParamType[timedelta]):
    """A number of days, such as 90d."""

    name = "90d"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        if isinstance(value, timedelta):
            return value
        days = re.fullmatch(r"([0-9]{1,5})d", value)
        if not days or int(days[1]) > MAX_DAYS:
            self.fail(f"give a number of days up to {MAX_DAYS}, as in 90d", param, ctx)
        return timedelta(days=int(days[1]))


@click.command("purge")
@click.option("--status", type=click.Choice(STATUSES), help="Only leads with this status.")
@click.option("--older-than", "age", type=Age(), help="Only leads that were not changed for so many days.")
@click.option("--dry-run", is_flag=True, help="Only tell how many leads it would be.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@with_appcontext
def purge_command(status: str | None, age: timedelta | None, *, dry_run: bool, yes: bool) -> None:
    """Erase leads with a status, or that were not changed for a while.

    They are erased as by DELETE /leads/{id}. Leads that a destination still has to be told of are kept.
    """
    if status is None and age is None:
        raise click.UsageError("Give --status, --older-than or both.")
    schema.require_current()
    chosen: dict[str, Any] = {"status": status, "before": storage.now() - (age or timedelta(seconds=-1))}
    with exit_on_interrupt("Nothing was erased."):
        number = service.count(**chosen)
    if dry_run or not number:
        click.echo(f"{_leads(number)} would be erased.")
        return
    if not yes:
        click.confirm(f"Erase {_leads(number)}? They cannot be restored.", abort=True)
    erased = kept = 0
    with exit_on_interrupt("The same command erases the rest."), progress_bar("Erasing") as advance:
        try:
            for step in service.purge(**chosen):
                erased += step.erased
                kept += step.kept
                advance(erased + kept, number)
                time.sleep(step.pause)
        finally:
            storage.checkpoint(storage.db.engine)
    click.echo(f"{_leads(erased)} {'was' if erased == 1 else 'were'} erased.")
    if kept:
        click.echo(f"{_leads(kept)} {'was' if kept == 1 else 'were'} kept, because a delivery is due.")


def _leads(number: int) -> str:
    return "1 lead" if number == 1 else f"{number:,} leads"
