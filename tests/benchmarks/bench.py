"""A database, and the processes that a benchmark of deliveries runs on it."""

import tempfile
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path

from destinations.deliverer import Deliverer
from flask import Flask

from leadapi import create_app
from servers import Server
from webhook_receiver import Behaviour, Receiver

HOOK = {"WEBHOOK_ALLOW_PRIVATE": "on", "AUTO_MIGRATE": "on"}


class Bench:
    """One database, and what runs on it.

    :param url: the URL of an empty database.
    """

    def __init__(self, url: str, folder: Path, stack: ExitStack) -> None:
        self.url, self.folder, self._stack = url, folder, stack

    def serve(self, *arguments: str, **environ: str) -> Server:
        """Start a service."""
        folder = Path(tempfile.mkdtemp(dir=self.folder))
        options = (("-c", *arguments) if arguments else ("-c", "python:leadapi.gunicorn"),)
        server = Server({"DATABASE_URL": self.url, **HOOK, **environ}, folder, *options, log=folder / "log")
        self._stack.callback(server.stop)
        return server

    def deliver(self) -> Deliverer:
        """Start `flask deliver`."""
        process = Deliverer({"DATABASE_URL": self.url, **HOOK}, self.folder)
        self._stack.callback(process.stop)
        process.until("Delivering")
        return process

    def receive(self, behave: Callable[[str], Behaviour] = lambda _: 204) -> Receiver:
        """Start a receiver."""
        return self._stack.enter_context(closing(Receiver(behave)))

    def app(self) -> Flask:
        """An app on the database."""
        return create_app({"DATABASE_URL": self.url, "LOG_LEVEL": "ERROR", **HOOK})
