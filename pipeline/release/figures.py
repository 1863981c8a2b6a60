"""Figures of a report, as the gate and the model card read them."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.errors import ArtifactError

if TYPE_CHECKING:
    from pipeline.evaluation.measures.resampling import Differences


def metrics(report: Path) -> dict[str, Any]:
    """Return the content of a report's metrics.json; raises ArtifactError where it can't be read."""
    file = report / "metrics.json"
    try:
        return json.loads(file.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{file}: not the figures of a report ({error})") from None


def mask_ap(report: Path, category: str = "") -> float | None:
    """Return the mask AP of a report, or of one of its classes; None where it could not be measured."""
    segm = metrics(report)["segm"]
    return (segm["per_class"].get(category, {}) if category else segm).get("AP")


def rows(mask: "Differences") -> Iterator[dict[str, Any]]:
    """Yield a row for AP, AP50 and the AP of each class: before, after, and the interval of the difference."""
    for name, each in mask.by_name.items():
        low, high = (each.interval.low, each.interval.high) if each.interval else (None, None)
        yield {
            "figure": name,
            "before": each.before,
            "after": each.after,
            "difference": each.difference,
            "low": low,
            "high": high,
        }
