"""Stage `filtered_labels`: the labels of `raw_labels` matched to images, filtered, clipped, and divided into splits."""

import logging
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.artifacts.summary import write as write_summary
from pipeline.errors import EmptyDatasetError
from pipeline.instances.reasons import NO_CLASS, NO_INSTANCE, SEVERAL_CLASSES, UNLABELLED
from pipeline.instances.tables import (
    IMAGES,
    IMAGES_FILE,
    LABELS,
    LABELS_FILE,
    REJECTED_FILE,
    REPETITIVE,
    SPLITS,
    RowGroupWriter,
    read_table,
    texts,
)
from pipeline.labels import summary
from pipeline.labels.filters import ImageFilter
from pipeline.labels.losses import count_losses
from pipeline.labels.matching import ImageNames
from pipeline.labels.merging import MergedLabels, Rows, merge, portions, with_labels
from pipeline.labels.rejections import Rejections
from pipeline.labels.splits import Division, LabelledImage, divide
from pipeline.recipe import Recipe
from pipeline.recipe.categories import VOCABULARY, Wanted
from pipeline.recipe.spelling import did_you_mean
from pipeline.running.progress import Progress
from pipeline.running.threads import ordered_map
from pipeline.sources.image_index import read_index_table
from pipeline.sources.label_files import LabelSource, read_sources

log = logging.getLogger(__name__)

CLASS_HINT = (
    "labels.class_attribute names the attribute of VIA regions that says their class, labels.default_class is that of "
    "regions that say none"
)

CATEGORIES_NAMED = 8
"""Categories that a message lists at most, the most frequent first."""


def build(recipe: Recipe, raw_labels: Path, raw_images: Path, out: Path) -> None:
    """Write labels.parquet, images.parquet, rejected.parquet and the summary into the folder `out`.

    From here on a class has its canonical name (`pipeline.recipe.categories`): in the tables, in VIA files and in the
    model; the recipe's order of categories is the order of class ids. Raises EmptyDatasetError when no instance is left
    or a split is empty.
    """
    sources, index = read_sources(raw_labels), read_index_table(raw_images)
    with Rejections(out / REJECTED_FILE) as rejections:
        names = image_names(index, raw_images)
        merged = merge(recipe.labels, raw_labels, sources, index, names, rejections)
        _refuse_no_instance(recipe, sources, merged, rejections)
        _warn_of_categories_not_found(recipe, merged)
        division, members, left_out = _divide(recipe, index, merged, rejections)
        _write_labels(members, merged, out)
        _write_images(members, index, out)
        pictures = summary.draw_pictures(recipe, raw_images, index, members, merged, out)
    losses = count_losses(merged, members, left_out)
    write_summary(out, summary.summarise(recipe, out, division, members, merged, rejections, losses, pictures))


def image_names(index: pa.Table, raw_images: Path) -> ImageNames:
    """Return the matcher of names for an index of images; it also knows the images that couldn't be read."""
    rejected = raw_images / REJECTED_FILE
    unreadable = read_table(rejected, "raw_images", ["image"])["image"].to_pylist() if rejected.exists() else ()
    return ImageNames(index, unreadable)


def _divide(
    recipe: Recipe, index: pa.Table, merged: MergedLabels, rejections: Rejections
) -> tuple[Division, dict[str, list[LabelledImage]], dict[int, str]]:
    """Return the division, the images of each split sorted by name, and the reasons of the others, which are rejected.

    Reasons are by row of the index, for labelled images alone.
    """
    where = ImageFilter(recipe.labels.where)
    images, filtered = _filter_images(recipe, index["image"].to_pylist(), merged, where, rejections)
    if recipe.dataset.balance and "train" in recipe.dataset.limit:
        _set_categories(merged, images)
    try:
        division = divide(images, recipe.dataset, recipe.seed)
    except EmptyDatasetError as error:
        if not where.left_out:
            raise
        left_out = f"labels.where leaves out {where.left_out} images (those labelled have {where.found()})"
        raise EmptyDatasetError(f"{left_out}; of the others: {error}" if images else left_out) from None
    in_no_split = [(images[position], reason) for position, reason in division.left_out]
    _reject_images(in_no_split, merged, rejections)
    for image, video in zip(images, division.videos, strict=True):
        image.video = video
    members = {split: [images[position] for position in division.members[split]] for split in SPLITS}
    return division, members, {image.row: reason for image, reason in (*filtered, *in_no_split)}


def _filter_images(
    recipe: Recipe, names: Sequence[str], merged: MergedLabels, where: ImageFilter, rejections: Rejections
) -> tuple[list[LabelledImage], list[tuple[LabelledImage, str]]]:
    """Return the labelled images that the recipe keeps, and those that `where` leaves out; reject all others."""
    kept, left_out = [], []
    for row, name in enumerate(names):
        image = merged.images.get(row)
        if image is None:
            rejections.add_image("", name, UNLABELLED, ())
        elif reason := where.reason(image.attributes):
            left_out.append((image, reason))
        elif not image.count and not recipe.dataset.keep_empty_images:
            rejections.add_image(image.label_file, name, NO_INSTANCE, ())
        else:
            kept.append(image)
    _reject_images(left_out, merged, rejections)
    return kept, left_out


