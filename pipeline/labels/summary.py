"""The summary of `filtered_labels`: counts, tables, checks and a few pictures."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline import pictures as thumbnails
from pipeline.artifacts.summary import Check, Summary
from pipeline.instances.reasons import OUTSIDE, TWICE, WHERE
from pipeline.instances.tables import IMAGES_FILE, LABELS_FILE, SPLITS, read_table, rings_in
from pipeline.labels.losses import Losses, labelled_images_decode, labelled_pictures_kept, shown
from pipeline.labels.merging import MergedLabels
from pipeline.labels.rejections import Rejections
from pipeline.labels.selection import Selection
from pipeline.labels.splits import Division, LabelledImage
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
VIDEOS_NAMED = 3
MOST_NAMED, MOST_CLASSES = 8, 30
"""Entries of a list, and classes of the table, that the terminal shows."""
LONGEST_NAME = 40
"""Characters of a name on the terminal."""
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


@dataclass(frozen=True)
class Tally:
    """Counts of the images and instances that were written."""

    images: Mapping[str, int]
    """By split."""
    without_instances: Mapping[str, int]
    """Images by split."""
    categories: Counter[tuple[str, str]]
    """Instances by (split, category)."""
    geometries: Counter[str]
    flags: Counter[str]
    """Crowd and ignored instances."""


def _tally(out: Path, members: Mapping[str, Sequence[LabelledImage]]) -> Tally:
    labels = read_table(out / LABELS_FILE, "filtered_labels", ["split", "category", "geometry", "crowd", "ignored"])
    return Tally(
        images={split: len(images) for split, images in members.items()},
        without_instances={split: sum(not image.count for image in images) for split, images in members.items()},
        categories=Counter(zip(labels["split"].to_pylist(), labels["category"].to_pylist(), strict=True)),
        geometries=Counter(labels["geometry"].to_pylist()),
        flags=Counter({flag: pc.sum(labels[flag]).as_py() or 0 for flag in ("crowd", "ignored")}),
    )


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
    tally = _tally(out, members)
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
            _masks_not_boxes(tally),
            _rejected_share(recipe, merged, rejections),
            _classes_recur(recipe, classes, tally),
            _classes_in_splits(classes, tally),
            _splits_apart(division),
            labelled_images_decode(losses),
            polygons_inside(out),
        ],
        lines=[
            *_table_lines(classes, tally),
            *_left_out_lines(rejections),
            *_spelling_lines(merged.selection, tally),
            *_unmatched_lines(classes, tally, merged.selection),
        ],
    )


def _table_lines(classes: Sequence[str], tally: Tally) -> list[str]:
    """Return a table of images and of the instances of each class, a column a split."""
    splits = [split for split in SPLITS if tally.images[split] or split != "test"]
    rows: list[tuple[str, Sequence[int | str]]] = [
        ("", splits),
        ("images", [tally.images[split] for split in splits]),
        ("  without instances", [tally.without_instances[split] for split in splits]),
    ]
    for category in classes[:MOST_CLASSES]:
        rows.append((_short(category), [tally.categories[split, category] for split in splits]))
    titles = max(len(title) for title, _ in rows)
    width = max(len(str(value)) for _, values in rows for value in values) + 2
    lines = [f"{title:<{titles}}{''.join(f'{value:>{width}}' for value in values)}" for title, values in rows]
    return [*lines, *([f"… {len(classes) - MOST_CLASSES} more classes"] if len(classes) > MOST_CLASSES else [])]


def _left_out_lines(rejections: Rejections) -> list[str]:
    """Return the most frequent reasons for leaving something out, with the rows of rejected.parquet."""
    found = rejections.by_reason.most_common(MOST_NAMED)
    width = len(str(found[0][1])) if found else 0
    lines = [f"  {count:>{width}}  {reason}" for reason, count in found]
    more = (
        [f"  … {len(rejections.by_reason) - MOST_NAMED} more reasons"] if len(rejections.by_reason) > MOST_NAMED else []
    )
    return ["left out (rows of rejected.parquet):", *lines, *more] if lines else []


def _spelling_lines(selection: Selection, tally: Tally) -> list[str]:
    """Return the spellings that were read as one, and the names that look alike."""
    counts: Counter[str] = Counter()
    for (_, category), count in tally.categories.items():
        counts[category] += count
    one = [f"{_short(name)} = {_counted(others)}" for name, others in selection.spellings.items()]
    alike = [
        f"{_counted({word: selection.unwanted[word] or counts[word]})} and {_counted({meant: counts[meant]})}"
        for word, meant in selection.alike.items()
    ]
    return [
        *([f"read as one class: {'; '.join(one[:MOST_NAMED])}"] if one else []),
        *([f"look alike (labels.rename merges them): {'; '.join(alike[:MOST_NAMED])}"] if alike else []),
    ]


def _unmatched_lines(classes: Sequence[str], tally: Tally, selection: Selection) -> list[str]:
    """Return the classes of the recipe without any instance, and the names that the recipe doesn't want."""
    found = {category for _, category in tally.categories}
    absent = [_short(category) for category in classes if category not in found]
    return [
        *([f"nothing found for: {', '.join(absent)}"] if absent else []),
        *([f"not among labels.categories: {_counted(selection.unwanted)}"] if selection.unwanted else []),
    ]


def _counted(counts: Mapping[str, int]) -> str:
    """Return names with their counts, the most frequent first."""
    found = Counter(counts).most_common(MOST_NAMED)
    more = [f"… {len(counts) - MOST_NAMED} more"] if len(counts) > MOST_NAMED else []
    return ", ".join([*(f"{_short(name)} ({count})" for name, count in found), *more])


def _short(name: str) -> str:
    return shown(name, LONGEST_NAME)


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


def _masks_not_boxes(tally: Tally) -> Check:
    share = tally.geometries["box"] / max(tally.geometries.total(), 1)
    text = "every instance has a mask" if not share else f"{share:.1%} of the instances are boxes standing in for masks"
    return Check("masks_not_boxes", not share, text, {"share": share})


def _rejected_share(recipe: Recipe, merged: MergedLabels, rejections: Rejections) -> Check:
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


def _classes_in_splits(classes: Sequence[str], tally: Tally) -> Check:
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
    named = ", ".join([*map(_short, absent[:MOST_NAMED]), *more])
    text = f"no instance of {named}" if absent else "every class occurs in every split"
    return Check("classes_in_every_split", not absent, text, {"absent": len(absent)})


def _classes_recur(recipe: Recipe, classes: Sequence[str], tally: Tally) -> Check:
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


def _splits_apart(division: Division) -> Check:
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
