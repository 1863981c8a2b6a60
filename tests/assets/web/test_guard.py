"""What the UI refuses: other sites' pages, other names for this machine, questions by a link."""

import asyncio
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests

from assets.web import Guard

ROOT = Path(__file__).resolve().parents[3]
QUESTION = {"query": "{version}"}


def answer(kind: str, method: str, query: str, headers: dict[str, str]) -> list[dict[str, Any]]:
    """Return the messages that the guard answers by; none where it passes the request on."""
    sent: list[dict[str, Any]] = []

    async def app(*_: Any) -> None:
        pass

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    given = [(name.encode(), value.encode()) for name, value in ({"host": "localhost:3000"} | headers).items()]
    scope = {"type": kind, "path": "/graphql", "method": method, "query_string": query.encode(), "headers": given}
    asyncio.run(Guard(app)(scope, receive, send))
    return sent


@pytest.mark.parametrize(
    ("headers", "passes"),
    [
        ({}, True),
        ({"origin": "http://localhost:3000"}, True),
        ({"origin": "http://localhost:8080"}, False),
        ({"origin": "https://evil.example"}, False),
        ({"origin": "null"}, False),
        ({"host": "evil.example:3000"}, False),
        ({"host": "evil.example:3000", "origin": "http://evil.example:3000"}, False),
        ({"host": "[::1]:3000", "origin": "http://[::1]:3000"}, True),
        ({"host": "[::1"}, False),
        ({"host": "ML.example.org", "origin": "https://ML.example.org"}, True),
    ],
)
def test_only_a_page_of_its_own_asks_the_ui(monkeypatch, headers, passes):
    monkeypatch.setenv("BDD_UI_HOSTS", "ml.example.org, other")
    sent = answer("http", "POST", "", headers)
    assert [message.get("status") for message in sent[:1]] == ([] if passes else [403])
    closed = answer("websocket", "GET", "", headers)
    assert [message["type"] for message in closed] == ([] if passes else ["websocket.close"])


def test_a_link_asks_nothing():
    assert answer("http", "GET", "", {}) == []
    assert answer("http", "GET", "query=mutation", {})[0]["status"] == 403


def test_make_dev_is_guarded(tmp_path):
    (tmp_path / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    command = [sys.executable, "-m", "assets.web", "dev", "-w", "workspace.yaml", "-p", port]
    environment = {**os.environ, "DAGSTER_HOME": str(tmp_path), "BDD_DATA_DIR": str(tmp_path)}
    with (tmp_path / "log").open("wb") as log:
        server = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
    address = f"http://127.0.0.1:{port}/graphql"
    try:
        _wait_for(address)
        assert requests.post(address, json=QUESTION, timeout=30).json()["data"]["version"]
        report = tmp_path / "evaluation_report/0123456789abcdef"
        report.mkdir(parents=True)
        (report / "index.html").write_text("<title>of val</title>")
        page = requests.get(f"http://127.0.0.1:{port}/report/{report.name}", timeout=30)
        assert (page.text, page.headers["Content-Security-Policy"][:8]) == ("<title>of val</title>", "sandbox;")
        for none in ("0123456789abcdee", "..", "%2e%2e%2f0123456789abcdef"):
            assert requests.get(f"http://127.0.0.1:{port}/report/{none}", timeout=30).text != page.text
        foreign = requests.post(address, json=QUESTION, headers={"Origin": "https://evil.example"}, timeout=30)
        assert (foreign.status_code, foreign.text[:15]) == (403, "a page of https")
    finally:
        family = [*psutil.Process(server.pid).children(recursive=True), psutil.Process(server.pid)]
        for each in family:
            each.kill()
        server.wait()


def _wait_for(address: str) -> None:
    for _ in range(240):
        try:
            requests.get(address, timeout=30)
        except requests.ConnectionError:
            time.sleep(0.5)
        else:
            return
    pytest.fail(f"{address} doesn't answer")
