"""Decides the split of each image: train, val or test. Frames of a video, and copies of an image, share a split."""

import hashlib
import logging
import math
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import msgspec

from pipeline.errors import EmptyDatasetError
from pipeline.instances.image_paths import BDD_FRAME, BDD_IMAGE, video_in_name
from pipeline.instances.reasons import NO_SPLIT, OVER_LIMIT, SAME_BYTES, SAME_VIDEO
from pipeline.instances.tables import SPLITS
from pipeline.recipe.sections import Dataset

MOST_OF_ALL = 0.9
"""Share of the images above which file names that make them a single video are ignored."""

_BDD_VIDEO = re.compile(r"(?:.*__)?(?P<video>[0-9a-f]{8}-[0-9a-f]{8})(?:-\d{7})?")
"""Stem of a BDD image or frame, with the folders of a flat name before it."""
_VIDEO_ENDINGS = frozenset({".mov", ".mp4", ".avi", ".mkv", ".m4v", ".ts", ".webm"})

log = logging.getLogger(__name__)


class LabelledImage(msgspec.Struct):
    """An image of the index and what the label files say about it."""

    image: str
    """Name in the index."""
    sha256: str
    path_split: str | None = None
    """Split in the path of the image, else in that of a label file of the first source that labels the image."""
    video: str | None = None
    """The `videoName` of the labels; once the images are divided, the video by name as well."""
    categories: frozenset[str] = frozenset()
    """Classes of the instances, if `dataset.balance` needs them."""
    file_name: str = ""
    """Name of the image file, which may differ from `image`."""
    attributes: str = "{}"
    """JSON."""
    row: int = -1
    """Row of the index."""
    entry: int = -1
    """Row of images.parquet of `raw_labels` that the labels come from."""
    label_file: str = ""
    """Display name of the file that the labels come from."""
    start: int = 0
    count: int = 0
    """Labels of the image: the first one in `MergedLabels.rows`, and how many there are."""


@dataclass
class Division:
    """Positions of the images by split, sorted by image name; and of those left out, with the reason."""

    method: str
    """`path`, `hash` or `all_in_both`."""
    members: dict[str, list[int]]
    left_out: list[tuple[int, str]] = field(default_factory=list)
    videos: list[str | None] = field(default_factory=list)
    """Video of each image, by the labels or by name (`likely_videos`)."""
    doubtful: list[str] = field(default_factory=list)
    """Videos in several splits according to file names alone, neither labels nor names of BDD's form."""

    @property
    def leaks(self) -> int:
        """Number of images left out because another split has the same bytes, or frames of the same video."""
        reasons = {each.format(split=split) for each in (SAME_BYTES, SAME_VIDEO) for split in SPLITS}
        return sum(reason in reasons for _, reason in self.left_out)


def divide(images: Sequence[LabelledImage], dataset: Dataset, seed: int) -> Division:
    """Assign each image to a split as the recipe says (`dataset.split`, fractions, limits).

    With `all_in_both` train and val are the same images. Raises EmptyDatasetError when train or val is empty.
    """
    if not images:
        raise EmptyDatasetError("no image has labels: check that source.images and source.labels belong together")
    order = sorted(range(len(images)), key=lambda position: images[position].image)
    method, videos = _method(images, dataset), likely_videos(images)
    if method == "all_in_both":
        division = Division(method, {"train": order, "val": list(order), "test": []}, videos=videos)
    else:
        certain = [certain_video(image) for image in images]
        if method == "path":
            splits = [image.path_split for image in images]
        else:
            names = zip(certain, videos, images, strict=True)
            splits = _draw_splits([sure or likely or image.image for sure, likely, image in names], dataset, seed)
        members = {split: [position for position in order if splits[position] == split] for split in SPLITS}
        no_split = [(position, NO_SPLIT) for position in order if splits[position] is None]
        division = Division(method, members, no_split, videos)
        _refuse_empty_split(division)
        if method == "hash":
            _warn_of_uneven_val(division, dataset)
        _remove_leaks(division, images, certain)
        division.doubtful = _videos_in_several_splits(division)
    _limit(division, images, dataset, seed)
    _refuse_empty_split(division)
    if method == "hash" and dataset.test_fraction and not division.members["test"]:
        log.warning("too few images or videos for a test split: it is empty")
    return division


