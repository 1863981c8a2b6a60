"""Stages `via_train` and `via_val`: the labels of a split as VIA annotations and as a VIA project."""

from collections import Counter
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

import pyarrow as pa

from pipeline.artifacts import summary
from pipeline.artifacts.summary import Summary
from pipeline.errors import EmptyDatasetError
from pipeline.formats.via import writing
from pipeline.formats.via.writing import Declarations, Entry
from pipeline.instances.tables import label_batches, read_images
from pipeline.recipe import Recipe
from pipeline.recipe.categories import Wanted
from pipeline.running.progress import Progress


def build(recipe: Recipe, filtered_labels: Path, split: str, out: Path) -> None:
    """Write the images of `split` with their labels to `out`: via_region_data.json and via_project.json.

    The first is a dict by key of {filename, size, width, height, regions by number, file_attributes}, as in 2019; the
    second a VIA 2 project. Raises EmptyDatasetError when the split has no image.
    """
    images = read_images(filtered_labels, split)
    if not images.num_rows:
        raise EmptyDatasetError(f"{filtered_labels}: has no image in {split}")
    regions, instances = Counter[str](), Counter[str]()
    declared = Declarations(Wanted(recipe.labels.categories).categories)
    with (
        writing.region_data_file(out / writing.REGION_DATA) as append_region_data,
        # Named after the split: the project is the same when only the recipe's name is another.
        writing.project_file(out / writing.PROJECT, split, declared) as append_to_project,
        Progress(f"writing VIA {split}", images.num_rows, "image") as progress,
    ):
        for entry in entries(images, label_batches(filtered_labels, split)):
            append_region_data(entry)
            append_to_project(entry)
            _count(entry, regions, instances)
            progress.advance()
    summary.write(out, _summary(split, images.num_rows, regions, instances))


build_train = partial(build, split="train")
build_val = partial(build, split="val")


def entries(images: pa.Table, instances: Iterable[pa.Table]) -> Iterator[Entry]:
    """Yield the entry of each image; both tables are those of one split, sorted by image."""
    labelled = writing.regions_by_image(instances)
    next_image, next_regions = next(labelled, ("", []))
    for row in images.select(["image", "size", "width", "height", "video", "attributes"]).to_pylist():
        regions = []
        if next_image == row["image"]:
            regions = next_regions
            next_image, next_regions = next(labelled, ("", []))
        attributes = writing.file_attributes(row["image"], row["video"], row["attributes"])
        yield Entry(row["image"], row["size"], row["width"], row["height"], attributes, regions)


def _count(entry: Entry, regions: Counter[str], instances: Counter[str]) -> None:
    """Count regions, and instances (regions that share `instance` are one), by class."""
    attributes = [region["region_attributes"] for region in entry.regions]
    regions.update(each["name"] for each in attributes)
    instances.update({each["instance"]: each["name"] for each in attributes}.values())


def _summary(split: str, images: int, regions: Counter[str], instances: Counter[str]) -> Summary:
    rows = [
        {"category": category, "regions": regions[category], "instances": instances[category]}
        for category in sorted(regions)
    ]
    return Summary(
        numbers={"images": images, "regions": regions.total(), "instances": instances.total()},
        texts={"split": split},
        tables={"classes": rows},
    )
