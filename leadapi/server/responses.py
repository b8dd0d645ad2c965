"""Answers requests with the WSGI application, on SQLite one at a time unless one is held up."""

import threading

from waitress.task import WSGITask

# One request more may run when another takes so long.
PATIENCE_SECONDS = 0.01


class Task(WSGITask):
    """A request and its response."""

    # The requests of this worker that may run at the same time.
    turns: threading.BoundedSemaphore
    has_turn = False
    wrote_header: bool
    chunked_response: bool

    def service(self) -> None:
        """Answer the request."""
        self.has_turn = self.turns.acquire(timeout=PATIENCE_SECONDS)
        try:
            super().service()
        finally:
            self.end_turn()

    def end_turn(self) -> None:
        """Let another request run."""
        if self.has_turn:
            self.has_turn = False
            self.turns.release()

    def build_response_header(self) -> bytes:
        """Build the head of the response. waitress would send a last chunk in a response to HEAD."""
        head: bytes = super().build_response_header()
        self.chunked_response = self.chunked_response and self.request.command != "HEAD"
        return head

    def write(self, data: bytes) -> None:
        """Send a response of one piece in one packet. A longer one may wait for its client, so its turn ends."""
        if self.wrote_header or not self.has_body or self.content_length != len(data):
            self.end_turn()
            super().write(data)
        else:
            self.channel.write_soon(self.build_response_header() + data)
            self.wrote_header = True
            self.content_bytes_written = len(data)
