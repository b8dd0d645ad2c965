"""Settings for gunicorn: gunicorn -c python:leadapi.gunicorn wsgi:app

gunicorn takes its settings from the names of this module, so the environment is read on import. Nothing else of
leadapi may import this module. A name that equals a setting of gunicorn, such as `config`, would set it.
"""

import logging
import shutil
import signal
import tempfile
from pathlib import Path
from typing import Any

from leadapi import logs
from leadapi.config import IN_MEMORY, ConfigError, hide_script_name, load, metrics_folder, share_metrics
from leadapi.destinations import embedded
from leadapi.storage import db

_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108  # gunicorn creates its file there safely

_settings = load()
if _settings.database_url.database in IN_MEMORY:
    raise ConfigError("DATABASE_URL must name a file: workers cannot share a database in memory.")

_host = f"[{_settings.host}]" if ":" in _settings.host else _settings.host
bind = [f"{_host}:{port}" for port in (_settings.port, _settings.metrics_port) if port]
workers = _settings.web_concurrency
threads = _settings.threads
# Buffers requests and responses, so slow clients occupy no thread, and keeps connections alive.
worker_class = "leadapi.server.worker.WaitressWorker"
# Build the application in the master, so that errors are reported once and migrations run once.
preload_app = True

# The master replaces a worker whose event loop hangs for this long. Requests have shorter limits of their own.
timeout = 30
# Requests in flight at SIGTERM have this long to finish. Docker kills a container after 10 s.
graceful_timeout = 8
# Seconds until an idle connection is closed.
keepalive = 5
# Each connection may need three files: a socket, a temporary body, a temporary response. Many systems allow 1024 files.
worker_connections = 300

# gunicorn's own workers would let clients on this machine, proxies included, choose the scheme and SCRIPT_NAME.
forwarded_allow_ips = ""

# A read-only container has no folder for the control socket.
control_socket_disable = True
# Keep the heartbeat file in memory, because a slow disk would delay heartbeats.
worker_tmp_dir = str(_SHARED_MEMORY) if _SHARED_MEMORY.is_dir() else None

if _settings.has_metrics:
    # Before the application is built, which imports prometheus_client.
    share_metrics(tempfile.mkdtemp(prefix="leadapi-metrics-", dir=worker_tmp_dir))

logconfig_dict = logs.dict_config(_settings.log_level)


def on_starting(_server: Any) -> None:
    """Log a warning if the service is open to other machines by mistake."""
    if _settings.exposure:
        logging.getLogger("leadapi.gunicorn").warning("service.exposed", extra={"reason": _settings.exposure})


def post_fork(_server: Any, worker: Any) -> None:
    """Give each worker its own database connections. Those of the parent process stay open for the parent."""
    # The worker inherits the parent's signal handler, which would lose a signal that arrives before the worker's own
    # handler is set.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    app = worker.app.wsgi()
    # The application has read SCRIPT_NAME; gunicorn must not read it, too.
    hide_script_name()
    with app.app_context():
        db.engine.dispose(close=False)


def post_worker_init(worker: Any) -> None:
    """Deliver events in each worker, where DELIVERY says so."""
    embedded.start(worker.app.wsgi())


def child_exit(_server: Any, worker: Any) -> None:
    """Forget the threads and connections of a worker that has ended. What it counted is kept."""
    if _settings.has_metrics:
        from prometheus_client.multiprocess import mark_process_dead  # noqa: PLC0415  # see share_metrics

        mark_process_dead(worker.pid)


def on_exit(_server: Any) -> None:
    """Remove the folder of the metrics."""
    if _settings.has_metrics:
        shutil.rmtree(str(metrics_folder()), ignore_errors=True)


def worker_exit(_server: Any, worker: Any) -> None:
    """Let other processes have the deliveries that this worker has not finished."""
    embedded.stop(worker.app.wsgi())
