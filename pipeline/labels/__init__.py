"""Stage `filtered_labels`: labels matched to images, clipped, divided among splits, written as tables.

Label files are read by `raw_labels`, whose tables this stage is made from.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.artifacts import summary as artifact_summary
from pipeline.errors import EmptyDatasetError
from pipeline.instances.reasons import NO_CLASS, SEVERAL_CLASSES
from pipeline.instances.rejections import Rejections
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
from pipeline.labels.collector import Collected, Frame, Rows, collect, portions, with_labels
from pipeline.labels.files import LabelSource, read_sources, read_table
from pipeline.labels.filters import ImageFilter
from pipeline.labels.matching import ImageNames
from pipeline.labels.records import KnownImage
from pipeline.labels.splits import Division, divide
from pipeline.labels.summary import Tally
from pipeline.recipe import Recipe
from pipeline.running.progress import Progress
from pipeline.running.threads import ordered_map
from pipeline.sources.image_index import REJECTED as RAW_REJECTED
from pipeline.sources.image_index import read_index_table

UNLABELLED = "no labels for this image"
NO_INSTANCE = "no wanted instance"
CLASS_HINT = (
    "labels.class_attribute names the attribute of VIA regions that says their class, labels.default_class is that of "
    "regions that say none"
)

CATEGORIES_NAMED = 8
"""Categories that a message lists at most, the most frequent first."""


def build(recipe: Recipe, raw_labels: Path, raw_images: Path, out: Path) -> None:
    """Make labels.parquet, images.parquet, rejected.parquet and the summary in the folder `out`.

    A class is called by its canonical name (`pipeline.recipe.categories`) from here on: in the tables, in VIA files and
    in the model; the recipe's order of categories is the order of class ids. Raises EmptyDatasetError when no instance
    is left or a split is empty.
    """
    sources, index = read_sources(raw_labels), read_index_table(raw_images)
    with Rejections(out / REJECTED_FILE) as rejections:
        names = image_names(index, raw_images)
        collected = collect(recipe.labels, raw_labels, sources, index, names, rejections)
        _refuse_no_instance(recipe, sources, collected, rejections)
        division, kept = _divided(recipe, index, collected, rejections)
        usable = sum(frame.count for frame in collected.frames.values())
        tally = Tally(division, collected.unwanted, usable)
        _write_labels(kept, collected, out, tally)
        _write_images(kept, index, out)
        pictures = label_summary.draw_pictures(recipe, raw_images, index, kept, collected, out)
    artifact_summary.write(out, label_summary.summarise(recipe, tally, rejections, pictures))


def image_names(index: pa.Table, raw_images: Path) -> ImageNames:
    """Return what finds images of the index by name; it also knows the images that couldn't be read."""
    columns = [index[name].to_pylist() for name in ("image", "source", "path", "split", "sha256")]
    known = [KnownImage(*row) for row in zip(*columns, strict=True)]
    rejected = raw_images / RAW_REJECTED
    return ImageNames(known, read_table(rejected, ["image"])["image"].to_pylist() if rejected.exists() else ())


def _divided(
    recipe: Recipe, index: pa.Table, collected: Collected, rejections: Rejections
) -> tuple[Division, dict[str, list[Frame]]]:
    """Return the division, and the images of each split sorted by name; set aside and count all others."""
    digests, path_splits, paths = (index[name].to_pylist() for name in ("sha256", "split", "path"))
    chosen = ImageFilter(recipe.labels.where)
    frames = _wanted_frames(recipe, index["image"].to_pylist(), collected, chosen, rejections)
    balanced = bool(recipe.dataset.balance) and "train" in recipe.dataset.limit
    files = [
        LabelledFile(
            image=frame.image,
            sha256=digests[frame.row],
            path_split=path_splits[frame.row] or frame.split,
            video=frame.video,
            categories=its,
            file_name=paths[frame.row].rpartition("/")[2],
        )
        for frame, its in zip(frames, _categories(collected, frames, balanced), strict=True)
    ]
    try:
        division = divide(files, recipe.dataset, recipe.seed)
    except EmptyDatasetError as error:
        if not chosen.left_out:
            raise
        left_out = f"labels.where leaves out {chosen.left_out} images (those labelled have {chosen.found()})"
        raise EmptyDatasetError(f"{left_out}; of the others: {error}" if files else left_out) from None
    _set_aside([(frames[position], reason) for position, reason in division.set_aside], collected, rejections)
    for frame, video in zip(frames, division.videos, strict=True):
        frame.video = video
    return division, {split: [frames[position] for position in division.members[split]] for split in SPLITS}