def _reject_images(left_out: Sequence[tuple[LabelledImage, str]], merged: MergedLabels, rejections: Rejections) -> None:
    """Reject images, for the reasons given, with all their labels."""
    items = (((image, reason), merged.rows_of(image)) for image, reason in left_out)
    for (image, reason), labels in with_labels(merged.labels, items):
        rejections.add_image(image.label_file, image.image, reason, labels)


def _set_categories(merged: MergedLabels, images: Sequence[LabelledImage]) -> None:
    """Set the classes of each image's instances, without crowds and ignored ones, which nothing is learnt from."""
    labels = merged.labels
    is_learnt = pc.invert(pc.or_(labels["crowd"], labels["ignored"])).to_numpy()
    categories = labels["category"].to_numpy()
    for image in images:
        rows = merged.rows_of(image)
        image.categories = frozenset(categories[rows[is_learnt[rows]]].tolist())


def _write_labels(members: dict[str, list[LabelledImage]], merged: MergedLabels, out: Path) -> None:
    total = sum(map(len, members.values()))
    with (
        RowGroupWriter(out / LABELS_FILE, LABELS, REPETITIVE) as writer,
        Progress("writing labels", total, "image") as progress,
    ):
        for split in SPLITS:
            items = ((image, merged.rows_of(image)) for image in members[split])
            # A thread takes the labels of the next images while this one compresses those of the last.
            taken = ordered_map(partial(_label_rows, merged, split), portions(items), batch_size=1, threads=1)
            for images, rows in taken:
                writer.write(rows)
                progress.advance(images)


def _label_rows(
    merged: MergedLabels, split: str, portion: Sequence[tuple[LabelledImage, Rows]]
) -> tuple[int, pa.Table]:
    """Return the number of images, and their rows of labels.parquet."""
    images = [image for image, _ in portion]
    labels = merged.labels_of(images)
    image_of = pa.array(np.repeat(np.arange(len(images)), [image.count for image in images]))
    files = texts([image.label_file for image in images]).take(image_of)
    columns = {
        **{name: labels[name] for name in LABELS.names if name in labels.column_names},
        "image": texts([image.image for image in images]).take(image_of),
        "split": pa.repeat(split, len(image_of)),
        "source": pc.binary_join_element_wise(files, labels["instance_id"].combine_chunks(), "#"),
    }
    return len(images), pa.table([columns[name] for name in LABELS.names], LABELS.names).cast(LABELS)


def _write_images(members: dict[str, list[LabelledImage]], index: pa.Table, out: Path) -> None:
    with RowGroupWriter(out / IMAGES_FILE, IMAGES) as writer:
        for split in SPLITS:
            images = members[split]
            rows = index.drop_columns("split").take(pa.array([image.row for image in images], pa.int64()))
            rows = rows.append_column("split", texts([split] * len(images)))
            rows = rows.append_column("video", texts([image.video for image in images]))
            writer.write(rows.append_column("attributes", texts([image.attributes for image in images])))


def _warn_of_categories_not_found(recipe: Recipe, merged: MergedLabels) -> None:
    """Log a warning for each wanted category that no label has, with the one that may be meant."""
    found = set(pc.unique(merged.labels["category"]).to_pylist())
    for category in Wanted(recipe.labels.categories).categories:
        if category not in found:
            log.warning("labels.categories: no label is a %s%s", category, _meant(category, merged))


def _meant(category: str, merged: MergedLabels) -> str:
    """Return which category may be meant by one that no label has: another that was found, or a word of BDD's."""
    found = did_you_mean(category, merged.selection.unwanted)
    return found or ("" if category in VOCABULARY else did_you_mean(category, VOCABULARY))


def _refuse_no_instance(
    recipe: Recipe, sources: Sequence[LabelSource], merged: MergedLabels, rejections: Rejections
) -> None:
    """Raise EmptyDatasetError if there is no instance, with what the label files contain instead."""
    if any(image.count for image in merged.images.values()):
        return
    entries = ", ".join(source.entry for source in sources)
    if not merged.images:
        raise EmptyDatasetError(f"none of the labels in {entries} is of an image in {', '.join(recipe.source.images)}")
    found = f"{merged.selection.unwanted.total()} are of other categories"
    if merged.selection.unwanted:
        others = merged.selection.unwanted.most_common(CATEGORIES_NAMED)
        found += f": {', '.join(f'{category} ({count})' for category, count in others)}"
    parts = [found, *(f"{count} left out: {reason}" for reason, count in rejections.by_reason.most_common(3))]
    if any(reason in rejections.by_reason for reason in (NO_CLASS, SEVERAL_CLASSES)):
        parts.append(CLASS_HINT)
    categories = Wanted(recipe.labels.categories).categories
    meant = [f"{category}{meant}" for category in categories if (meant := _meant(category, merged))]
    wanted = ", ".join(recipe.labels.categories) or "any category"
    reasons = "; ".join([*parts, *meant])
    raise EmptyDatasetError(f"labels.categories: no label of {wanted} is usable in {entries} ({reasons})")
