"""What a person is told of a run."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg

from assets.console import REPORT, failed_checks, sentence
from assets.keys import stage_of
from pipeline.stages import RELEASED

MOST_CHECKS = 10


@dataclass(frozen=True)
class Message:
    """A subject and lines of text; `facts` are what a program may want of it, by name."""

    subject: str
    lines: tuple[str, ...]
    facts: dict[str, Any]

    @property
    def text(self) -> str:
        """The lines as one text."""
        return "\n".join(self.lines)


def of_run(history: dg.DagsterInstance, run_id: str) -> Message:
    """Return what is to be told of a run that has ended."""
    run = history.get_run_by_id(run_id)
    assert run is not None
    events = [entry.dagster_event for entry in history.all_logs(run_id) if entry.dagster_event]
    checks = failed_checks(events)
    has_failed = run.status != dg.DagsterRunStatus.SUCCESS
    failures = [sentence(event, checks) for event in events if event.is_step_failure]
    ui = os.environ.get("BDD_UI", "").rstrip("/")
    facts = {
        "status": "failed" if has_failed else "succeeded",
        "job": run.job_name,
        "recipe": run.tags.get("recipe", ""),
        "recipe_fingerprint": run.tags.get("recipe_fingerprint", ""),
        "run": run_id,
        "failure": failures[0] if failures else "",
        **_of_the_model(events),
        "checks": [f"{check.asset_key.to_user_string()}: {check.check_name}: {check.description}" for check in checks],
        "link": f"{ui}/runs/{run_id}" if ui else "",
    }
    outcome = "failed" if has_failed else "a new model is released" if facts["released"] else "done"
    return Message(f"{facts['recipe'] or run.job_name}: {outcome}", tuple(_lines(facts)), facts)


def _of_the_model(events: Sequence[dg.DagsterEvent]) -> dict[str, Any]:
    """Return what the run's report and released model say of themselves."""
    made = {stage_of(event.step_key): event for event in events if event.is_step_materialization}
    folder = _metadata(made.get(REPORT), "folder")
    return {
        "verdict": _metadata(made.get(RELEASED), "verdict") or "",
        "released": bool(_metadata(made.get(RELEASED), "released")),
        "mask_AP": _metadata(made.get(REPORT), "segm_AP"),
        "report": str(Path(folder, "index.html")) if folder else "",
    }


def _metadata(made: Any, name: str) -> Any:
    found = made and made.step_materialization_data.materialization.metadata.get(name)
    return found.value if found else None


def _lines(facts: dict[str, Any]) -> Iterator[str]:
    names = " ".join(filter(None, (facts["recipe"], facts["recipe_fingerprint"])))
    of = f" (recipe {names})" if names else ""
    yield f"The run of {facts['job']}{of} {facts['status']}."
    if facts["status"] == "failed":
        yield facts["failure"] or "It ended before a step could say why: its log has more."
    if facts["verdict"]:
        yield f"Model: {facts['verdict']}"
    if facts["mask_AP"] is not None:
        yield f"Mask AP: {facts['mask_AP']:.3f}"
    if facts["checks"]:
        yield f"Checks that did not pass: {len(facts['checks'])}"
        yield from (f"- {check}" for check in facts["checks"][:MOST_CHECKS])
    if facts["report"]:
        yield f"Report: {facts['report']}"
    yield f"Run: {facts['link'] or facts['run']}"
