"""What filtered labels amount to: counts, histograms, checks, and a few pictures, for people to look at.

Nothing here changes the tables.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline import pictures as thumbnails
from pipeline.artifacts.summary import Check, Summary
from pipeline.instances.rejections import Rejections
from pipeline.instances.tables import SPLITS, rings_in
from pipeline.labels.collector import TWICE, Collected, Frame
from pipeline.labels.filters import by_where
from pipeline.labels.splits import Division
from pipeline.recipe import Recipe
from pipeline.recipe.categories import Wanted
from pipeline.sources.image_index import ImageStore, IndexedImage

PICTURES = 4
VIDEOS_NAMED = 3
WHICH_COUNTS = "of the files of a source the first by path counts, of sources the last"


@dataclass
class Tally:
    """What was written, counted."""

    division: Division
    """How the images were divided."""
    unwanted: Counter[str]
    """Labels of categories that the recipe doesn't name, by category."""
    usable: int
    """Wanted labels that could be used, also those of images that were set aside."""
    images: Counter[str] = field(default_factory=Counter)
    """By split."""
    empty: Counter[str] = field(default_factory=Counter)
    """Images without an instance, by split."""
    categories: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Instances by (split, category)."""
    geometries: Counter[str] = field(default_factory=Counter)
    """Instances by what the source gave."""
    flags: Counter[str] = field(default_factory=Counter)
    """Instances that are crowd, or ignored."""

    def add(self, split: str, images: int, instances: pa.Table) -> None:
        """Count instances that were written, columns as in labels.parquet."""
        self.images[split] += images
        self.empty[split] += images - pc.count_distinct(instances["image"]).as_py()
        for category, count in _counts(instances["category"]):
            self.categories[split, category] += count
        self.geometries.update(dict(_counts(instances["geometry"])))
        self.flags.update({flag: pc.sum(instances[flag]).as_py() or 0 for flag in ("crowd", "ignored")})

    def instances(self, split: str) -> int:
        """Return how many instances a split has."""
        return sum(count for (its, _), count in self.categories.items() if its == split)


def summarise(recipe: Recipe, tally: Tally, rejections: Rejections, pictures: dict[str, str]) -> Summary:
    """Return the summary of `filtered_labels`."""
    found = {category for _, category in tally.categories}
    classes = list(Wanted(recipe.labels.categories).categories) or sorted(found)
    texts = {"classes": ", ".join(classes), "split": _said_of_splits(tally)}
    return Summary(
        numbers=_numbers(tally, rejections),
        texts=texts,
        tables={
            "classes": [_class_row(category, tally) for category in classes],
            "other_categories": [
                {"category": category, "labels": count} for category, count in tally.unwanted.most_common()
            ],
            "rejected": [{"reason": reason, "rows": count} for reason, count in rejections.by_reason.most_common()],
            "geometry": _geometry_rows(tally),
        },
        pictures=pictures,
        checks=[
            _masks_not_boxes(tally),
            _rejected_share(recipe, tally, rejections),
            _classes_in_splits(classes, tally),
            _splits_apart(tally.division),
        ],
    )


def draw_pictures(
    recipe: Recipe,
    raw_images: Path,
    index: pa.Table,
    kept: Mapping[str, Sequence[Frame]],
    collected: Collected,
    out: Path,
) -> dict[str, str]:
    """Draw a few labelled images of train and val into `out`; return their file names by title.

    The images are spread evenly over those that hold instances, so that the same labels give the same pictures.
    """
    found: dict[str, str] = {}
    numbers = {category: at for at, category in enumerate(Wanted(recipe.labels.categories).categories)}
    with ImageStore(raw_images) as images:
        for split in ("train", "val"):
            labelled = [frame for frame in kept[split] if frame.count]
            for at in sorted(set(np.linspace(0, len(labelled) - 1, PICTURES // 2).astype(int))) if labelled else ():
                image = IndexedImage.from_row(index.slice(labelled[at].row, 1).to_pylist()[0])
                file = f"{split}-{len(found)}.jpg"
                labels = collected.labels_of([labelled[at]])
                if thumbnails.overlay(images.read(image), _masks(labels, numbers), out / file):
                    found[f"{split}: {image.image}"] = file
    return found


def _masks(labels: pa.Table, numbers: dict[str, int]) -> list[thumbnails.Mask]:
    rings, each = rings_in(labels["polygons"].combine_chunks())
    separate = iter(rings.separate())
    return [
        (numbers.setdefault(category, len(numbers)), list(islice(separate, count)))
        for category, count in zip(labels["category"].to_pylist(), each.tolist(), strict=True)
    ]


def _counts(column: pa.ChunkedArray) -> list[tuple[str, int]]:
    return [(each["values"], each["counts"]) for each in pc.value_counts(column).to_pylist()]


def _numbers(tally: Tally, rejections: Rejections) -> dict[str, int | float]:
    splits = [split for split in SPLITS if tally.images[split] or split != "test"]
    return {
        **{f"images_{split}": tally.images[split] for split in splits},
        **{f"instances_{split}": tally.instances(split) for split in splits},
        "images_without_instances": sum(tally.empty.values()),
        **{f"{flag}_instances": tally.flags[flag] for flag in ("crowd", "ignored")},
        "labels_of_other_categories": tally.unwanted.total(),
        "labels_left_out": rejections.labels,
        "labels_filtered_out": rejections.filtered,
        "images_filtered_out": sum(count for reason, count in rejections.by_reason.items() if by_where(reason)),
        "rejected_rows": sum(rejections.by_reason.values()),
    }


def _said_of_splits(tally: Tally) -> str:
    if tally.division.method == "all_in_both":
        return "all_in_both: train and val are the same images, each with a row for either; this measures overfitting"
    return {"path": "as folders and files are named", "hash": "drawn by the seed, frames of a video together"}[
        tally.division.method
    ]


def _class_row(category: str, tally: Tally) -> dict[str, Any]:
    return {"category": category, **{split: tally.categories[split, category] for split in SPLITS}}


def _geometry_rows(tally: Tally) -> list[dict[str, Any]]:
    total = sum(tally.geometries.values())
    return [
        {"geometry": geometry, "instances": count, "share": round(count / total, 4)}
        for geometry, count in tally.geometries.most_common()
    ]


def _masks_not_boxes(tally: Tally) -> Check:
    total = sum(tally.geometries.values())
    share = tally.geometries["box"] / total if total else 0.0
    said = "every instance has a mask" if not share else f"{share:.1%} of the instances are boxes standing in for masks"
    return Check("masks_not_boxes", not share, said, {"share": share})


def _rejected_share(recipe: Recipe, tally: Tally, rejections: Rejections) -> Check:
    """Judge how many wanted labels were lost to faults, of all that were read.

    What the recipe's filters leave out doesn't count. Labels of an image that they leave out do, in both figures.
    """
    share = rejections.labels / (tally.usable + rejections.labels) if rejections.labels else 0.0
    limit = recipe.labels.warn_rejected_share
    said = (
        f"{rejections.labels} labels were left out, {share:.1%} of the wanted ones; the recipe warns over {limit:.0%}"
    )
    if rejections.filtered:
        said += f"; its filters left out {rejections.filtered} more"
    if share > limit and (twice := rejections.by_reason[TWICE]):
        said += f"; {twice} times a source labels an image again, and otherwise: {WHICH_COUNTS}"
    return Check("rejected_share", share <= limit, said, {"share": share, "limit": limit})


def _classes_in_splits(classes: Sequence[str], tally: Tally) -> Check:
    absent = [
        f"{category} in {split}"
        for category in classes
        for split in SPLITS
        if tally.images[split] and not tally.categories[split, category]
    ]
    said = f"no instance of {', '.join(absent)}" if absent else "every class occurs in every split"
    return Check("classes_in_every_split", not absent, said, {"absent": len(absent)})


def _splits_apart(division: Division) -> Check:
    """Judge whether a split may hold what another one does; what certainly does was set aside."""
    said = "no split holds an image's bytes, or frames of a video, that another one does"
    if division.leaks:
        said += f": {division.leaks} images were set aside, from train first"
    if division.method == "all_in_both":
        said = "train and val are the same images, as the recipe asks: figures measured on val are those of overfitting"
    elif division.doubtful:
        named = ", ".join(division.doubtful[:VIDEOS_NAMED])
        said = (
            f"{len(division.doubtful)} videos seem to have frames in several splits, by the names of their images "
            f"({named}): dataset.split: hash keeps them together"
        )
    passed = division.method != "all_in_both" and not division.doubtful
    return Check("splits_apart", passed, said, {"set_aside": division.leaks, "doubtful": len(division.doubtful)})
