"""A mail server on this machine for tests: it takes every message, and keeps it."""

import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import cast


class _Session(socketserver.StreamRequestHandler):
    """As much of SMTP (RFC 5321) as smtplib speaks."""

    def handle(self) -> None:
        self._answer("220 here")
        while line := self.rfile.readline():
            words = line.decode().split()
            command = words[0].upper()
            if command == "EHLO":
                self.wfile.write(b"250-here\r\n250 AUTH PLAIN\r\n")
            elif command == "AUTH":
                self.server.logins.append(words[2])  # type: ignore[attr-defined]
                self._answer("235 welcome")
            elif command == "DATA":
                self._answer("354 go on")
                self._take()
            elif command == "QUIT":
                self._answer("221 bye")
                return
            else:
                self._answer("250 ok")

    def _take(self) -> None:
        lines = []
        while (line := self.rfile.readline()) != b".\r\n":
            lines.append(line.removeprefix(b".") if line.startswith(b"..") else line)
        mail = message_from_bytes(b"".join(lines), policy=policy.default)
        self.server.mails.append(cast(EmailMessage, mail))  # type: ignore[attr-defined]
        self._answer("250 taken")

    def _answer(self, text: str) -> None:
        self.wfile.write(f"{text}\r\n".encode())


class MailServer(socketserver.ThreadingTCPServer):
    """The server, the mails that it took, and what clients logged in with (base64)."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Session)
        self.mails: list[EmailMessage] = []
        self.logins: list[str] = []

    @property
    def address(self) -> str:
        """Host and port."""
        return f"127.0.0.1:{self.server_address[1]}"


@contextmanager
def running() -> Iterator[MailServer]:
    """Run a mail server."""
    with MailServer() as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield server
        server.shutdown()
