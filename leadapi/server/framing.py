"""Puts requests together from bytes as they come: tells where one ends, and refuses one that never will.

What the bytes mean is left to gunicorn's strict parsers, which get a request only once it is whole. What is
found here decides when to ask them, never what a request says, so the two cannot be played off against each other.
"""

import re
from io import SEEK_CUR, BytesIO
from types import SimpleNamespace
from typing import Any

from gunicorn.http.body import Body, ChunkedReader, LengthReader
from gunicorn.http.errors import InvalidHeader, LimitRequestHeaders, LimitRequestLine
from gunicorn.http.message import Request

from leadapi.web import parsing

# The longest request line, as gunicorn has it, and as much again for the header fields.
LINE_BYTES = 2**16
HEAD_BYTES = 2 * LINE_BYTES
HEAD_END = b"\r\n\r\n"
PACKET_BYTES = 8192

CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]{1,15})[^\r\n]*\r\n")
CHUNK_LINE_BYTES = 8192


def parser_settings(cfg: Any) -> SimpleNamespace:
    """The settings of gunicorn as plain attributes: asking its own object for them is most of the cost of parsing."""
    return SimpleNamespace(
        **{name: setting.get() for name, setting in cfg.settings.items()},
        is_ssl=cfg.is_ssl,
        forwarded_allow_networks=cfg.forwarded_allow_networks,
    )


class Memory(BytesIO):
    """What gunicorn's parsers read from: bytes that are all there."""

    def read(self, size: int | None = None, read_ahead: int | None = None) -> bytes:
        """So many bytes, or what a network would bring at once: for each chunk, all that was read is copied."""
        return super().read(size or read_ahead or PACKET_BYTES)

    def unread(self, data: bytes) -> None:
        """Put back what was read last."""
        self.seek(-len(data), SEEK_CUR)


class Incoming:
    """What a connection has sent and no answer was given to yet.

    :param max_body: the longest body that is waited for. A request with a longer one is whole without it, says
        how long it is, and is the last of its connection.
    """

    def __init__(self, cfg: Any, client: Any, max_body: int) -> None:
        self.cfg = cfg
        self.client = client
        self.max_body = max_body
        self.data = bytearray()
        self.request: Any = None
        # Whether there may be more on the wire, of which nothing is wanted.
        self.forgotten = False
        # How far the data has been looked at; in a chunked body, where its next chunk begins.
        self._seen = 0
        # The size of the body on the wire; None where only its chunks can tell.
        self._size: int | None = 0
        self._decoded = 0

    def is_whole(self) -> bool:
        """Whether a request is there to be taken.

        :raises ParseException: what has come is no request, and nothing that may follow can make it one.
        """
        if self.request is None and not self._find_head():
            return False
        if self._size is None:
            self._follow_chunks()
        return self._size is not None and len(self.data) >= self._size

    def asks_alone_for(self, path: str) -> bool:
        """Whether the request is for this path, and there is nothing else: no body, and no other request."""
        return bool(self.request.path == path) and not self.data

    def awaits_continue(self) -> bool:
        """Whether the client waits for a word before it sends the body; told once."""
        awaits = bool(self.request and self.request._expected_100_continue)
        if awaits:
            self.request._expected_100_continue = False
        return awaits

    def take(self) -> tuple[Any, bytes]:
        """The request and its body, without chunks; a body that ended early is as short as it came.

        :raises ParseException, OSError: its chunks are broken.
        :raises BadRequest: its chunks are too many.
        """
        self.awaits_continue()
        request, self.request = self.request, None
        end = len(self.data) if self._size is None else min(self._size, len(self.data))
        body = bytes(self.data[:end])
        del self.data[:end]
        self._seen = 0
        if isinstance(request.body.reader, ChunkedReader):
            if self._decoded <= self.max_body:
                body = b"".join(parsing.pieces(Body(ChunkedReader(request, Memory(body)))))
                self._decoded = len(body)
            # Nobody behind this needs to know how the body came.
            request.headers = [field for field in request.headers if field[0] != "TRANSFER-ENCODING"]
            request.headers.append(("CONTENT-LENGTH", str(self._decoded)))
        return request, body

    def _find_head(self) -> bool:
        end = self.data.find(HEAD_END, max(self._seen - len(HEAD_END) + 1, 0))
        if end < 0:
            self._refuse_hopeless()
            self._seen = len(self.data)
            return False
        if end > HEAD_BYTES:
            raise LimitRequestHeaders("too many bytes")
        self.request = Request(self.cfg, Memory(bytes(self.data[: end + 4])), self.client)
        del self.data[: end + 4]
        self._seen = self._decoded = 0
        reader = self.request.body.reader
        self._size = None if isinstance(reader, ChunkedReader) else 0
        if isinstance(reader, LengthReader):
            self._size = reader.length
            if reader.length > self.max_body:
                self._do_without_body()
        return True

    def _refuse_hopeless(self) -> None:
        if self.data.count(b"\n", self._seen) != self.data.count(b"\r\n", max(self._seen - 1, 0)):
            raise InvalidHeader("bare LF as line terminator")
        if len(self.data) > LINE_BYTES and self.data.find(b"\r\n", 2, LINE_BYTES) < 0:
            raise LimitRequestLine("too many bytes")
        if len(self.data) > HEAD_BYTES:
            raise LimitRequestHeaders("too many bytes")

    def _follow_chunks(self) -> None:
        """Look for the end of a chunked body, and set its size where it is found."""
        while self._seen < len(self.data):
            line = CHUNK_LINE.match(self.data, self._seen)
            if line is None:
                if len(self.data) - self._seen > CHUNK_LINE_BYTES or self.data.find(b"\n", self._seen) >= 0:
                    # gunicorn will say what is wrong with it.
                    self._size = len(self.data)
                return
            size = int(line.group(1), 16)
            if size == 0:
                # The trailer, which is empty most of the time.
                end = self.data.find(HEAD_END, line.end() - 2)
                if end >= 0:
                    self._size = end + 4
                elif len(self.data) - line.end() > HEAD_BYTES:
                    raise LimitRequestHeaders("too many bytes")
                return
            self._decoded += size
            self._seen = line.end() + size + 2
            if self._decoded > self.max_body:
                self._do_without_body()
                return
            if self._seen > 2 * self.max_body + HEAD_BYTES:
                raise parsing.too_many_chunks()

    def _do_without_body(self) -> None:
        self.request.force_close()
        self.forget()
        self._size = 0

    def forget(self) -> None:
        """Want nothing more of this client."""
        self.data.clear()
        self.forgotten = True