def _method(images: Sequence[LabelledImage], dataset: Dataset) -> str:
    if dataset.split != "auto":
        return dataset.split
    return "path" if {"train", "val"} <= {image.path_split for image in images} else "hash"


def _draw_splits(groups: Sequence[str], dataset: Dataset, seed: int) -> list[str | None]:
    """Return the split of each image, given as its video (or its name): drawn from that name and the seed.

    So adding images moves no other image, except where a split would be empty.
    """
    drawn = {group: draw(seed, "split", group) for group in groups}
    split = {}
    for group, number in drawn.items():
        in_test = number < dataset.test_fraction
        in_val = number < dataset.test_fraction + dataset.val_fraction
        split[group] = "test" if in_test else "val" if in_val else "train"
    _fill_empty_splits(split, drawn, ("val", "train", "test") if dataset.test_fraction else ("val", "train"))
    return [split[group] for group in groups]


def _fill_empty_splits(split: dict[str, str], drawn: dict[str, float], required: Sequence[str]) -> None:
    """Move the group whose number is nearest to an empty split's range into it, from a split that has several."""
    for empty in required:
        count = Counter(split.values())
        givers = {giver for giver, groups in count.items() if groups > 1 or (giver == "test" and empty != "test")}
        movable = [group for group, current in split.items() if current in givers]
        if not count[empty] and movable:
            nearest = max if empty == "train" else min
            split[nearest(movable, key=lambda group: (drawn[group], group))] = empty


def _remove_leaks(division: Division, images: Sequence[LabelledImage], videos: Sequence[str | None]) -> None:
    """Leave out images whose bytes or whose certain video another split has; test keeps its images first, then val."""
    split_of_bytes: dict[str, str] = {}
    split_of_video: dict[str, str] = {}
    for split in ("test", "val", "train"):
        kept = []
        for position in division.members[split]:
            if other := split_of_bytes.get(images[position].sha256):
                division.left_out.append((position, SAME_BYTES.format(split=other)))
            elif other := split_of_video.get(videos[position] or ""):
                division.left_out.append((position, SAME_VIDEO.format(split=other)))
            else:
                kept.append(position)
        division.members[split] = kept
        split_of_bytes.update((images[position].sha256, split) for position in kept)
        split_of_video.update((video, split) for position in kept if (video := videos[position]))


def _videos_in_several_splits(division: Division) -> list[str]:
    splits: dict[str, set[str]] = defaultdict(set)
    for split, members in division.members.items():
        for position in members:
            if video := division.videos[position]:
                splits[video].add(split)
    return sorted(video for video, its_splits in splits.items() if len(its_splits) > 1)


def _warn_of_uneven_val(division: Division, dataset: Dataset) -> None:
    """Warn if few videos with most images make val far larger or smaller than asked for.

    Three standard deviations of the share, if each image were drawn by itself, are taken for chance.
    """
    images, fraction = sum(map(len, division.members.values())), dataset.val_fraction
    share = len(division.members["val"]) / images
    chance = 3 * math.sqrt(fraction * (1 - fraction) / images)
    counts = Counter(division.videos[position] for members in division.members.values() for position in members)
    del counts[None]
    if abs(share - fraction) > fraction / 2 + chance and counts:
        video, frames = counts.most_common(1)[0]
        message = (
            "val has %.1f %% of the images where dataset.val_fraction asks for %.1f %%: the frames of a video stay in "
            "one split, and %s has %d of the %d images"
        )
        log.warning(message, 100 * share, 100 * fraction, video, frames, images)


