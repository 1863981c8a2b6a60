"""The Dagster UI as a person uses it: *Materialize all*, the Launchpad, *Terminate*, nightly runs, *Re-execute all*.

Long proofs in a browser.
"""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import dagster as dg
import psutil
import pytest
import yaml

from tests.assets import tiny
from tests.browser import browser_page, needs_chromium

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = "telemetry:\n  enabled: false\nnux:\n  enabled: false\n"
WIDTH, SWITCH = 1400, 42
"""Pixels: the window's width, and how far from its right side the switch of an automation is."""
SECOND_SWITCH = 4
"""Among all boxes to tick: before it are those that select all automations, two of them, and the first switch."""
RUNS = "{runsOrError{... on Runs{results{runId jobName status parentRunId runConfigYaml tags{key value}}}}}"

pytestmark = [pytest.mark.soak, needs_chromium]


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """A folder for the history and the data, with the tiny recipe."""
    folder = tmp_path_factory.mktemp("ui")
    (folder / "dagster.yaml").write_text(SETTINGS)
    tiny.write(folder)
    return folder


def variables(home: Path) -> dict[str, str]:
    return {**os.environ, "BDD_DATA_DIR": str(home / "data"), "DAGSTER_HOME": str(home)}


@pytest.fixture(scope="module")
def ui(home):
    """The UI's address, with the tiny recipe and a nightly run every minute."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = variables(home) | {"BDD_RECIPE": f"{home}/tiny.yaml", "BDD_SCHEDULE": "* * * * *"}
    command = [sys.executable, "-m", "assets.web", "dev", "-w", "workspace.yaml", "-p", str(port)]
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


def records(address: str) -> list[dict[str, Any]] | None:
    """Return what the history keeps of each run, the latest first, `tags` as a mapping; None while nobody answers."""
    request = urllib.request.Request(f"{address}/graphql", json.dumps({"query": RUNS}).encode())
    request.add_header("Content-Type", "application/json")
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            found = json.load(answer)["data"]["runsOrError"]["results"]
    except urllib.error.URLError:
        return None
    return [{**run, "tags": {tag["key"]: tag["value"] for tag in run["tags"]}} for run in found]


def runs(address: str) -> list[tuple[str, str | None]] | None:
    """Return (status, name of the schedule) of each run, the latest first; None while nobody answers."""
    found = records(address)
    return None if found is None else [(run["status"], run["tags"].get("dagster/schedule_name")) for run in found]


def has_ended(address: str, number: int) -> bool:
    """Whether there are so many runs, and the latest has ended."""
    found = runs(address)
    return len(found) == number and found[0][0] in {"SUCCESS", "FAILURE"}


def until(condition, complaint: str, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, complaint
        time.sleep(1)


def switched_on(page, name: str) -> bool:
    """Whether the automation of that name, the second one, is on; clicks its switch, which at first does nothing."""
    switch = page.locator("input[type=checkbox]").nth(SECOND_SWITCH)
    if not switch.is_checked():
        place = page.get_by_text(name, exact=True).bounding_box()
        page.mouse.click(WIDTH - SWITCH, place["y"] + place["height"])
        page.wait_for_timeout(3000)
    return switch.is_checked()


def test_a_run_of_make_run_is_executed_again_with_the_recipe_that_it_had(ui, home):
    recipe = home / "mine.yaml"
    recipe.write_text(yaml.safe_dump(tiny.TINY | {"name": "mine", "seed": 7}))
    command = ["make", "run", f"RECIPE={recipe}", f"VENV={sys.prefix}", "-o", f"{sys.prefix}/.ready"]
    subprocess.run(command, env=variables(home), cwd=ROOT, check=True)
    recipe.write_text("name: another\n")
    before = records(ui)
    first = before[0]
    assert (first["jobName"], first["status"], first["tags"]["recipe"]) == ("whole_chain", "SUCCESS", "mine")
    with browser_page(WIDTH) as page:
        page.goto(f"{ui}/runs/{first['runId']}")
        page.get_by_role("button", name="Re-execute all").click()
        until(lambda: has_ended(ui, len(before) + 1), "the run doesn't end", 240)
    again = records(ui)[0]
    assert (again["jobName"], again["status"], again["parentRunId"]) == ("whole_chain", "SUCCESS", first["runId"])
    assert again["runConfigYaml"] == first["runConfigYaml"]
    for tag in ("recipe", "recipe_file", "recipe_fingerprint"):
        assert again["tags"][tag] == first["tags"][tag]
    assert len(list((home / "data/evaluation_report").glob("[0-9a-f]*/manifest.json"))) == 1


def materialise_all(page, ui: str, config: str = "") -> None:
    """Click *Materialize all*, with a configuration in the Launchpad."""
    page.goto(f"{ui}/asset-groups")
    button = page.get_by_role("button", name="Materialize all")
    button.click(modifiers=["Shift"] if config else [])
    if config:
        page.get_by_text("Launchpad (configure assets)").wait_for()
        until(lambda: page.locator(".CodeMirror").count() == 2, "the Launchpad has no editor", 30)
        page.wait_for_timeout(3000)  # until Dagster has filled it
        page.evaluate("text => document.querySelectorAll('.CodeMirror')[1].CodeMirror.setValue(text)", config)
        page.wait_for_timeout(2000)  # while Dagster looks at it
        page.get_by_role("button").filter(has_text="Materialize").last.click()


def test_a_training_is_seen_cancelled_and_gone_on_with_and_its_report_opened(ui, home):
    with browser_page(WIDTH) as page:
        before = len(runs(ui))
        materialise_all(page, ui)
        until(lambda: has_ended(ui, before + 1), "the first run doesn't end", 300)
        materialise_all(page, ui, "resources: {recipe: {config: {set: {training.stages: [{epochs: 100}]}}}}")
        until(lambda: list((home / "data/trained_model").glob(".partial-*/.live.json")), "no epoch ends", 300)
        page.goto(f"{ui}/assets/trained_model")
        page.get_by_text("Plots", exact=True).click()
        page.get_by_text("live_loss").scroll_into_view_if_needed()
        page.screenshot(path=home / "training.png")
        run = records(ui)[0]
        page.goto(f"{ui}/runs/{run['runId']}")
        page.get_by_role("button", name="Terminate").click()
        page.get_by_role("button", name="Terminate 1 run").click()
        until(lambda: runs(ui)[0][0] == "CANCELED", "the run isn't cancelled", 180)
        page.goto(f"{ui}/runs/{run['runId']}")
        page.get_by_role("button", name="Re-execute all").click()
        until(lambda: has_ended(ui, before + 3), "the run doesn't go on", 600)
        messages, built = history_of(home, records(ui)[0]["runId"])
        assert any("resuming after" in message for message in messages)
        assert built == {"trained_model", "evaluation_report"}
        page.goto(f"{ui}/assets/evaluation_report")
        with page.context.expect_page() as opened:
            page.get_by_role("link", name="/report/").first.click()
        opened.value.get_by_text("mask AP").first.wait_for()
        opened.value.screenshot(path=home / "report.png")
        assert opened.value.url.startswith(f"{ui}/report/")


def history_of(home: Path, run_id: str) -> tuple[list[str], set[str]]:
    """Return the messages of a run, and the assets that it did not find made."""
    with dg.DagsterInstance.from_config(str(home)) as history:
        entries = history.all_logs(run_id)
    events = [entry.dagster_event for entry in entries if entry.dagster_event]
    made = [event for event in events if event.is_step_materialization]
    metadata = {event.step_key: event.step_materialization_data.materialization.metadata for event in made}
    built = {asset for asset, facts in metadata.items() if not facts["cached"].value}
    return [entry.user_message for entry in entries], built


def test_materialize_all_and_the_nightly_run_end_in_success(ui):
    with browser_page(WIDTH) as page:
        before = len(runs(ui))
        materialise_all(page, ui)
        until(lambda: has_ended(ui, before + 1), "the run doesn't end", 300)
        assert (runs(ui)[0], records(ui)[0]["tags"]["recipe"]) == (("SUCCESS", None), "tiny")
        page.goto(f"{ui}/automation")
        until(lambda: switched_on(page, "nightly"), "nightly can't be switched on", 60)
        until(lambda: ("SUCCESS", "nightly") in runs(ui), "the nightly run doesn't come, or doesn't end", 240)
