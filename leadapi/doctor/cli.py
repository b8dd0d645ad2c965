"""flask doctor: check whether the service can do its work, and say what to do."""

from pathlib import Path

import click
import orjson
from flask import Flask, current_app
from flask.cli import AppGroup, FlaskGroup, with_appcontext

from leadapi.config import ConfigError
from leadapi.doctor import service
from leadapi.doctor.verdicts import FAILED
from leadapi.storage.commands import show_table


@click.command("doctor")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option(
    "--backups",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Also check that a backup in this folder is recent.",
)
@with_appcontext
def doctor_command(as_json: bool, backups: Path | None) -> None:
    """Check whether the service can do its work, and say what to do.

    The exit status is 1 if a check failed. Warnings do not change it.
    """
    checks = list(service.examine(current_app.extensions["settings"], backups))
    is_ok = all(check.status != FAILED for check in checks)
    if as_json:
        click.echo(orjson.dumps({"ok": is_ok, "checks": [check._asdict() for check in checks]}))
    else:
        show_table(("CHECK", "STATUS", "DETAIL"), checks)
    click.get_current_context().exit(0 if is_ok else 1)


class OnlyDoctor(AppGroup):
    """The commands while the settings are not usable."""

    def __init__(self, fault: ConfigError) -> None:
        super().__init__()
        self._fault = fault
        self.add_command(doctor_command)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The doctor's name, for `flask --help`, and why there are no others."""
        click.echo(f"{self._fault.message}\n", err=True)
        return super().list_commands(ctx)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command:
        """The doctor.

        :raises ConfigError: another command is asked for.
        """
        command = super().get_command(ctx, cmd_name)
        if command is None:
            raise self._fault
        return command


def app_without_settings(fault: ConfigError) -> Flask:
    """An app that has no command but the doctor, for the `flask` command while it looks for its command.

    :raises ConfigError: anything else asks for the app.
    """
    context = click.get_current_context(silent=True)
    if context is None or not isinstance(context.command, FlaskGroup):
        raise fault
    app = Flask("leadapi")
    app.extensions["settings"] = fault
    app.cli = OnlyDoctor(fault)
    return app
