"""Divides the images among train, val and test; frames of one video, and copies of one image, stay on one side.

Which images are labelled at all is decided before, in `pipeline.labels`.
"""

import logging
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import msgspec

from pipeline.balance import draw, rank, repeat_factors
from pipeline.errors import EmptyDatasetError
from pipeline.recipe_sections import Dataset
from pipeline.tables import SPLITS

NO_SPLIT = "no train, val or test in its path"
SAME_BYTES = "the same bytes are in {split}"
SAME_VIDEO = "its video is in {split}"
OVER_LIMIT = "over the limit of its split"

_BDD_IMAGE = re.compile(r"[0-9a-f]{8}-[0-9a-f]{8}")
_BDD_VIDEO = re.compile(r"(?:.*__)?(?P<video>[0-9a-f]{8}-[0-9a-f]{8})(?:-\d{7})?")
"""A picture or a frame: BDD names both after their video. Before `__` stand folders that tell equal names apart."""
_BDD_FRAME = re.compile(r"(?P<video>[0-9a-f]{8}-[0-9a-f]{8})-(?P<number>\d{7})")
_NUMBERED_FRAME = re.compile(r"(?P<video>.+?)[-_. ]*(?:[-_. ]frame[-_. ]?\d+|[-_.]\d{5,7})", re.IGNORECASE)
_STRICTEST_FIRST = ("test", "val", "train")

log = logging.getLogger(__name__)


class LabelledFile(msgspec.Struct, frozen=True):
    """An image to be given to a split."""

    image: str
    sha256: str
    path_split: str | None
    """What the path of the image, else that of its label file, says."""
    video: str | None = None
    """`videoName` where the labels give one."""
    categories: frozenset[str] = frozenset()
    """Classes of its instances, where `dataset.balance` needs them."""


@dataclass
class Division:
    """Positions of the images by split, sorted by image name; and those set aside, with the reason."""

    method: str
    """`path`, `hash` or `all_in_both`."""
    members: dict[str, list[int]]
    set_aside: list[tuple[int, str]] = field(default_factory=list)
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
    method = _method(images, dataset)
    if method == "all_in_both":
        division = Division(method, {"train": order, "val": list(order), "test": []})
    else:
        chosen = _by_path(images, order) if method == "path" else _by_hash(images, order, dataset, seed)
        members = {split: [position for position in order if chosen.get(position) == split] for split in SPLITS}
        division = Division(method, members, [(position, NO_SPLIT) for position in order if position not in chosen])
        _say_what_is_empty(division)
        _keep_apart(division, images)
        division.doubtful = _on_several_sides(division, videos(images))
    _limit(division, images, dataset, seed)
    _say_what_is_empty(division)
    if method == "hash" and dataset.test_fraction and not division.members["test"]:
        log.warning("too few images or videos for a test split: it is empty")
    return division


def video_in_name(image: str) -> str | None:
    """Return the video that a frame's file name begins with, or None where the name is not one of a frame.

    `00091078-875c1f73-0000166.jpg` is a frame of `00091078-875c1f73`; `b1c66a42-6f7d68ca.jpg` is no frame at all.
    """
    stem = image.rpartition(".")[0] or image
    if _BDD_IMAGE.fullmatch(stem):
        return None
    match = _BDD_FRAME.fullmatch(stem) or _NUMBERED_FRAME.fullmatch(stem)
    return match["video"] if match else None


def videos(images: Sequence[LabelledFile]) -> list[str | None]:
    """Return the video of each image: as its labels say, else as its name says.

    Names prove nothing when they make one video of the whole data set (IMG_00001.jpg, IMG_00002.jpg, …), unless they
    are of BDD's own form; then each image stands for itself.
    """
    found = [image.video or video_in_name(image.image) for image in images]
    sure = any(image.video or _BDD_FRAME.fullmatch(image.image.rpartition(".")[0]) for image in images)
    return found if sure or len(set(found)) > 1 else [None] * len(found)


