"""Stage `filtered_labels`: label files read, matched to images, clipped, divided among splits, written as tables.

Formats of label files are in `pipeline.formats`, geometry in `pipeline.geometry`, names of images in `label_matching`.
"""

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.artifacts import summary as artifact_summary
from pipeline.errors import EmptyDatasetError
from pipeline.instances.reasons import NO_CLASS, OTHER_CATEGORY, SEVERAL_CLASSES
from pipeline.instances.rejections import Rejections
from pipeline.instances.store import InstanceStore, Stored, portions
from pipeline.instances.tables import (
    IMAGES,
    IMAGES_FILE,
    LABELS,
    LABELS_FILE,
    REJECTED_FILE,
    REPETITIVE,
    SPLITS,
    RowGroupWriter,
    texts,
)
from pipeline.instances.videos import LabelledFile
from pipeline.labels import summary as label_summary
from pipeline.labels.collector import FrameCollector, started_workers
from pipeline.labels.files import LabelSource, read_sources
from pipeline.labels.filters import ImageFilter
from pipeline.labels.frames import Frame
from pipeline.labels.matching import ImageNames
from pipeline.labels.records import Kept, KnownImage
from pipeline.labels.splits import Division, divide
from pipeline.labels.summary import Tally
from pipeline.recipe import Recipe
from pipeline.running.progress import Progress
from pipeline.running.threads import ordered_map
from pipeline.sources.image_index import REJECTED as RAW_REJECTED
from pipeline.sources.image_index import read_index_table

log = logging.getLogger(__name__)

UNLABELLED = "no labels for this image"
NO_INSTANCE = "no wanted instance"
CLASS_HINT = (
    "labels.class_attribute names the attribute of VIA regions that says their class, labels.default_class is that of "
    "regions that say none"
)


def build(recipe: Recipe, raw_labels: Path, raw_images: Path, out: Path) -> None:
    """Make labels.parquet, images.parquet, rejected.parquet and the summary in the folder `out`.

    A class is called by its canonical name (`pipeline.recipe.categories`) from here on: in the tables, in VIA files and
    in the model; the recipe's order of categories is the order of class ids. Raises LabelFileError for a label file
    that can't be read, and EmptyDatasetError when no instance is left or a split is empty.
    """
    label_sources = read_sources(raw_labels)
    with ExitStack() as stack:
        rejections = stack.enter_context(Rejections(out / REJECTED_FILE))
        store = stack.enter_context(InstanceStore(out / ".instances.arrow"))
        with started_workers(label_sources) as workers:
            index = read_index_table(raw_images)
            collector = FrameCollector(recipe.labels, index, image_names(index, raw_images), store, rejections)
            collector.collect(label_sources, workers)
        store.finish()
        _refuse_no_instance(recipe, label_sources, collector, rejections)
        division, kept = _divided(recipe, index, collector.frames, store, rejections)
        usable = sum(frame.stored.count for frame in collector.frames.values())
        tally = Tally(division, rejections.unwanted, usable)
        _write_labels(kept, store, out, tally)
        _write_images(kept, index, out)
        pictures = label_summary.draw_pictures(recipe, raw_images, index, kept, store, out)
    artifact_summary.write(out, label_summary.summarise(recipe, tally, rejections, pictures))


def image_names(index: pa.Table, raw_images: Path) -> ImageNames:
    """Return what finds images of the index by name; it also knows the images that couldn't be read."""
    columns = [index[name].to_pylist() for name in ("image", "source", "path", "split", "sha256")]
    known = [KnownImage(*row) for row in zip(*columns, strict=True)]
    rejected = raw_images / RAW_REJECTED
    return ImageNames(known, pq.read_table(rejected)["image"].to_pylist() if rejected.exists() else ())


def _divided(
    recipe: Recipe, index: pa.Table, frames: dict[int, Frame], store: InstanceStore, rejections: Rejections
) -> tuple[Division, dict[str, list[Kept]]]:
    """Return the division, and the images of each split sorted by name; set aside and count all others."""
    images, digests, path_splits, paths = (index[name].to_pylist() for name in ("image", "sha256", "split", "path"))
    chosen = ImageFilter(recipe.labels.where)
    rows = _wanted_rows(recipe, images, frames, chosen, store, rejections)
    balanced = bool(recipe.dataset.balance) and "train" in recipe.dataset.limit
    nothing = [frozenset[str]()] * len(rows)
    categories = _categories(store, [frames[row].stored for row in rows]) if balanced else nothing
    files = [
        LabelledFile(
            image=images[row],
            sha256=digests[row],
            path_split=path_splits[row] or frames[row].split,
            video=frames[row].video,
            categories=its,
            file_name=paths[row].rpartition("/")[2],
        )
        for row, its in zip(rows, categories, strict=True)
    ]
    try:
        division = divide(files, recipe.dataset, recipe.seed)
    except EmptyDatasetError as error:
        if not chosen.left_out:
            raise
        left_out = f"labels.where leaves out {chosen.left_out} images (those labelled have {chosen.found()})"
        raise EmptyDatasetError(f"{left_out}; of the others: {error}" if files else left_out) from None
    aside = [(frames[rows[position]], files[position].image, reason) for position, reason in division.set_aside]
    _set_aside(aside, store, rejections)
    return division, _kept(division, rows, files, frames)


