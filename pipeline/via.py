"""Stages `via_train` and `via_val`: the labels of a split as VIA reads them; `python -m pipeline.via open` shows them.

How VIA spells things is in `pipeline.via_format`; how a folder for VIA is made, in `pipeline.via_folder`.
"""

import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import msgspec
import pyarrow as pa

from pipeline import summary
from pipeline.errors import EmptyDatasetError
from pipeline.files import whole_file
from pipeline.progress import Progress
from pipeline.recipe import Recipe
from pipeline.summary import Summary
from pipeline.tables import label_batches, read_images
from pipeline.via_format import DATA_FORMAT, OWN, Declarations, Entry, Regions, file_attributes, project_settings
from pipeline.via_format import regions_by_image as regions_of_batch
from pipeline.vocabulary import Wanted

REGION_DATA = "via_region_data.json"
PROJECT = "via_project.json"

USAGE = """usage: python -m pipeline.via open SOURCE ...    make a folder that VIA opens (open --help)
       python -m pipeline.via train|val ...      the stages via_train and via_val, without Dagster (train --help)"""
EXIT_USAGE = 2

_encode = msgspec.json.Encoder().encode


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


class _EntryWriter:
    """Writes a JSON file whose entries come one by one, whole or not at all."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stack = ExitStack()
        self._file: BinaryIO
        self._separator = b"\n"

    def __enter__(self) -> Self:
        self._file = self._stack.enter_context(whole_file(self._path))
        self._begin()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._end()
        self._stack.__exit__(kind, error, trace)

    def _begin(self) -> None:
        self._file.write(b"{")

    def _end(self) -> None:
        self._file.write(b"\n}\n")

    def _write(self, key: str, content: Any) -> None:
        self._file.write(self._separator + _encode(key) + b":" + _encode(content))
        self._separator = b",\n"


class RegionDataWriter(_EntryWriter):
    """Writes via_region_data.json, an image a line."""

    def write(self, entry: Entry) -> None:
        """Append an image."""
        self._write(entry.key, entry.region_data())


class ProjectWriter(_EntryWriter):
    """Writes a VIA 2 project; the attributes and image ids that it must name come after the images."""

    def __init__(self, path: Path, name: str, declared: Declarations | None = None, image_folder: str = "") -> None:
        super().__init__(path)
        self._settings = project_settings(name, image_folder)
        self._declared = declared or Declarations()
        self._ids: list[str] = []

    def write(self, entry: Entry) -> None:
        """Append an image."""
        self._declared.add(entry)
        self._ids.append(entry.key)
        self._write(entry.key, entry.project_data())

    def _begin(self) -> None:
        self._file.write(b'{"_via_settings":' + _encode(self._settings) + b',\n"_via_img_metadata":{')

    def _end(self) -> None:
        self._file.write(b"},\n")
        self._file.write(b'"_via_attributes":' + _encode(self._declared.as_json()) + b",\n")
        self._file.write(b'"_via_data_format_version":' + _encode(DATA_FORMAT) + b",\n")
        self._file.write(b'"_via_image_id_list":' + _encode(self._ids) + b"}\n")


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


def main(argv: Sequence[str] | None = None) -> int:
    """Run `open …`, or the stage as a program (`train …`, `val …`); return the exit status."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments[:1] in ([], ["-h"], ["--help"]):
        print(USAGE)
        return 0 if arguments else EXIT_USAGE
    if arguments[:1] == ["open"]:
        from pipeline import via_folder

        return via_folder.main(arguments[1:])
    from pipeline import program

    split = arguments.pop(0) if arguments[:1] in (["train"], ["val"]) else "train"
    return program.main(f"via_{split}", arguments)


if __name__ == "__main__":
    sys.exit(main())