def _method(images: Sequence[LabelledFile], dataset: Dataset) -> str:
    if dataset.split != "auto":
        return dataset.split
    in_paths = {image.path_split for image in images}
    return "path" if {"train", "val"} <= in_paths else "hash"


def _by_path(images: Sequence[LabelledFile], order: Iterable[int]) -> dict[int, str]:
    return {position: split for position in order if (split := images[position].path_split) is not None}


def _by_hash(images: Sequence[LabelledFile], order: Iterable[int], dataset: Dataset, seed: int) -> dict[int, str]:
    """Draw each video's (or lone image's) number from its name and the seed: more images move none of the others."""
    groups = [_sure_video(image) or video or image.image for video, image in zip(videos(images), images, strict=True)]
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


def _keep_apart(division: Division, images: Sequence[LabelledFile]) -> None:
    """Set aside, from train first, images whose bytes or whose video (`_sure_video`) another split holds."""
    held_bytes: dict[str, str] = {}
    held_videos: dict[str, str] = {}
    sure_videos = [_sure_video(image) for image in images]
    for split in _STRICTEST_FIRST:
        kept = []
        for position in division.members[split]:
            digest, video = images[position].sha256, sure_videos[position]
            reason = _leak(held_bytes.get(digest), held_videos.get(video or ""))
            if reason:
                division.set_aside.append((position, reason))
            else:
                kept.append(position)
        division.members[split] = kept
        held_bytes.update((images[position].sha256, split) for position in kept)
        held_videos.update((video, split) for position in kept if (video := sure_videos[position]))


def _sure_video(image: LabelledFile) -> str | None:
    """Return the video that an image is certainly of: as its labels say, else as its name does, where it is BDD's."""
    match = _BDD_VIDEO.fullmatch(image.image.rpartition(".")[0] or image.image)
    return image.video or (match["video"] if match else None)


def _on_several_sides(division: Division, videos_of: Sequence[str | None]) -> list[str]:
    """Return the videos with images in more than one split, sorted."""
    sides: dict[str, set[str]] = {}
    for split, members in division.members.items():
        for position in members:
            if video := videos_of[position]:
                sides.setdefault(video, set()).add(split)
    return sorted(video for video, its in sides.items() if len(its) > 1)


def _leak(split_of_bytes: str | None, split_of_video: str | None) -> str | None:
    if split_of_bytes:
        return SAME_BYTES.format(split=split_of_bytes)
    return SAME_VIDEO.format(split=split_of_video) if split_of_video else None


def _limit(division: Division, images: Sequence[LabelledFile], dataset: Dataset, seed: int) -> None:
    """Keep the images with the least drawn numbers, so that a higher limit keeps all that a lower one kept."""
    for split, most in dataset.limit.items():
        members = division.members[split]
        balance = dataset.balance if split == "train" else 0.0
        factors = repeat_factors([images[position].categories for position in members], balance)
        weights = dict(zip(members, factors, strict=True))
        drawn = sorted(members, key=lambda position: rank(seed, images[position].image, weights[position]))
        kept = set(drawn[:most])
        division.members[split] = [position for position in members if position in kept]
        division.set_aside += [(position, OVER_LIMIT) for position in members if position not in kept]


def _say_what_is_empty(division: Division) -> None:
    """Raise EmptyDatasetError, saying what to do, when train or val has no image."""
    for split in ("train", "val"):
        if division.members[split]:
            continue
        if any(reason != NO_SPLIT for _, reason in division.set_aside):
            raise EmptyDatasetError(f"each image of {split} is also in another split, by its bytes or its video")
        if division.method == "path":
            raise EmptyDatasetError(
                f"dataset.split: path finds no labelled image in a folder called {split}; use hash, or all_in_both"
            )
        raise EmptyDatasetError(
            f"dataset.split: {division.method} leaves {split} without images, since there are too few images or "
            "all are frames of one video; add more, or use all_in_both"
        )
