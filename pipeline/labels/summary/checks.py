"""The checks of `filtered_labels`, but for those of lost labels (`pipeline.labels.losses`)."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.artifacts.summary import Check
from pipeline.instances.reasons import OUTSIDE, TWICE
from pipeline.instances.tables import IMAGES_FILE, LABELS_FILE, SPLITS, read_table
from pipeline.labels.losses import shown
from pipeline.labels.merging import MergedLabels
from pipeline.labels.rejections import Rejections
from pipeline.labels.splits import Division
from pipeline.labels.summary.lines import MOST_NAMED, short
from pipeline.labels.summary.tally import Tally
from pipeline.recipe import Recipe

VIDEOS_NAMED = 3
WHICH_COUNTS = (
    "of the files of a source the one in the image's folder counts, then the one that states the size of the image's "
    "file, then the first by path; of sources the last"
)

MANY_CLASSES, FEW_EACH = 30, 5
"""More classes than the first, with fewer instances each than the second, are taken for free texts."""
HAIR = 1e-3
"""Pixels that rounding may put a border outside the image."""
MUCH_OUTSIDE = 0.05
"""Share of the wanted labels outside their images from which these were likely resized."""
RESIZED = (
    "lie outside their images, as where images were made smaller or turned after they were labelled: give them as they "
    "were labelled"
)


def masks_not_boxes(tally: Tally) -> Check:
    """Check that each instance has a mask of its own."""
    share = tally.geometries["box"] / max(tally.geometries.total(), 1)
    text = "every instance has a mask" if not share else f"{share:.1%} of the instances are boxes standing in for masks"
    return Check("masks_not_boxes", not share, text, {"share": share})


def rejected_share(recipe: Recipe, merged: MergedLabels, rejections: Rejections) -> Check:
    """Check the share of the wanted labels that were left out for faults, not by filters of the recipe."""
    usable = sum(image.count for image in merged.images.values())
    share = rejections.labels / (usable + rejections.labels) if rejections.labels else 0.0
    limit = recipe.labels.warn_rejected_share
    text = (
        f"{rejections.labels} labels were left out, {share:.1%} of the wanted ones; the recipe warns over {limit:.0%}"
    )
    if rejections.filtered:
        text += f"; its filters left out {rejections.filtered} more"
    outside = rejections.by_reason[OUTSIDE]
    if share > limit and outside > MUCH_OUTSIDE * (usable + rejections.labels):
        text += f"; {outside} {RESIZED}"
    if share > limit and (twice := rejections.by_reason[TWICE]):
        text += f"; {twice} times a source labels an image again, and otherwise: {WHICH_COUNTS}"
    return Check("rejected_share", share <= limit, text, {"share": share, "limit": limit})


def classes_in_splits(classes: Sequence[str], tally: Tally) -> Check:
    """Check that each class occurs in each split that has images."""
    splits = [split for split in SPLITS if tally.images[split]]
    filled = {split for split, _ in tally.categories}
    absent = [f"any class in {split}" for split in splits if split not in filled]
    absent += [
        f"{category} in {split}"
        for category in classes
        for split in splits
        if split in filled and not tally.categories[split, category]
    ]
    more = [f"… {len(absent) - MOST_NAMED} more"] if len(absent) > MOST_NAMED else []
    named = ", ".join([*map(short, absent[:MOST_NAMED]), *more])
    text = f"no instance of {named}" if absent else "every class occurs in every split"
    return Check("classes_in_every_split", not absent, text, {"absent": len(absent)})


def classes_recur(recipe: Recipe, classes: Sequence[str], tally: Tally) -> Check:
    """Check that the classes, where the recipe keeps all, are no free texts."""
    total = tally.geometries.total()
    are_texts = not recipe.labels.categories and len(classes) > MANY_CLASSES and total < FEW_EACH * len(classes)
    text = f"{len(classes)} classes of {total} instances"
    if are_texts:
        text += (
            ": they look like free texts; labels.class_attribute names the attribute that says the class, "
            "labels.categories the classes to keep"
        )
    return Check("classes_recur", not are_texts, text, {"classes": len(classes), "instances": total})


def splits_apart(division: Division) -> Check:
    """Check that no split may have frames of a video of another one; certain ones were left out."""
    text = "no split holds an image's bytes, or frames of a video, that another one does"
    if division.leaks:
        text += f": {division.leaks} images were set aside, from train first"
    if division.method == "all_in_both":
        text = "train and val are the same images, as the recipe asks: figures measured on val are those of overfitting"
    elif division.doubtful:
        named = ", ".join(division.doubtful[:VIDEOS_NAMED])
        text = (
            f"{len(division.doubtful)} videos seem to have frames in several splits, by the names of their images "
            f"({named}): dataset.split: hash keeps them together; where they are no videos, "
            "checks: {splits_apart: warn} goes on"
        )
    return Check(
        "splits_apart",
        passed=division.method != "all_in_both" and not division.doubtful,
        description=text,
        numbers={"set_aside": division.leaks, "doubtful": len(division.doubtful)},
        asked_for=division.method == "all_in_both",
        examples=[{"video": shown(video)} for video in division.doubtful[:MOST_NAMED]],
    )


def polygons_inside(out: Path) -> Check:
    """Check that no instance that was written reaches out of its image."""
    images = read_table(out / IMAGES_FILE, "filtered_labels", ["image", "width", "height"])
    labels = read_table(out / LABELS_FILE, "filtered_labels", ["image", "category", "box"])
    rows = pc.index_in(labels["image"], value_set=images["image"])
    is_outside = np.zeros(labels.num_rows, bool)
    for start, side in (("x", "width"), ("y", "height")):
        first, extent = (pc.struct_field(labels["box"], name).to_numpy() for name in (start, side))
        is_outside |= (first < -HAIR) | (first + extent > images[side].take(rows).to_numpy() + HAIR)
    outside = labels.filter(pa.array(is_outside))
    return Check(
        "polygons_inside",
        passed=not outside.num_rows,
        description=f"{outside.num_rows} of {labels.num_rows} instances reach out of their images",
        numbers={"outside": outside.num_rows, "instances": labels.num_rows},
        examples=outside.select(["image", "category"]).slice(0, MOST_NAMED).to_pylist(),
    )
