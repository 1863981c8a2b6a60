"""Stages `via_train` and `via_val`: the labels of a split as VIA annotations and as a VIA project."""

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pyarrow as pa

from pipeline.artifacts import summary
from pipeline.artifacts.summary import Summary
from pipeline.errors import EmptyDatasetError
from pipeline.formats.via.region_data import PROJECT, REGION_DATA, ProjectWriter, RegionDataWriter
from pipeline.formats.via.writing import OWN, Declarations, Entry, Regions, file_attributes
from pipeline.formats.via.writing import regions_by_image as regions_of_batch
from pipeline.instances.tables import label_batches, read_images
from pipeline.recipe import Recipe
from pipeline.recipe.categories import Wanted
from pipeline.running.progress import Progress

USAGE = """usage: python -m pipeline.via open SOURCE ...    make a folder that VIA opens (open --help)
       python -m pipeline.via train|val ...      the stages via_train and via_val, without Dagster (train --help)"""
EXIT_USAGE = 2


def build_train(recipe: Recipe, filtered_labels: Path, out: Path) -> None:
    """Write the training images with their labels to `out`, as `build` does."""
    build(recipe, filtered_labels, "train", out)


def build_val(recipe: Recipe, filtered_labels: Path, out: Path) -> None:
    """Write the validation images with their labels to `out`, as `build` does."""
    build(recipe, filtered_labels, "val", out)


def build(recipe: Recipe, filtered_labels: Path, split: str, out: Path) -> None:
    """Write the images of `split` with their labels to `out`: via_region_data.json and via_project.json.

    The first is a dict by key of {filename, size, width, height, regions by number, file_attributes}, as in 2019; the
    second a VIA 2 project. Raises EmptyDatasetError when the split has no image.
    """
    images = read_images(filtered_labels, split)
    if not images.num_rows:
        raise EmptyDatasetError(f"{filtered_labels}: has no image in {split}")
    categories = Wanted(recipe.labels.categories).categories
    regions, instances = Counter[str](), Counter[str]()
    with ExitStack() as stack:
        region_data = stack.enter_context(RegionDataWriter(out / REGION_DATA))
        # not called as the recipe is: it is the same project when only the recipe's name is another
        project = stack.enter_context(ProjectWriter(out / PROJECT, split, Declarations(categories, OWN)))
        progress = stack.enter_context(Progress(f"writing VIA {split}", images.num_rows, "image"))
        for entry in entries(images, label_batches(filtered_labels, split)):
            region_data.write(entry)
            project.write(entry)
            _count(entry, regions, instances)
            progress.advance()
    summary.write(out, _summary(split, images.num_rows, regions, instances))


def entries(images: pa.Table, instances: Iterable[pa.Table]) -> Iterator[Entry]:
    """Yield what VIA knows of each image; both tables are those of one split, sorted by image."""
    labelled = _regions_by_image(instances)
    name, regions = next(labelled, ("", []))
    columns = ("image", "size", "width", "height", "video", "attributes")
    for image, size, width, height, video, attributes in zip(
        *(images[column].to_pylist() for column in columns), strict=True
    ):
        its_regions: Regions = []
        if name == image:
            its_regions = regions
            name, regions = next(labelled, ("", []))
        yield Entry(image, size, width, height, file_attributes(image, video, attributes), its_regions)


def _regions_by_image(instances: Iterable[pa.Table]) -> Iterator[tuple[str, Regions]]:
    """Yield (image, its regions), also where the instances of an image are in two batches."""
    waiting: tuple[str, Regions] | None = None
    for batch in instances:
        for image, regions in regions_of_batch(batch):
            if waiting and waiting[0] == image:
                waiting[1].extend(regions)
                continue
            if waiting:
                yield waiting
            waiting = (image, regions)
    if waiting:
        yield waiting


def _count(entry: Entry, regions: Counter[str], instances: Counter[str]) -> None:
    """Count regions, and instances (regions that share `instance` are one), by class."""
    seen = set()
    for region in entry.regions:
        attributes = region["region_attributes"]
        regions[attributes["name"]] += 1
        if attributes["instance"] not in seen:
            seen.add(attributes["instance"])
            instances[attributes["name"]] += 1


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
