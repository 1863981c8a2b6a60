"""Every key of the recipe, at a value other than its default, through the whole chain: in as few runs as possible."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd
import pyarrow.parquet as pq
import pytest
import yaml

from assets.chain import ASSETS
from assets.definitions import build_definitions
from assets.recipe_resource import RecipeResource
from pipeline.artifacts import LATEST
from pipeline.recipe import Recipe, load
from pipeline.recipe.faults import keys, section_in
from pipeline.stages import STAGES
from pipeline.training.weights import CLASS_LAYERS
from tests.pipeline.small_datasets import entry, jpeg, polygon

EVERY: dict[str, Any] = {
    "name": "every.key",
    "seed": 7,
    "source": {
        "images": ["sample", "🚗 pictures"],
        "labels": ["sample", "🚗 pictures/via.json", "coco.json"],
        "sample": {"train": 12, "val": 4},
    },
    "labels": {
        "categories": ["🚗", "car", "traffic sign", "dent"],
        "rename": {"Dints": "dent"},
        "later_sources_may_empty": True,
        "boxes": "leave_out",
        "where": {"timeofday": ["daytime", "night", "dawn/dusk"]},
        "occluded": "ignore",
        "truncated": "leave_out",
        "class_attribute": "kind",
        "default_class": "🚗",
        "coco": True,
        "curve_tolerance": 2,
        "least_area": 20,
        "warn_rejected_share": 0.5,
    },
    "dataset": {
        "split": "hash",
        "val_fraction": 0.3,
        "test_fraction": 0.2,
        "limit": {"train": 8},
        "balance": 0.5,
        "keep_empty_images": False,
    },
    "training": {
        "backbone": "narrow",
        "weights": "started.h5",
        "exclude": list(CLASS_LAYERS),
        "resize": "crop",
        "min_dim": 64,
        "max_dim": 256,
        "batch_size": 2,
        "steps_per_epoch": 1,
        "balance": 0.5,
        "stages": [{"layers": "5+", "epochs": 3, "learning_rate_factor": 0.5}],
        "optimizer": "adamw",
        "learning_rate": 0.00001,
        "schedule": "cosine",
        "warmup_steps": 1,
        "weight_decay": 0.00002,
        "augmentation": {"flip": False, "scale": 0.2, "colour": 0.0},
        "config": {"BACKBONE_WIDTH": 4, "RPN_CHANNELS": 8, "MASK_CHANNELS": 8, "IMAGE_MIN_SCALE": 0.00001},
        "precision": "bfloat16",
        "validate_every": 2,
        "validation_steps": 1,
        "keep": "best",
        "early_stopping": 5,
        "deterministic": True,
        "threads": 1,
        "strategy": "one_device",
    },
    "evaluation": {
        "split": "test",
        "limit": 1,
        "min_confidence": 0.0,
        "max_detections": 5,
        "overlays": 1,
        "batch_size": 2,
    },
    "checks": {"labelled_pictures_kept": "warn"},
    "release": {"margin": 0.5, "least_ap": 0.0001, "least_class_ap": {"car": 0.0}, "licence": "MIT"},
    "prediction": {"images": ["🚗 pictures"], "min_score": 0.0, "max_detections": 3},
}


def values(section: type[Any], content: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the dotted key and the value of each key of `content` that holds no keys itself."""
    for name, value in content.items():
        inner = section_in(section.model_fields[name])
        for each in value if isinstance(value, list) and inner else [value]:
            yield from values(inner, each, f"{prefix}{name}.") if inner else [(f"{prefix}{name}", each)]


def test_every_key_of_the_recipe_has_another_value_than_its_default() -> None:
    known = {key: field.get_default() for key, field in keys(Recipe) if not section_in(field)}
    assert {key for key, value in values(Recipe, EVERY) if value != known[key]} == set(known)


def write_sources(folder: Path) -> Path:
    """Write two pictures of 96 × 64, one labelled in a VIA file and one in a COCO file, and the recipe; return it."""
    pictures = folder / "🚗 pictures"
    pictures.mkdir()
    for number in (1, 2):
        (pictures / f"{number}.jpg").write_bytes(jpeg(96, 64, number))
    square = [(10, 10), (50, 10), (50, 50), (10, 50)]
    regions = [polygon(square, kind="dent", name="scratch"), polygon(square)]
    labelled = {**entry("1.jpg", regions), "file_attributes": {"timeofday": "night"}}
    (pictures / "via.json").write_text(json.dumps({"1.jpg": labelled}))
    annotation = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [10, 10, 40, 40], "area": 1600, "iscrowd": 0}
    coco = {
        "images": [{"id": 1, "file_name": "2.jpg", "width": 96, "height": 64}],
        "annotations": [annotation | {"segmentation": [[side for point in square for side in point]]}],
        "categories": [{"id": 1, "name": "dints"}],
    }
    (folder / "coco.json").write_text(json.dumps(coco))
    reachable = EVERY | {"release": EVERY["release"] | {"least_ap": 0}}  # by three steps of training
    (folder / "every.yaml").write_text(yaml.safe_dump(reachable, allow_unicode=True))
    return folder / "every.yaml"


def write_weights(chosen: Recipe) -> None:
    """Write fresh weights for other classes where the recipe starts from."""
    from mrcnn.model import MaskRCNN
    from pipeline.training import model_file

    config = model_file.config_for_training(chosen, ("a",), 1, 1)
    config.DETERMINISTIC, config.PRECISION = False, "float32"  # both hold for the rest of the process
    path = Path(chosen.training.weights)
    MaskRCNN("training", config, path.parent).save_weights(path)


def test_the_chain_runs_with_every_key_at_another_value_and_again_from_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BDD_DATA_DIR", str(tmp_path / "data"))
    file = write_sources(tmp_path)
    write_weights(load(file))
    resources = dict(build_definitions(recipe=RecipeResource(file=str(file))).resources)
    made = {}
    for _ in range(2):
        result = dg.materialize(ASSETS, resources=resources, raise_on_error=False)
        assert result.success, [event.message for event in result.all_events if event.is_failure]
        events = result.get_asset_materialization_events()
        made = {event.asset_key.path[-1]: event.materialization.metadata for event in events}
        losses = [record.data["val_loss"] for record in made["trained_model"]["losses"].records]
        assert [loss is None for loss in losses] == [True, False, False]
    assert {name: metadata["cached"].value for name, metadata in made.items()} == dict.fromkeys(STAGES, True)
    labels = pq.read_table(tmp_path / f"data/filtered_labels/{LATEST}/labels.parquet", columns=["category"])
    assert set(labels["category"].to_pylist()) == set(EVERY["labels"]["categories"])
    predicted = pq.read_table(tmp_path / f"data/predictions/{LATEST}/images.parquet", columns=["image", "detections"])
    assert predicted["image"].to_pylist() == ["1.jpg", "2.jpg"]
    assert all(count <= 3 for count in predicted["detections"].to_pylist())
    history = pd.read_csv(tmp_path / f"data/trained_model/{LATEST}/history.csv")
    assert history["val_loss"].isna().tolist() == [True, False, False]
