"""flask deliver: deliver events in a process of its own (DELIVERY=external)."""

import signal

import click
from flask import current_app

from leadapi.destinations.dispatcher import Dispatcher, Pace
from leadapi.destinations.service import KINDS
from leadapi.storage import schema

PASS_SECONDS = 0.01
POLL_SECONDS = 0.05
SIGNALS = (signal.SIGTERM, signal.SIGINT)