def _limit(division: Division, images: Sequence[LabelledImage], dataset: Dataset, seed: int) -> None:
    """Keep `dataset.limit` images of a split; a higher limit keeps all images that a lower one keeps."""
    over: dict[int, None] = {}
    for split, most in dataset.limit.items():
        members = division.members[split]
        balance = dataset.balance if split == "train" else 0.0
        factors = repeat_factors([images[position].categories for position in members], balance)
        ranks = [rank(seed, images[at].image, factor) for at, factor in zip(members, factors, strict=True)]
        kept = {position for _, position in sorted(zip(ranks, members, strict=True))[:most]}
        division.members[split] = [position for position in members if position in kept]
        over |= dict.fromkeys(position for position in members if position not in kept)
    # With all_in_both an image may be left out of one split only.
    in_a_split = {position for members in division.members.values() for position in members}
    division.left_out += [(position, OVER_LIMIT) for position in over if position not in in_a_split]


def _refuse_empty_split(division: Division) -> None:
    """Raise EmptyDatasetError, saying what to do, when train or val has no image."""
    for split in ("train", "val"):
        if division.members[split]:
            continue
        if any(reason != NO_SPLIT for _, reason in division.left_out):
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


def likely_videos(images: Sequence[LabelledImage]) -> list[str | None]:
    """Return the video of each image: as its labels say, else as its name suggests (`video_in_name`).

    Names alone are ignored where they make nearly all images without a video of their own a single video
    (IMG_00001.jpg, IMG_00002.jpg, …).
    """
    found = [image.video or video_in_name(image.image) for image in images]
    given = {image.video for image in images if image.video}
    by_name = [
        at
        for at, video in enumerate(found)
        if video not in given and (video is None or not BDD_FRAME.fullmatch(images[at].image.rpartition(".")[0]))
    ]
    frames = Counter(video for at in by_name if (video := found[at])).values()
    if sum(count > 1 for count in frames) < 2 and max(frames, default=0) > MOST_OF_ALL * len(by_name):
        for at in by_name:
            found[at] = None
    return found


def certain_video(image: LabelledImage) -> str | None:
    """Return the video that an image certainly belongs to: as a file name of BDD's form says, or its labels say."""
    name = image.file_name or image.image
    if match := _BDD_VIDEO.fullmatch(name.rpartition(".")[0] or name):
        return match["video"]
    return _plain_video(image.video) if image.video else None


def _plain_video(video: str) -> str:
    """Return a video's name without the ending of a video file, and for a video of BDD without folders."""
    path = video.replace("\\", "/")
    stem, dot, ending = path.rpartition(".")
    plain = stem if stem and f"{dot}{ending}".lower() in _VIDEO_ENDINGS else path
    name = plain.rpartition("/")[2]
    return name if BDD_IMAGE.fullmatch(name) else plain


def repeat_factors(images: Sequence[Collection[str]], threshold: float) -> list[float]:
    """Return how often each image should be seen an epoch, >= 1, given the classes of its instances.

    A class that a share f of the images holds has the factor max(1, sqrt(threshold / f)); an image has the largest
    factor of its classes, and 1 without any. A. Gupta, P. Dollár, R. Girshick, "LVIS: A Dataset for Large Vocabulary
    Instance Segmentation", CVPR 2019, section 4.
    """
    counts = Counter(category for categories in images for category in set(categories))
    factors = {category: max(1.0, math.sqrt(threshold * len(images) / count)) for category, count in counts.items()}
    return [max((factors[category] for category in categories), default=1.0) for categories in images]


def rank(seed: int, name: str, weight: float) -> float:
    """Return a random number; the images with the smallest are a draw without replacement in proportion to the weights.

    P. Efraimidis, P. Spirakis, "Weighted random sampling with a reservoir", 2006: exponential draws of rate `weight`.
    """
    return -math.log1p(-draw(seed, "limit", name)) / weight


def draw(seed: int, purpose: str, name: str) -> float:
    """Return a number in [0, 1) that depends on the arguments alone."""
    digest = hashlib.sha256(f"{seed}\0{purpose}\0{name}".encode()).digest()
    return int.from_bytes(digest[:7]) / (1 << 56)
