"""What a run says last on a terminal: checks that did not pass, where weights and report are, and how good they are."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline.artifacts import summary

MODEL, REPORT = "trained_model", "evaluation_report"


def last_lines(made: Sequence[Path]) -> list[str]:
    """Return the last lines of a run that made (or reused) these artifacts, given by their folders, in order."""
    failed = [f"{folder.parent.name}: {check.name}" for folder in made for check in summary.failed_checks(folder)]
    count = f"{len(failed)} check{'s' * (len(failed) > 1)} did not pass (see above): {', '.join(failed)}"
    lines = [count] if failed else []
    folders = {folder.parent.name: folder for folder in made}
    if MODEL in folders:
        lines += [f"weights: {path}" for path in sorted(folders[MODEL].glob("*.h5"))]
    if REPORT in folders:
        return [*lines, *_of_the_report(folders[REPORT])]
    return lines if MODEL in folders else [*lines, f"{made[-1].parent.name}: {made[-1]}"]


def _of_the_report(folder: Path) -> list[str]:
    metrics = json.loads((folder / "metrics.json").read_text("utf-8"))
    return [f"report: {folder / 'index.html'}", _mask_ap(metrics["segm"], metrics["split"])]


def _mask_ap(figures: dict[str, Any], split: str) -> str:
    if figures["AP"] is None or figures["AP50"] is None:
        return f"mask AP not measurable: the {split} images hold no instance to find"
    return f"mask AP50 {figures['AP50']:.3f}, mask AP {figures['AP']:.3f}"
