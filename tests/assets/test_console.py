"""What a run says last on a terminal."""

import json
from pathlib import Path

import pytest

from assets.console import last_lines


def artifact(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder


def report(folder: Path, ap: float | None) -> Path:
    artifact(folder)
    (folder / "metrics.json").write_text(json.dumps({"segm": {"AP": ap, "AP50": ap}, "split": "val"}))
    return folder


@pytest.mark.parametrize(
    ("ap", "said"),
    [
        (0.25, "mask AP50 0.250, mask AP 0.250"),
        (None, "mask AP not measurable: the val images hold no instance to find"),
    ],
)
def test_failed_checks_are_counted_then_weights_report_and_ap(tmp_path: Path, ap: float | None, said: str) -> None:
    labels = artifact(tmp_path / "filtered_labels/1")
    model = artifact(tmp_path / "trained_model/2")
    (model / "mask_rcnn_x.h5").touch()
    failed = ["filtered_labels: a", "evaluation_report: judged_on_masks"]
    assert last_lines([labels, model, report(tmp_path / "evaluation_report/3", ap)], failed) == [
        "2 checks did not pass (see above): filtered_labels: a, evaluation_report: judged_on_masks",
        f"weights: {model}/mask_rcnn_x.h5",
        f"report: {tmp_path}/evaluation_report/3/index.html",
        said,
    ]


def test_without_faults_and_without_a_report_the_last_asset_is_named(tmp_path: Path) -> None:
    assert last_lines([artifact(tmp_path / "raw_images/1")]) == [f"raw_images: {tmp_path}/raw_images/1"]
