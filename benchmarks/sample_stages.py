"""The sample's stages up to a point, built once as the input of what is to be measured."""

from pathlib import Path
from typing import Any


def up_to_via(folder: Path, train: int, val: int) -> tuple[Any, dict[str, Path]]:
    """Build raw_images … via_val of so many scenes in `folder`; return the recipe and each stage's folder by name.

    The folder of dataset_zip is there too, and empty.
    """
    from pipeline import labels, recipe, via
    from pipeline.sources import raw_images, raw_labels

    chosen = recipe.parse({"source": {"sample": {"train": train, "val": val}}, "dataset": {"split": "path"}})
    names = ("raw_images", "raw_labels", "filtered_labels", "via_train", "via_val", "dataset_zip")
    at = {name: folder / name for name in names}
    for path in at.values():
        path.mkdir()
    raw_images.build(chosen, out=at["raw_images"], downloads=folder / "downloads")
    raw_labels.build(chosen, out=at["raw_labels"], downloads=folder / "downloads")
    labels.build(chosen, raw_images=at["raw_images"], raw_labels=at["raw_labels"], out=at["filtered_labels"])
    for split in ("train", "val"):
        via.build(chosen, filtered_labels=at["filtered_labels"], split=split, out=at[f"via_{split}"])
    return chosen, at


def inputs_of_dataset(at: dict[str, Path]) -> dict[str, Path]:
    """Return those of the folders that `pipeline.dataset.build` takes."""
    return {name: at[name] for name in ("filtered_labels", "via_train", "via_val", "raw_images")}
