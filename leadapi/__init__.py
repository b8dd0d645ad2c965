"""leadapi: a self-hosted lead capture and processing API."""

from collections.abc import Mapping

from flask import Flask

from leadapi import config, errors, health, logs
from leadapi.backups.cli import restore_command
from leadapi.destinations import embedded, notify
from leadapi.destinations.cli import commands as destinations_commands
from leadapi.destinations.deliver import deliver_command
from leadapi.destinations.views import blp as destinations
from leadapi.doctor.cli import app_without_settings, doctor_command
from leadapi.idempotency import decorator as idempotency
from leadapi.inbox import site as inbox
from leadapi.keys import guard
from leadapi.keys.cli import commands as keys_commands
from leadapi.leads import openapi as leads_openapi
from leadapi.leads.cli import commands as leads_commands
from leadapi.leads.stats.views import blp as stats
from leadapi.leads.views import blp as leads
from leadapi.limits import policies as rate_limits
from leadapi.metrics import requests as request_metrics
from leadapi.metrics import views as metrics
from leadapi.quarantine import traps
from leadapi.quarantine.views import blp as forms
from leadapi.retention import worker as retention
from leadapi.retention.cli import purge_command
from leadapi.storage import engines, schema, transactions
from leadapi.storage.cli import commands as db_commands
from leadapi.web import api, cors, docs, headers, outages, pages, proxies


def create_app(environ: Mapping[str, str] | None = None) -> Flask:
    """Build the WSGI application.

    :param environ: settings to use instead of the process environment and `.env`.
    :raises leadapi.config.ConfigError: some settings are wrong; its message names each of them.
    """
    try:
        settings = config.load(environ)
    except config.ConfigError as fault:
        return app_without_settings(fault)
    config.ignore_proxies()

    app = Flask(__name__, static_folder=None)
    app.extensions["settings"] = settings
    # Otherwise Werkzeug redirects /leads//1 to /leads/1.
    app.url_map.merge_slashes = False
    rest = api.init_app(app, settings)
    # Hooks run in this order. `proxies` and `headers` wrap the application, so they run before all hooks.
    logs.init_app(app, settings)
    request_metrics.init_app(app, settings)
    proxies.init_app(app, settings)
    headers.init_app(app, settings)
    cors.init_app(app, settings)
    guard.init_app(app, settings, rest.document)
    rate_limits.init_app(app, settings, rest.document)
    pages.init_app(app, settings)

    engines.init_app(app, settings)
    transactions.init_app(app, settings)
    schema.init_app(app, settings)
    metrics.init_app(app, settings)
    embedded.init_app(app, settings)
    retention.init_app(app, settings)
    notify.init_app(app, settings)
    app.cli.add_command(db_commands)
    db_commands.add_command(restore_command)
    app.cli.add_command(keys_commands)
    app.cli.add_command(leads_commands)
    leads_commands.add_command(purge_command)
    app.cli.add_command(deliver_command)
    app.cli.add_command(destinations_commands)
    app.cli.add_command(doctor_command)
    outages.init_app(app)
    errors.init_app(app, rest.document)
    idempotency.init_app(app, settings, rest.document)
    traps.init_app(app, settings)
    docs.init_app(app)
    leads_openapi.init_app(rest.document)

    rest.register_blueprint(leads)
    rest.register_blueprint(stats)
    rest.register_blueprint(forms)
    rest.register_blueprint(destinations)
    rest.register_blueprint(health.blp)
    inbox.init_app(app, settings)
    return app
