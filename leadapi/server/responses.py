"""Sends responses as waitress does, with fewer packets."""

from waitress.task import WSGITask

from leadapi.server.framing import Parser


class Task(WSGITask):
    """A request and its response."""

    request: Parser
    wrote_header: bool
    chunked_response: bool

    def build_response_header(self) -> bytes:
        """Build the head of the response. waitress would send a last chunk in a response to HEAD."""
        head: bytes = super().build_response_header()
        self.chunked_response = self.chunked_response and self.request.command != "HEAD"
        return head

    def write(self, data: bytes) -> None:
        """Send a response of one piece in one packet."""
        if self.wrote_header or not self.has_body or self.content_length != len(data):
            super().write(data)
        else:
            self.channel.write_soon(self.build_response_header() + data)
            self.wrote_header = True
            self.content_bytes_written = len(data)
