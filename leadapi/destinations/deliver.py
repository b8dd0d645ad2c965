"""flask deliver: deliver events in a process of its own (DELIVERY=external)."""

import signal

import click
from flask.cli import ScriptInfo, pass_script_info, with_appcontext

from leadapi.destinations.dispatcher import Dispatcher, Pace
from leadapi.storage import schema
from leadapi.storage.commands import DatabaseCommand

# Nobody wakes this process, so it asks the database often. Outcomes are recorded and deliveries claimed in batches.
POLL_SECONDS = 0.05
PASS_SECONDS = 0.01
SIGNALS = {signal.SIGTERM, signal.SIGINT}


@click.command("deliver", cls=DatabaseCommand)
@click.option(
    "--concurrency", type=click.IntRange(1, 256), default=32, show_default=True, help="How many attempts run at once."
)
@pass_script_info
@with_appcontext
def deliver_command(info: ScriptInfo, concurrency: int) -> None:
    """Deliver events to their destinations until stopped.

    Set DELIVERY=external for the service. Any number of these processes may run, on any number of hosts.
    """
    schema.require_current()
    pace = Pace(
        slots=concurrency,
        pass_seconds=PASS_SECONDS,
        most_per_pass=concurrency,
        share=1.0,
        poll_seconds=POLL_SECONDS,
    )
    dispatcher = Dispatcher(info.load_app(), pace)
    # Threads inherit the mask, so the signals stay pending until this thread takes them.
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    dispatcher.start()
    click.echo("Delivering. Ctrl-C stops.", err=True)
    taken = signal.sigwait(SIGNALS)
    dispatcher.stop()
    if taken == signal.SIGINT:
        click.echo("Stopped. What is due is delivered when you start it again.", err=True)
        click.get_current_context().exit(130)
