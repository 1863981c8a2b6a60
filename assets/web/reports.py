"""Evaluation reports as pages of the UI's own server, one click from the asset's page."""

import re

from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response

from assets.console import REPORT
from assets.metadata import REPORT_PAGE
from pipeline.artifacts import Store

ROUTE = f"{REPORT_PAGE}{{fingerprint}}"
NO_SCRIPTS = {"Content-Security-Policy": "sandbox; default-src 'none'; img-src data:; style-src 'unsafe-inline'"}
"""What a report may do in the browser, should a name in it have got through the escaping."""


async def answer(request: Request) -> Response:
    """Answer with the report of a fingerprint."""
    fingerprint = request.path_params["fingerprint"]
    page = Store().root / REPORT / fingerprint / "index.html"
    if not re.fullmatch(r"[0-9a-f]{16}", fingerprint) or not page.is_file():
        return PlainTextResponse(f"there is no report {fingerprint} any more\n", 404)
    return FileResponse(page, headers=NO_SCRIPTS)
