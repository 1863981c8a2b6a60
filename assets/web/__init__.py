"""What stands between the Dagster UI and requests: only pages of its own may ask it for anything.

Dagster asks nobody who they are, and takes what any web page that is open in the same browser sends to localhost.
"""

import os
from urllib.parse import urlsplit

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocketClose

HOSTS = "BDD_UI_HOSTS"
OWN_HOSTS = {"localhost", "127.0.0.1", "::1"}


class Guard:
    """ASGI middleware that refuses (403) requests under another host's name, and those that other sites' pages send."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        named = os.environ.get(HOSTS, "").lower().split(",")
        self.hosts = OWN_HOSTS.union(filter(None, map(str.strip, named)))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer with the sentence of why not."""
        if scope["type"] not in {"http", "websocket"} or not (fault := self._fault(scope)):
            await self.app(scope, receive, send)
        elif scope["type"] == "websocket":
            await WebSocketClose(reason=fault)(scope, receive, send)
        else:
            await PlainTextResponse(f"{fault}\n", 403)(scope, receive, send)

    def _fault(self, scope: Scope) -> str:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        host, origin = headers.get("host", ""), headers.get("origin")
        if _name(host) not in self.hosts:
            return f"{host} is not a name of this UI: open http://localhost, or give the name in {HOSTS}"
        if origin is not None and origin.partition("://")[2] != host:
            return f"a page of {origin} may not ask {host} for anything"
        if scope["type"] == "http" and scope["path"].endswith("/graphql") and scope["method"] != "POST":
            # a link or a picture of any page asks so, and says no origin
            return "questions come by POST" if scope["query_string"] else ""
        return ""


def _name(host: str) -> str:
    """Return the name in a header `Host`, without its port; nothing for one that can't be."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""
