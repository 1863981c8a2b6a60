"""A web server on this machine that serves one file as well, or as badly, as a test asks for."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Behaviour:
    """What the server does, and what it was asked."""

    content: bytes = bytes(range(256)) * 2000
    etag: str | None = '"one"'
    last_modified: str | None = None
    ranges: bool = True
    break_after: list[int] = field(default_factory=list)
    """For one request after another: bytes of the body after which the connection is dropped."""
    statuses: list[int] = field(default_factory=list)
    """For one request after another: a status in place of the file; 200 serves it."""
    announce: Callable[[int], int | None] = lambda size: size
    """From the true length of the body to the announced one; None announces none."""
    heeds_if_range: bool = True
    """Whether it looks at If-Range at all; one that does not gives the rest of whatever file it has now."""
    drip: float = 0
    """Seconds between two bytes of a body; 0 sends it at once."""
    location: str | None = None
    """Where every request is sent on to."""
    headers: dict[str, str] = field(default_factory=dict)
    on_body: Callable[[], None] | None = None
    """Called before each body is sent."""
    requests: list[dict[str, str]] = field(default_factory=list)
    """The headers of each request."""
    sent: int = 0
    """Bytes of all bodies."""


@contextmanager
def serving(behaviour: Behaviour) -> Iterator[str]:
    """Serve the file as `behaviour` says; gives the server's address, `http://127.0.0.1:<port>`."""
    server = _QuietServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"behaviour": behaviour}))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _QuietServer(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Say nothing: that clients hang up is what the tests are about."""


class _Handler(BaseHTTPRequestHandler):
    behaviour: Behaviour

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        if self.path.startswith("/moved"):
            self._send_status(302, Location=self.path.replace("/moved", "", 1))
            return
        self.behaviour.requests.append(dict(self.headers))
        if self.behaviour.location is not None:
            self._send_status(302, Location=self.behaviour.location)
            return
        status = self.behaviour.statuses.pop(0) if self.behaviour.statuses else 200
        if status != 200:
            self._send_status(status)
        else:
            self._send_file()

    def _send_status(self, status: int, **headers: str) -> None:
        self.send_response(status)
        self._validators()
        for name, value in {"Content-Length": "0", **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()

    def _send_file(self) -> None:
        total = len(self.behaviour.content)
        start = self._start()
        if start is not None and start >= total:
            self._send_status(416, Content_Range=f"bytes */{total}")
            return
        body = self.behaviour.content[start or 0 :]
        self.send_response(200 if start is None else 206)
        self._validators()
        if start is not None:
            self.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
        length = self.behaviour.announce(len(body))
        if length is not None:
            self.send_header("Content-Length", str(length))
        self.end_headers()
        if self.behaviour.on_body:
            self.behaviour.on_body()
        if self.behaviour.break_after:
            body = body[: self.behaviour.break_after.pop(0)]
        self.behaviour.sent += len(body)
        for piece in [body[at : at + 1] for at in range(len(body))] if self.behaviour.drip else [body]:
            self.wfile.write(piece)
            time.sleep(self.behaviour.drip)
        self.close_connection = True

    def _start(self) -> int | None:
        """Return where the asked rest starts, if it is asked for and may be given."""
        asked = self.headers.get("Range")
        validator = self.headers.get("If-Range")
        if (
            not asked
            or not self.behaviour.ranges
            or (self.behaviour.heeds_if_range and validator not in (self.behaviour.etag, self.behaviour.last_modified))
        ):
            return None
        return int(asked.removeprefix("bytes=").rstrip("-"))

    def _validators(self) -> None:
        for name, value in (("ETag", self.behaviour.etag), ("Last-Modified", self.behaviour.last_modified)):
            if value:
                self.send_header(name, value)
        for name, value in self.behaviour.headers.items():
            self.send_header(name, value)
