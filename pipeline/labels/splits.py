"""Divides the images among train, val and test; frames of one video, and copies of one image, stay on one side.

Which images are labelled at all is decided before, in `pipeline.labels`.
"""

import logging
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from pipeline.errors import EmptyDatasetError
from pipeline.instances.tables import SPLITS
from pipeline.instances.videos import LabelledFile, sure_videos, videos
from pipeline.labels.balance import draw, rank, repeat_factors
from pipeline.recipe.sections import Dataset

NO_SPLIT = "no train, val or test in its path"
SAME_BYTES = "the same bytes are in {split}"
SAME_VIDEO = "its video is in {split}"
OVER_LIMIT = "over the limit of its split"

_STRICTEST_FIRST = ("test", "val", "train")

log = logging.getLogger(__name__)


@dataclass
class Division:
    """Positions of the images by split, sorted by image name; and those set aside, with the reason."""

    method: str
    """`path`, `hash` or `all_in_both`."""
    members: dict[str, list[int]]
    set_aside: list[tuple[int, str]] = field(default_factory=list)
    videos: list[str | None] = field(default_factory=list)
    """The video of each image, by its position, as `videos.videos` has it."""
    doubtful: list[str] = field(default_factory=list)
    """Videos that the names of images speak of on several sides, where neither labels nor BDD's names bear them out."""

    @property
    def leaks(self) -> int:
        """Images set aside since another split holds their bytes, or frames of their video."""
        reasons = {each.format(split=split) for each in (SAME_BYTES, SAME_VIDEO) for split in SPLITS}
        return sum(reason in reasons for _, reason in self.set_aside)


def divide(images: Sequence[LabelledFile], dataset: Dataset, seed: int) -> Division:
    """Give each image to a split as the recipe says (`dataset.split`, fractions, limits).

    With `all_in_both` train and val are the same images. Raises EmptyDatasetError when train or val is empty.
    """
    if not images:
        raise EmptyDatasetError("no image has labels: check that source.images and source.labels belong together")
    order = sorted(range(len(images)), key=lambda position: images[position].image)
    method, of_videos = _method(images, dataset), videos(images)
    if method == "all_in_both":
        division = Division(method, {"train": order, "val": list(order), "test": []}, videos=of_videos)
    else:
        sure = sure_videos(images)
        if method == "path":
            chosen = _by_path(images, order)
        else:
            chosen = _by_hash(_groups(images, sure, of_videos), order, dataset, seed)
        members = {split: [position for position in order if chosen.get(position) == split] for split in SPLITS}
        unsplit = [(position, NO_SPLIT) for position in order if position not in chosen]
        division = Division(method, members, unsplit, of_videos)
        _say_what_is_empty(division)
        if method == "hash":
            _tell_uneven(division, dataset)
        _keep_apart(division, images, sure)
        division.doubtful = _on_several_sides(division)
    _limit(division, images, dataset, seed)
    _say_what_is_empty(division)
    if method == "hash" and dataset.test_fraction and not division.members["test"]:
        log.warning("too few images or videos for a test split: it is empty")
    return division


def _method(images: Sequence[LabelledFile], dataset: Dataset) -> str:
    if dataset.split != "auto":
        return dataset.split
    in_paths = {image.path_split for image in images}
    return "path" if {"train", "val"} <= in_paths else "hash"


def _by_path(images: Sequence[LabelledFile], order: Iterable[int]) -> dict[int, str]:
    return {position: split for position in order if (split := images[position].path_split) is not None}


def _groups(images: Sequence[LabelledFile], sure: Sequence[str | None], of_videos: Sequence[str | None]) -> list[str]:
    """Return the video of each image, certain or likely, else the image itself: what is given to a split as one."""
    each = zip(sure, of_videos, images, strict=True)
    return [certain or video or image.image for certain, video, image in each]


def _by_hash(groups: Sequence[str], order: Iterable[int], dataset: Dataset, seed: int) -> dict[int, str]:
    """Draw each video's (or lone image's) number from its name and the seed: more images move none of the others."""
    drawn = {group: draw(seed, "split", group) for group in groups}
    split = {}
    for group, number in drawn.items():
        in_test = number < dataset.test_fraction
        in_val = number < dataset.test_fraction + dataset.val_fraction
        split[group] = "test" if in_test else "val" if in_val else "train"
    wanted = ("val", "train", "test") if dataset.test_fraction else ("val", "train")
    _leave_none_empty(split, drawn, wanted)
    return {position: split[groups[position]] for position in order}


