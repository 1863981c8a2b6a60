"""The Dagster UI as a person uses it: *Materialize all*, and the nightly run switched on. A long proof in a browser."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import psutil
import pytest

from tests.assets import tiny
from tests.browser import browser_page, needs_chromium

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = "telemetry:\n  enabled: false\nnux:\n  enabled: false\n"
WIDTH, SWITCH = 1400, 42
"""Pixels: the window's width, and how far from its right side the switch of an automation is."""
FIRST_SWITCH = 2
"""Among all boxes to tick: before it are those that select all automations, and the first one."""
RUNS = "{runsOrError{... on Runs{results{status tags{key value}}}}}"

pytestmark = [pytest.mark.soak, needs_chromium]


@pytest.fixture(scope="module")
def ui(tmp_path_factory):
    """The UI's address, with the tiny recipe and a nightly run every minute."""
    home = tmp_path_factory.mktemp("ui")
    (home / "dagster.yaml").write_text(SETTINGS)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {
        **os.environ,
        "BDD_RECIPE": str(tiny.write(home)),
        "BDD_DATA_DIR": str(home / "data"),
        "BDD_SCHEDULE": "* * * * *",
        "DAGSTER_HOME": str(home),
    }
    command = [sys.executable, "-m", "dagster", "dev", "-w", "workspace.yaml", "-p", str(port)]
    with (home / "log").open("wb") as log:
        server = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
        address = f"http://127.0.0.1:{port}"
        try:
            until(lambda: runs(address) == [], f"{home}/log: the UI doesn't answer", 120)
            yield address
        finally:
            family = [server, *psutil.Process(server.pid).children(recursive=True)]
            for each in family:
                each.kill()
            psutil.wait_procs(family[1:], timeout=10)
            server.wait()


def runs(address: str) -> list[tuple[str, str | None]] | None:
    """Return (status, name of the schedule) of each run, the latest first; None while nobody answers."""
    request = urllib.request.Request(f"{address}/graphql", json.dumps({"query": RUNS}).encode())
    request.add_header("Content-Type", "application/json")
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            found = json.load(answer)["data"]["runsOrError"]["results"]
    except urllib.error.URLError:
        return None
    tags = [(run["status"], {tag["key"]: tag["value"] for tag in run["tags"]}) for run in found]
    return [(status, its.get("dagster/schedule_name")) for status, its in tags]


def until(condition, complaint: str, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, complaint
        time.sleep(1)


def switched_on(page, name: str) -> bool:
    """Whether the automation of that name, the first one, is on; clicks its switch, which at first does nothing."""
    switch = page.locator("input[type=checkbox]").nth(FIRST_SWITCH)
    if not switch.is_checked():
        place = page.get_by_text(name, exact=True).bounding_box()
        page.mouse.click(WIDTH - SWITCH, place["y"] + place["height"])
        page.wait_for_timeout(3000)
    return switch.is_checked()


def test_materialize_all_and_the_nightly_run_end_in_success(ui):
    with browser_page(WIDTH) as page:
        page.goto(f"{ui}/asset-groups")
        page.get_by_role("button", name="Materialize all").click()
        until(lambda: runs(ui)[:1] in ([("SUCCESS", None)], [("FAILURE", None)]), "the run doesn't end", 300)
        assert runs(ui) == [("SUCCESS", None)]
        page.goto(f"{ui}/automation")
        until(lambda: switched_on(page, "nightly"), "nightly can't be switched on", 60)
        until(lambda: ("SUCCESS", "nightly") in runs(ui), "the nightly run doesn't come, or doesn't end", 240)
