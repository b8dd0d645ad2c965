"""A receiver of webhooks that costs little: it accepts everything.

python tests/benchmarks/sink.py PORT
"""

import asyncio
import sys


class Sink(asyncio.Protocol):
    """One connection with one request."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.data = b""

    def data_received(self, data: bytes) -> None:
        self.data += data
        head, _, body = self.data.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0] or 0)
        if len(body) >= length and isinstance(self.transport, asyncio.WriteTransport):
            self.transport.write(b"HTTP/1.1 204 No Content\r\n\r\n")
            self.data = b""


async def main() -> None:
    """Serve until killed."""
    server = await asyncio.get_running_loop().create_server(Sink, "127.0.0.1", int(sys.argv[1]))
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
