"""Reads requests. It refuses those that another HTTP implementation may understand differently."""

import re
import time
from typing import Any

from waitress.parser import HTTPRequestParser, ParsingError
from waitress.utilities import BadRequest, RequestEntityTooLarge

# The limit of the chunk sizes in a chunked body. Decoding one-byte chunks of this limit takes about 0.1 s.
OVERHEAD_BYTES = 2**18
NOT_ASCII = re.compile(rb"[\x80-\xff]")
# The Host header (RFC 9112, 3.2): an address in brackets or a name (RFC 3986, 3.2.2), and a port.
HOST = re.compile(r"(\[[0-9a-f:.]+\]|([\w.~!$&'()*+;=-]|%[0-9a-f]{2})+)(:[0-9]{0,5})?", re.ASCII | re.IGNORECASE)


class Parser(HTTPRequestParser):
    """The parser of waitress, with more reasons to refuse a request. Each connection has one for each request."""

    # Empty until the request line is read, which a malformed request does not have.
    path = ""
    body_bytes_received: int
    is_refused = False

    def __init__(self, settings: Any) -> None:
        super().__init__(settings)
        self.began = time.time()

    def received(self, data: bytes) -> int:
        """Parse input."""
        consumed: int = super().received(data)
        if self.chunked and self.body_bytes_received - len(self.body_rcv) > OVERHEAD_BYTES:
            self.error, self.completed = BadRequest("The chunks are too small."), True
        self.is_refused = self.error is not None
        if self.is_refused or self.body_rcv is None:
            # After 100 Continue, waitress would wait for a body.
            self.expect_continue = False
        if isinstance(self.error, RequestEntityTooLarge):
            # The application sees from the length that the body is missing, and answers 413 as a problem document.
            self.error = None
            length = max(self.content_length, self.adj.max_request_body_size)
            self.headers |= {"CONTENT_LENGTH": str(length), "CONNECTION": "close"}
        return consumed

    def parse_header(self, header_plus: bytes) -> None:
        """Parse the head.

        :raises ParsingError: the answer is 400.
        """
        line, end, fields = header_plus.partition(b"\r\n")
        # curl sends a URL as it was typed, and waitress reads ASCII only.
        line = NOT_ASCII.sub(lambda found: b"%%%02X" % ord(found[0]), line)
        try:
            super().parse_header(line + end + fields)
        except ValueError as exc:
            raise ParsingError("A number or the address is malformed.") from exc
        if not HOST.fullmatch(self.headers.get("HOST", "" if self.version == "1.1" else "localhost")):
            raise ParsingError("A request names one host.")
        if "TRANSFER_ENCODING" in self.headers or (self.chunked and "CONTENT_LENGTH" in self.headers):
            raise ParsingError("A request has one length.")
        if self.version not in ("1.0", "1.1") or not (self.path.startswith("/") or self.proxy_netloc):
            raise ParsingError("The request line is malformed.")
        if self.path.startswith("//"):
            # waitress would remove the first slashes, but //leads is not /leads. No route begins with this.
            self.path = f"/.{self.path}"
