"""Receivers on loopback: an HTTP server and an SMTP server that keep what they get, and answer as they are told."""

import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BufferedIOBase
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from servers import free_port

# A self-signed certificate for localhost and 127.0.0.1, with its key, valid until 2126.
CERTIFICATE = Path(__file__).parent / "destinations/localhost.pem"
# The parts of an answer, each written when it is reached.
Answer = Callable[[BufferedIOBase], None]


def tls_of_server() -> ssl.SSLContext:
    """The settings for TLS of a server with the certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    return context


@dataclass(frozen=True)
class Request:
    """A request as it was received.

    :param headers: by name in lower case.
    """

    path: str
    headers: dict[str, str]
    body: bytes


class Receiver(ThreadingHTTPServer):
    """An HTTP server that keeps what it gets.

    :param answers: what to answer to the first requests; to all others 200.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, *answers: bytes | Answer, host: str = "127.0.0.1", tls: bool = False) -> None:
        self.requests: list[Request] = []
        self.answers = list(answers)
        self.connections = 0
        # Set when a sender closes the connection before the answer is complete.
        self.left = threading.Event()
        super().__init__((host, 0), _Handler)
        if tls:
            self.socket = tls_of_server().wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)

    @property
    def netloc(self) -> str:
        """The host and port of its URL."""
        return f"127.0.0.1:{self.server_address[1]}"

    def process_request(self, request: Any, client_address: Any) -> None:
        self.connections += 1
        super().process_request(request, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Senders that end connections are what is tested."""


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        body = self.rfile.read(int(headers.get("content-length", 0)))
        self.server.requests.append(Request(self.path, headers, body))
        answer = self.server.answers.pop(0) if self.server.answers else response(200)
        self.close_connection = True
        try:
            if isinstance(answer, bytes):
                self.wfile.write(answer)
            else:
                answer(self.wfile)
        except OSError:
            self.server.left.set()

    do_GET = do_POST  # noqa: N815  # the name that http.server calls

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the name of the overridden method
        """Print nothing."""


def response(status: int, body: bytes = b"ok", **headers: str) -> bytes:
    """A response as bytes; underscores in the names of headers stand for hyphens."""
    lines = [f"HTTP/1.1 {status} Some Reason", f"Content-Length: {len(body)}", "Connection: close"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


def dripping(start: bytes, pause: float = 0.05) -> Answer:
    """Write the start, and then one byte after the other without an end."""

    def answer(connection: BufferedIOBase) -> None:
        connection.write(start)
        while True:
            connection.write(b"x")
            time.sleep(pause)  # a receiver that drips is what is tested

    return answer


def endless(start: bytes, part: bytes) -> Answer:
    """Write the start, and then the part again and again, as fast as it is read."""

    def answer(connection: BufferedIOBase) -> None:
        connection.write(start)
        while True:
            connection.write(part)

    return answer


@contextmanager
def running(receiver: Receiver) -> Iterator[Receiver]:
    """Let a receiver run."""
    thread = threading.Thread(target=receiver.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield receiver
    finally:
        receiver.shutdown()
        receiver.server_close()
        thread.join()


@dataclass
class Mailbox:
    """The handler of an SMTP server: it keeps the mail that it gets.

    :param replies: the replies to commands, by the name of the command; each is used once.
    """

    replies: dict[str, list[str]] = field(default_factory=dict)
    mails: list[EmailMessage] = field(default_factory=list)
    recipients: list[list[str]] = field(default_factory=list)
    senders: list[str | None] = field(default_factory=list)
    logins: list[tuple[bytes, bytes]] = field(default_factory=list)
    is_encrypted: list[bool] = field(default_factory=list)

    def reply(self, command: str) -> str | None:
        """The next reply to a command; None for a success."""
        replies = self.replies.get(command)
        return replies.pop(0) if replies else None

    async def handle_MAIL(  # noqa: N802  # the name that aiosmtpd calls
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if reply := self.reply("MAIL"):
            return reply
        envelope.mail_from = address
        return "250 OK"

    async def handle_RCPT(  # noqa: N802  # the name that aiosmtpd calls
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if reply := self.reply("RCPT"):
            return reply
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(  # noqa: N802  # the name that aiosmtpd calls
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        if reply := self.reply("DATA"):
            return reply
        content = envelope.content
        assert isinstance(content, bytes)
        mail = message_from_bytes(content, policy=policy.default)
        assert isinstance(mail, EmailMessage)
        self.mails.append(mail)
        self.recipients.append(list(envelope.rcpt_tos))
        self.senders.append(envelope.mail_from)
        assert server.transport is not None
        self.is_encrypted.append(server.transport.get_extra_info("sslcontext") is not None)
        return "250 OK"

    def authenticate(self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any) -> AuthResult:
        """Accept every login, unless there is a reply that refuses it."""
        assert isinstance(data, LoginPassword)
        self.logins.append((data.login, data.password))
        if reply := self.reply("AUTH"):
            return AuthResult(success=False, handled=False, message=reply)
        return AuthResult(success=True)


@contextmanager
def mail_server(mailbox: Mailbox, **options: Any) -> Iterator[str]:
    """Run an SMTP server, and give its host and port.

    :param options: those of `aiosmtpd.smtp.SMTP`, or an `ssl_context` for TLS from the beginning.
    """
    controller = Controller(mailbox, hostname="127.0.0.1", port=free_port(), **options)
    controller.start()
    try:
        yield f"{controller.hostname}:{controller.port}"
    finally:
        with suppress(RuntimeError):
            controller.stop()