def _leave_none_empty(split: dict[str, str], drawn: dict[str, float], wanted: Sequence[str]) -> None:
    """Move the video whose number is nearest to an empty split's share into it, from a split that can spare it."""
    for empty in wanted:
        count = Counter(split.values())
        spared = {its for its, groups in count.items() if groups > 1 or (its == "test" and empty != "test")}
        movable = [group for group, its in split.items() if its in spared]
        if not count[empty] and movable:
            nearest = max if empty == "train" else min
            split[nearest(movable, key=lambda group: (drawn[group], group))] = empty


def _keep_apart(division: Division, images: Sequence[LabelledFile], videos_of: Sequence[str | None]) -> None:
    """Set aside, from train first, images whose bytes or whose video (`sure_videos`) another split holds."""
    held_bytes: dict[str, str] = {}
    held_videos: dict[str, str] = {}
    for split in _STRICTEST_FIRST:
        kept = []
        for position in division.members[split]:
            reason = _leak(held_bytes.get(images[position].sha256), held_videos.get(videos_of[position] or ""))
            if reason:
                division.set_aside.append((position, reason))
            else:
                kept.append(position)
        division.members[split] = kept
        held_bytes.update((images[position].sha256, split) for position in kept)
        held_videos.update((video, split) for position in kept if (video := videos_of[position]))


def _on_several_sides(division: Division) -> list[str]:
    """Return the videos with images in more than one split, sorted."""
    sides: dict[str, set[str]] = {}
    for split, members in division.members.items():
        for position in members:
            if video := division.videos[position]:
                sides.setdefault(video, set()).add(split)
    return sorted(video for video, its in sides.items() if len(its) > 1)


def _tell_uneven(division: Division, dataset: Dataset) -> None:
    """Warn where val got far more or fewer images than asked for, since few videos have most of them.

    Three standard deviations of chance, with each image by itself, are not told of.
    """
    images, asked = sum(map(len, division.members.values())), dataset.val_fraction
    share = len(division.members["val"]) / images
    if abs(share - asked) <= asked / 2 + 3 * math.sqrt(asked * (1 - asked) / images):
        return
    counted = Counter(
        video for members in division.members.values() for at in members if (video := division.videos[at])
    )
    for largest, frames in counted.most_common(1):
        log.warning(
            "val has %.1f %% of the images where dataset.val_fraction asks for %.1f %%: a video stays on one side, and "
            "%s has %d of the %d images",
            100 * share,
            100 * asked,
            largest,
            frames,
            images,
        )


def _leak(split_of_bytes: str | None, split_of_video: str | None) -> str | None:
    if split_of_bytes:
        return SAME_BYTES.format(split=split_of_bytes)
    return SAME_VIDEO.format(split=split_of_video) if split_of_video else None


def _limit(division: Division, images: Sequence[LabelledFile], dataset: Dataset, seed: int) -> None:
    """Keep the images with the least drawn numbers, so that a higher limit keeps all that a lower one kept."""
    left_out: dict[int, None] = {}
    for split, most in dataset.limit.items():
        members = division.members[split]
        balance = dataset.balance if split == "train" else 0.0
        factors = repeat_factors([images[position].categories for position in members], balance)
        weights = dict(zip(members, factors, strict=True))
        drawn = sorted(members, key=lambda position: rank(seed, images[position].image, weights[position]))
        kept = set(drawn[:most])
        division.members[split] = [position for position in members if position in kept]
        left_out |= dict.fromkeys(position for position in members if position not in kept)
    # With all_in_both an image may be left out of one split only.
    held = {position for members in division.members.values() for position in members}
    division.set_aside += [(position, OVER_LIMIT) for position in left_out if position not in held]


def _say_what_is_empty(division: Division) -> None:
    """Raise EmptyDatasetError, saying what to do, when train or val has no image."""
    for split in ("train", "val"):
        if division.members[split]:
            continue
        if any(reason != NO_SPLIT for _, reason in division.set_aside):
            raise EmptyDatasetError(f"each image of {split} is also in another split, by its bytes or its video")
        if division.method == "path":
            raise EmptyDatasetError(
                f"dataset.split: path finds no labelled image in a folder called {split}, nor first labelled by a file "
                "of that name; use hash, or all_in_both"
            )
        raise EmptyDatasetError(
            f"dataset.split: {division.method} leaves {split} without images, since there are too few images or "
            "all are frames of one video; add more, or use all_in_both"
        )
