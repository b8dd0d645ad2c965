"""Settings for gunicorn: gunicorn -c python:leadapi.gunicorn wsgi:app

gunicorn reads its settings as the names of a module, so this one reads the environment when it
is imported. Nothing else of leadapi imports it. A name here that equals one of gunicorn's settings
is taken for that setting, `config` for example.
"""

import gc
import logging
import signal
from typing import Any

from gunicorn.http import message

from leadapi import logs
from leadapi.config import IN_MEMORY, ConfigError, hide_script_name, load
from leadapi.storage import db

_settings = load()
if _settings.database_url.database in IN_MEMORY:
    raise ConfigError("DATABASE_URL must name a file: workers cannot share a database in memory.")

bind = f"[{_settings.host}]:{_settings.port}" if ":" in _settings.host else f"{_settings.host}:{_settings.port}"
workers = _settings.web_concurrency
threads = _settings.threads
# Slow clients do not stop it, and it keeps connections alive.
worker_class = "leadapi.server.worker.SteadyWorker"
# The application is built once, before any worker: faults are told once, and migrations run once.
preload_app = True

# A worker whose main loop hangs is replaced; requests have their own, shorter limits.
timeout = 30
# What is in flight at SIGTERM gets this long. Containers are killed after 10 s by default.
graceful_timeout = 8
# Longer than the idle time of common proxies would let them send into a closing connection.
keepalive = 5

# gunicorn allows 8190 at most, and refuses the rest itself, with an HTML page. The longest query that
# our own filters allow is longer where every character is percent-encoded.
message.MAX_REQUEST_LINE = limit_request_line = 2**16

# Otherwise whoever connects from this machine, a proxy too, may choose the scheme and SCRIPT_NAME.
forwarded_allow_ips = ""

# Both are files in places that a read-only container does not have.
control_socket_disable = True
worker_tmp_dir = "/dev/shm"  # noqa: S108  # gunicorn makes its file there safely

logconfig_dict = logs.dict_config(_settings.log_level)


def on_starting(_server: Any) -> None:
    """Warn an operator whose service is open to other machines by mistake."""
    if _settings.exposure:
        logging.getLogger("leadapi.gunicorn").warning("service.exposed", extra={"reason": _settings.exposure})


def when_ready(_server: Any) -> None:
    """Keep what was built for all workers out of every search for garbage: the last one would hold up a stop."""
    gc.freeze()


def post_fork(_server: Any, worker: Any) -> None:
    """Give each worker connections of its own; the parent's must stay open for the parent."""
    # The parent's way to take a signal is inherited, and would lose one that comes before the worker has its own.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    app = worker.app.wsgi()
    # The application has read it.
    hide_script_name()
    with app.app_context():
        db.engine.dispose(close=False)
