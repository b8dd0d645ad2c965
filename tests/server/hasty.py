"""The service's gunicorn configuration, with short deadlines for slow clients."""

from leadapi.gunicorn import *  # noqa: F403  # gunicorn reads the names of this module
from leadapi.server import connections

connections.SLOW_SECONDS = 1.0
keepalive = 1