def _wanted_frames(
    recipe: Recipe, images: Sequence[str], collected: Collected, chosen: ImageFilter, rejections: Rejections
) -> list[Frame]:
    """Return the labelled images that the recipe's filters keep; set aside and count all others."""
    wanted, left_out = [], []
    for row, image in enumerate(images):
        frame = collected.frames.get(row)
        if frame is None:
            rejections.add_image("", image, UNLABELLED, ())
        elif reason := chosen.reason(frame.attributes):
            left_out.append((frame, reason))
        elif not frame.count and not recipe.dataset.keep_empty_images:
            rejections.add_image(frame.file, image, NO_INSTANCE, ())
        else:
            wanted.append(frame)
    _set_aside(left_out, collected, rejections)
    return wanted


def _set_aside(left_out: Sequence[tuple[Frame, str]], collected: Collected, rejections: Rejections) -> None:
    """Count and keep images, with the reasons, that go with all their labels."""
    items = (((frame, reason), collected.rows_of(frame)) for frame, reason in left_out)
    for (frame, reason), labels in with_labels(collected.labels, items):
        rejections.add_image(frame.file, frame.image, reason, labels)


def _categories(collected: Collected, frames: Sequence[Frame], balanced: bool) -> list[frozenset[str]]:
    """Return the classes of each image's instances, without crowds and ignored ones, which nothing is learnt from."""
    if not balanced:
        return [frozenset()] * len(frames)
    labels = collected.labels
    counted = pc.invert(pc.or_(labels["crowd"], labels["ignored"])).to_numpy()
    categories = labels["category"].to_numpy()
    rows = [each[counted[each]] for each in map(collected.rows_of, frames)]
    return [frozenset(categories[each].tolist()) for each in rows]


def _write_labels(kept: dict[str, list[Frame]], collected: Collected, out: Path, tally: Tally) -> None:
    total = sum(map(len, kept.values()))
    with (
        RowGroupWriter(out / LABELS_FILE, LABELS, REPETITIVE) as writer,
        Progress("writing labels", total, "image") as progress,
    ):
        for split in SPLITS:
            items = ((frame, collected.rows_of(frame)) for frame in kept[split])
            # While one thread packs a portion, another one fetches the next.
            fetched = ordered_map(partial(_rows, collected, split), portions(items), batch_size=1, threads=1)
            for images, instances in ordered_map(partial(_written, writer), fetched, batch_size=1, threads=1):
                tally.add(split, images=images, instances=instances)
                progress.advance(images)


def _written(writer: RowGroupWriter, portion: tuple[int, pa.Table]) -> tuple[int, pa.Table]:
    writer.write(portion[1])
    return portion


def _rows(collected: Collected, split: str, portion: Sequence[tuple[Frame, Rows]]) -> tuple[int, pa.Table]:
    """Return how many images these are, and their rows of labels.parquet."""
    frames = [frame for frame, _ in portion]
    labels = collected.labels_of(frames)
    which = pa.array(np.repeat(np.arange(len(frames)), [frame.count for frame in frames]))
    files = texts([frame.file for frame in frames]).take(which)
    columns = {
        **{name: labels[name] for name in LABELS.names if name in labels.column_names},
        "image": texts([frame.image for frame in frames]).take(which),
        "split": pa.repeat(split, len(which)),
        "source": pc.binary_join_element_wise(files, labels["instance_id"].combine_chunks(), "#"),
    }
    return len(frames), pa.table([columns[name] for name in LABELS.names], LABELS.names).cast(LABELS)


def _write_images(kept: dict[str, list[Frame]], index: pa.Table, out: Path) -> None:
    with RowGroupWriter(out / IMAGES_FILE, IMAGES) as writer:
        for split in SPLITS:
            frames = kept[split]
            rows = index.drop_columns("split").take(pa.array([frame.row for frame in frames], pa.int64()))
            rows = rows.append_column("split", texts([split] * len(frames)))
            rows = rows.append_column("video", texts([frame.video for frame in frames]))
            writer.write(rows.append_column("attributes", texts([frame.attributes for frame in frames])))


def _refuse_no_instance(
    recipe: Recipe, sources: Sequence[LabelSource], collected: Collected, rejections: Rejections
) -> None:
    """Raise EmptyDatasetError when there is nothing to learn, saying what the labels hold instead."""
    if any(frame.count for frame in collected.frames.values()):
        return
    wanted = ", ".join(recipe.labels.categories) or "any category"
    read = ", ".join(source.entry for source in sources)
    if not collected.frames:
        raise EmptyDatasetError(f"none of the labels in {read} is of an image in {', '.join(recipe.source.images)}")
    others = collected.unwanted.most_common(CATEGORIES_NAMED)
    said = [f"{collected.unwanted.total()} are of other categories"]
    said[0] += f": {', '.join(f'{category} ({count})' for category, count in others)}" if others else ""
    said += [f"{count} left out: {reason}" for reason, count in rejections.by_reason.most_common(3)]
    if any(reason in rejections.by_reason for reason in (NO_CLASS, SEVERAL_CLASSES)):
        said.append(CLASS_HINT)
    raise EmptyDatasetError(f"labels.categories: no label of {wanted} is usable in {read} ({'; '.join(said)})")
