"""Reports in a store, with the models, data sets and labels that they were made from, as small as tests need them."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.artifacts import MANIFEST, Manifest
from pipeline.evaluation import coco, exports
from pipeline.evaluation.detections import JudgedImage
from tests.pipeline.evaluation.scenes import NAMES, scenes

BETTER, WORSE = scenes(30, 1, shift=4), scenes(30, 2, shift=8)
RATE = "training.learning_rate"


def artifact(store: Path, stage: str, fingerprint: str, inputs: dict[str, str], **others: Any) -> Path:
    """Write the folder of an artifact that holds its manifest alone."""
    folder = store / stage / fingerprint
    folder.mkdir(parents=True)
    given = {"code_version": 1, "recipe": {}, "identities": {}, **others}
    (folder / MANIFEST).write_text(json.dumps(asdict(Manifest(stage, fingerprint, inputs=inputs, **given))))
    return folder


def labels(folder: Path, images: dict[str, str], boxes: dict[str, int]) -> None:
    """Write tables with a car in each image of `boxes`, which gives its side."""
    pq.write_table(pa.table({"image": list(images), "split": list(images.values())}), folder / "images.parquet")
    rows = {"image": list(boxes), "category": ["car"] * len(boxes), "box": [{"x": side} for side in boxes.values()]}
    pq.write_table(pa.table(rows), folder / "labels.parquet")


def report(
    store: Path, name: str, images: Sequence[JudgedImage], categories: Sequence[str] = NAMES, rate: float = 0.003
) -> Path:
    """Write a report, the model that it is of, and the labels that this was made from."""
    made = artifact(store, "filtered_labels", f"{name}f", {})
    labels(made, {"a": "train", "b": "train", "v": "val"}, {"a": 3, "b": 4})
    artifact(store, "dataset_zip", f"{name}d", {"filtered_labels": f"{name}f"})
    artifact(store, "trained_model", f"{name}m", {"dataset_zip": f"{name}d"}, recipe={RATE: rate, "seed": 1})
    folder = artifact(store, "evaluation_report", name, {"trained_model": f"{name}m", "dataset_zip": f"{name}d"})
    (folder / "coco_ground_truth.json").write_text(json.dumps(coco.ground_truth(images, categories)))
    exports.write_parquet(images, folder / "detections.parquet")
    return folder