def _wanted_rows(
    recipe: Recipe,
    images: list[str],
    frames: dict[int, Frame],
    chosen: ImageFilter,
    store: InstanceStore,
    rejections: Rejections,
) -> list[int]:
    """Return the rows of the labelled images that the recipe's filters keep; set aside and count all others."""
    rows, left_out = [], []
    for row, image in enumerate(images):
        if row not in frames:
            rejections.add_image("", image, UNLABELLED, ())
        elif reason := chosen.reason(frames[row].attributes):
            left_out.append((frames[row], image, reason))
        elif not frames[row].stored.count and not recipe.dataset.keep_empty_images:
            rejections.add_image(frames[row].file, image, NO_INSTANCE, ())
        else:
            rows.append(row)
    _set_aside(left_out, store, rejections)
    return rows


def _set_aside(left_out: Sequence[tuple[Frame, str, str]], store: InstanceStore, rejections: Rejections) -> None:
    """Count and keep images, with their names and the reasons, that go with all their labels."""
    for portion in portions(left_out, lambda each: each[0].stored):
        instances = store.instances([frame.stored for frame, _, _ in portion])
        for (frame, image, reason), its in zip(portion, instances, strict=True):
            rejections.add_image(frame.file, image, reason, its)


def _categories(store: InstanceStore, images: list[Stored]) -> list[frozenset[str]]:
    """Return the classes of each image's instances, without crowds and ignored ones, which nothing is learnt from."""
    found: list[frozenset[str]] = []
    for portion in portions(images, lambda image: image):
        instances = store.take(portion)
        counted = pc.invert(pc.or_(instances["crowd"], instances["ignored"])).to_pylist()
        rows = iter(zip(instances["category"].to_pylist(), counted, strict=True))
        for image in portion:
            found.append(frozenset(category for category, counts in islice(rows, image.count) if counts))
    return found


def _kept(
    division: Division, rows: list[int], files: list[LabelledFile], frames: dict[int, Frame]
) -> dict[str, list[Kept]]:
    return {
        split: [
            Kept(rows[position], files[position].image, frames[rows[position]], division.videos[position])
            for position in division.members[split]
        ]
        for split in SPLITS
    }


def _write_labels(kept: dict[str, list[Kept]], store: InstanceStore, out: Path, tally: Tally) -> None:
    total = sum(map(len, kept.values()))
    with (
        RowGroupWriter(out / LABELS_FILE, LABELS, REPETITIVE) as writer,
        Progress("writing labels", total, "image") as progress,
    ):
        for split in SPLITS:
            # While one thread packs a portion, another one fetches the next.
            fetched = ordered_map(partial(_rows, store, split), _portions(kept[split]), batch_size=1, threads=1)
            for images, instances in ordered_map(partial(_written, writer), fetched, batch_size=1, threads=1):
                tally.add(split, images=images, instances=instances)
                progress.advance(images)


def _written(writer: RowGroupWriter, portion: tuple[int, pa.Table]) -> tuple[int, pa.Table]:
    writer.write(portion[1])
    return portion


def _rows(store: InstanceStore, split: str, images: list[Kept]) -> tuple[int, pa.Table]:
    """Return how many images these are, and their rows of labels.parquet."""
    instances = store.take([each.frame.stored for each in images])
    which = np.repeat(np.arange(len(images)), [each.frame.stored.count for each in images])
    instances = instances.append_column("image", texts([each.image for each in images]).take(pa.array(which)))
    return len(images), instances.append_column("split", pa.repeat(split, len(which)))


def _portions(images: list[Kept]) -> Iterator[list[Kept]]:
    return portions(images, lambda image: image.frame.stored)


def _write_images(kept: dict[str, list[Kept]], index: pa.Table, out: Path) -> None:
    with RowGroupWriter(out / IMAGES_FILE, IMAGES) as writer:
        for split in SPLITS:
            images = kept[split]
            rows = index.drop_columns("split").take(pa.array([each.row for each in images], pa.int64()))
            rows = rows.append_column("split", texts([split] * len(images)))
            rows = rows.append_column("video", texts([each.video for each in images]))
            writer.write(rows.append_column("attributes", texts([each.frame.attributes for each in images])))


def _refuse_no_instance(
    recipe: Recipe, label_sources: Sequence[LabelSource], collector: FrameCollector, rejections: Rejections
) -> None:
    """Raise EmptyDatasetError when there is nothing to learn, saying what the labels hold instead."""
    if any(frame.stored.count for frame in collector.frames.values()):
        return
    wanted = ", ".join(recipe.labels.categories) or "any category"
    read = ", ".join(source.entry for source in label_sources)
    if not collector.frames:
        raise EmptyDatasetError(f"none of the labels in {read} is of an image in {', '.join(recipe.source.images)}")
    faults = Counter({reason: n for reason, n in rejections.by_reason.items() if reason != OTHER_CATEGORY})
    left_out = [f"{count} left out: {reason}" for reason, count in faults.most_common(3)]
    if any(reason in rejections.by_reason for reason in (NO_CLASS, SEVERAL_CLASSES)):
        left_out.append(CLASS_HINT)
    raise EmptyDatasetError(
        f"labels.categories: no label of {wanted} is usable in {read} "
        f"({'; '.join([f'{rejections.unwanted} are of other categories', *left_out])})"
    )
