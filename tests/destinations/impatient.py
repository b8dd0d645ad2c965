"""The service's gunicorn configuration, with a schedule of attempts that takes seconds instead of hours."""

from leadapi.destinations import kinds, leases, outcomes
from leadapi.gunicorn import *  # noqa: F403  # gunicorn reads the names of this module

kinds.DEADLINE_SECONDS = 1.0
leases.LEASE_SECONDS = 3.0
outcomes.RETRY_SECONDS = (0.5,) * 30
outcomes.BUSY_SECONDS = 1.0
