"""The summary of `filtered_labels`: counts, tables, checks and a few pictures."""

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow as pa

from pipeline import pictures as thumbnails
from pipeline.artifacts.summary import Summary
from pipeline.instances.reasons import WHERE
from pipeline.instances.tables import SPLITS, rings_in
from pipeline.labels.losses import Losses, labelled_images_decode, labelled_pictures_kept
from pipeline.labels.merging import MergedLabels
from pipeline.labels.rejections import Rejections
from pipeline.labels.splits import Division, LabelledImage
from pipeline.labels.summary import checks, lines
from pipeline.labels.summary.tally import Tally, tally_of
from pipeline.recipe import Recipe
from pipeline.recipe.categories import Wanted
from pipeline.sources.image_index import ImageStore, IndexedImage

SPLIT_TEXTS = {
    "path": "as folders and files are named",
    "hash": "drawn by the seed, frames of a video together",
    "all_in_both": (
        "all_in_both: train and val are the same images, each with a row for either; this measures overfitting"
    ),
}
PICTURES = 4


def summarise(
    recipe: Recipe,
    out: Path,
    division: Division,
    members: Mapping[str, Sequence[LabelledImage]],
    merged: MergedLabels,
    rejections: Rejections,
    losses: Losses,
    pictures: dict[str, str],
) -> Summary:
    """Return the summary of `filtered_labels`, whose tables are in `out`."""
    tally = tally_of(out, members)
    found = {category for _, category in tally.categories}
    classes = list(Wanted(recipe.labels.categories).categories) or sorted(found)
    total = tally.geometries.total()
    return Summary(
        numbers=_numbers(tally, merged, rejections),
        texts={"classes": ", ".join(classes), "split": SPLIT_TEXTS[division.method]},
        tables={
            "classes": [
                {"category": category, **{split: tally.categories[split, category] for split in SPLITS}}
                for category in classes
            ],
            "other_categories": [
                {"category": category, "labels": count} for category, count in merged.selection.unwanted.most_common()
            ],
            "rejected": [{"reason": reason, "rows": count} for reason, count in rejections.by_reason.most_common()],
            "geometry": [
                {"geometry": geometry, "instances": count, "share": round(count / total, 4)}
                for geometry, count in tally.geometries.most_common()
            ],
        },
        pictures=pictures,
        checks=[
            labelled_pictures_kept(losses),
            checks.masks_not_boxes(tally),
            checks.rejected_share(recipe, merged, rejections),
            checks.classes_recur(recipe, classes, tally),
            checks.classes_in_splits(classes, tally),
            checks.splits_apart(division),
            labelled_images_decode(losses),
            checks.polygons_inside(out),
        ],
        lines=[
            *lines.table(classes, tally),
            *lines.left_out(rejections),
            *lines.spelling(merged.selection, tally),
            *lines.unmatched(classes, tally, merged.selection),
        ],
    )


def draw_pictures(
    recipe: Recipe,
    raw_images: Path,
    index: pa.Table,
    members: Mapping[str, Sequence[LabelledImage]],
    merged: MergedLabels,
    out: Path,
) -> dict[str, str]:
    """Draw a few images of train and val, evenly among those with instances, into `out`; return file names by title."""
    found: dict[str, str] = {}
    numbers = {category: at for at, category in enumerate(Wanted(recipe.labels.categories).categories)}
    with ImageStore(raw_images) as images:
        for split in ("train", "val"):
            labelled = [image for image in members[split] if image.count]
            for at in sorted(set(np.linspace(0, len(labelled) - 1, PICTURES // 2).astype(int))) if labelled else ():
                image = IndexedImage(**index.slice(labelled[at].row, 1).to_pylist()[0])
                file = f"{split}-{len(found)}.jpg"
                labels = merged.labels_of([labelled[at]])
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


def _numbers(tally: Tally, merged: MergedLabels, rejections: Rejections) -> dict[str, int | float]:
    splits = [split for split in SPLITS if tally.images[split] or split != "test"]
    instances: Counter[str] = Counter()
    for (split, _), count in tally.categories.items():
        instances[split] += count
    return {
        **{f"images_{split}": tally.images[split] for split in splits},
        **{f"instances_{split}": instances[split] for split in splits},
        "images_without_instances": sum(tally.without_instances.values()),
        **{f"{flag}_instances": count for flag, count in tally.flags.items()},
        "labels_of_other_categories": merged.selection.unwanted.total(),
        "labels_left_out": rejections.labels,
        "labels_filtered_out": rejections.filtered,
        "images_filtered_out": sum(count for reason, count in rejections.by_reason.items() if reason.startswith(WHERE)),
        "rejected_rows": sum(rejections.by_reason.values()),
    }
