"""The stages of the chain: what each reads of the recipe, what it is made from, and which files it leaves.

A stage's code version is raised by hand when its output would change; `tests/pipeline/test_code_versions.py` holds
a digest of each output and fails when only one of the two changed.
"""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pipeline.files import canonical_json
from pipeline.recipe import Recipe


@dataclass(frozen=True)
class Stage:
    """One step from artifacts to an artifact."""

    name: str
    code_version: int
    reads: tuple[str, ...]
    """Recipe keys (dotted) that decide the output; a section stands for all of its keys."""
    ignores: tuple[str, ...] = ()
    """Keys inside `reads` that change no result."""
    inputs: tuple[str, ...] = ()
    files: tuple[str, ...] = field(default=())
    """Files that the finished artifact must hold."""
    resumes_from: str = ""
    """What an interrupted build leaves in its partial folder to go on from (a glob pattern); else it begins anew."""
    uses_gpu: bool = False

    def recipe_part(self, recipe: Recipe) -> dict[str, Any]:
        """Return the recipe keys that decide the output, flattened to dotted names, sorted."""
        part: dict[str, Any] = {}
        content = recipe.model_dump(mode="json")
        for key in self.reads:
            part.update(_flatten(key, _at(content, key)))
        return {key: part[key] for key in sorted(part) if key not in self.ignores}

    def identities(self, recipe: Recipe) -> dict[str, Any]:
        """Return what the sources outside the store are now; raises SourceError where one is absent."""
        if self.name in {"raw_images", "raw_labels"}:
            from pipeline import sources

            entries = recipe.source.images if self.name == "raw_images" else recipe.source.labels
            role: Literal["images", "labels"] = "images" if self.name == "raw_images" else "labels"
            return {f"{number}: {entry}": sources.identify(entry, recipe, role) for number, entry in enumerate(entries)}
        if self.name == "trained_model":
            from pipeline.weights import identify

            return {"weights": identify(recipe.training.weights)}
        return {}


STAGES = {
    stage.name: stage
    for stage in (
        Stage("raw_images", 2, ("source.images",), files=("images.parquet", "sources.json")),
        Stage("raw_labels", 4, ("source.labels",), files=("sources.json",)),
        Stage(
            "filtered_labels",
            13,
            ("labels", "dataset", "seed"),
            inputs=("raw_labels", "raw_images"),
            files=("labels.parquet", "images.parquet", "rejected.parquet"),
        ),
        Stage("via_train", 3, (), inputs=("filtered_labels",), files=("via_region_data.json", "via_project.json")),
        Stage("via_val", 3, (), inputs=("filtered_labels",), files=("via_region_data.json", "via_project.json")),
        Stage(
            "dataset_zip",
            1,
            (),
            inputs=("filtered_labels", "via_train", "via_val", "raw_images"),
            files=("images.zip",),
        ),
        Stage(
            "trained_model",
            2,
            ("name", "seed", "training"),
            ignores=("training.threads", "training.strategy"),
            inputs=("dataset_zip",),
            files=("model.json", "history.csv"),
            resumes_from="**/training_state.h5",
            uses_gpu=True,
        ),
        Stage(
            "evaluation_report",
            3,
            ("evaluation",),
            ignores=("evaluation.batch_size",),
            inputs=("trained_model", "dataset_zip"),
            files=(
                "index.html",
                "metrics.json",
                "thresholds.json",
                "detections.parquet",
                "coco_ground_truth.json",
                "coco_detections.json",
                "via_region_data.json",
            ),
            uses_gpu=True,
        ),
    )
}


def fingerprint(stage: Stage, recipe: Recipe, identities: dict[str, Any], inputs: dict[str, str]) -> str:
    """Return 16 hex digits that say what the stage's output is made from; `inputs` are fingerprints by name."""
    made_from = {
        "stage": stage.name,
        "code_version": stage.code_version,
        "recipe": stage.recipe_part(recipe),
        "identities": identities,
        "inputs": inputs,
    }
    return hashlib.sha256(canonical_json(made_from).encode()).hexdigest()[:16]


def sha256_of(path: Path) -> str:
    """Return the hex SHA-256 of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _at(content: dict[str, Any], key: str) -> Any:
    for part in key.split("."):
        content = content[part]
    return content


def _flatten(key: str, value: Any) -> dict[str, Any]:
    """Return `value` as dotted keys; lists and empty mappings stay values."""
    if not isinstance(value, dict) or not value:
        return {key: value}
    return {k: v for inner, content in value.items() for k, v in _flatten(f"{key}.{inner}", content).items()}
