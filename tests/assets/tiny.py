"""A recipe that takes the whole chain through in seconds: a few scenes, a few steps of a small network."""

from pathlib import Path

import yaml

TINY = {
    "name": "tiny",
    "source": {"sample": {"train": 4, "val": 3}},
    "dataset": {"split": "path"},
    "training": {
        "backbone": "narrow",
        "weights": "none",
        "min_dim": 64,
        "max_dim": 256,
        "batch_size": 2,
        "steps_per_epoch": 2,
        "validation_steps": 1,
        "stages": [{"layers": "all", "epochs": 1}],
    },
    "evaluation": {"overlays": 1, "min_confidence": 0.0, "max_detections": 5},
}


def write(folder: Path) -> Path:
    """Write the tiny recipe to `folder` and return its path."""
    file = folder / "tiny.yaml"
    file.write_text(yaml.safe_dump(TINY))
    return file


def write_bad_files(folder: Path) -> None:
    """Write an archive and a label file without their ends, and a COCO file."""
    (folder / "cut.zip").write_bytes(b"PK\3\4 and no more")
    (folder / "cut.json").write_text('[{"name": "a.jpg", "labels": [{"categ')
    (folder / "coco.json").write_text('{"images": [], "annotations": []}')
