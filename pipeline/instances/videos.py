"""Which images are frames of one video, as labels and names say; they must not be in train and in val.

Which split a video goes to is decided in `pipeline.labels.splits`.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

import msgspec

_BDD_IMAGE = re.compile(r"[0-9a-f]{8}-[0-9a-f]{8}")
_BDD_VIDEO = re.compile(r"(?:.*__)?(?P<video>[0-9a-f]{8}-[0-9a-f]{8})(?:-\d{7})?")
"""A picture or a frame: BDD names both after their video. Before `__` stand folders that tell equal names apart."""
_BDD_FRAME = re.compile(r"(?P<video>[0-9a-f]{8}-[0-9a-f]{8})-(?P<number>\d{7})")
_NUMBERED_FRAME = re.compile(r"(?P<video>.+?)[-_. ]*(?:[-_. ]frame[-_. ]?\d+|[-_.]\d{5,7})", re.IGNORECASE)
MOST_OF_ALL = 0.9
"""Share of the images above which names that make a single video of them prove nothing."""
_VIDEO_ENDINGS = frozenset({".mov", ".mp4", ".avi", ".mkv", ".m4v", ".ts", ".webm"})


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
    file_name: str = ""
    """Its own name, where `image` is another: one that tells it from images of that name, say."""


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

    Names alone prove nothing when they make a single video, and that of nearly all images that have only their names
    (IMG_00001.jpg, IMG_00002.jpg, …); then each of these images stands for itself.
    """
    found = [image.video or video_in_name(image.image) for image in images]
    given = {image.video for image in images if image.video}
    unsure = [at for at, video in enumerate(found) if video not in given and not _is_bdd_frame(images[at].image, video)]
    frames = Counter(video for at in unsure if (video := found[at])).values()
    if sum(count > 1 for count in frames) < 2 and max(frames, default=0) > MOST_OF_ALL * len(unsure):
        for at in unsure:
            found[at] = None
    return found


def _is_bdd_frame(image: str, video: str | None) -> bool:
    return video is not None and _BDD_FRAME.fullmatch(image.rpartition(".")[0]) is not None


def sure_videos(images: Sequence[LabelledFile]) -> list[str | None]:
    """Return the video that each image is certainly of: as its labels say, or its name where it is of BDD's form.

    One video may go by several names, which images that have two of them tell; it is then called as labels call it.
    """
    names = [_sure_names(image) for image in images]
    linked: dict[str, set[str]] = defaultdict(set)
    for first, second in (its for its in names if len(its) > 1):
        linked[first].add(second)
        linked[second].add(first)
    given = {_plain(image.video) for image in images if image.video}
    called: dict[str, str] = {}
    for name in linked:
        if name not in called:
            together = _reached(name, linked)
            called |= dict.fromkeys(together, min(together & given or together))
    return [called.get(its[0], its[0]) if its else None for its in names]


def _sure_names(image: LabelledFile) -> tuple[str, ...]:
    """Return the names of the one or no video that an image is certainly of, at most two."""
    name = image.file_name or image.image
    match = _BDD_VIDEO.fullmatch(name.rpartition(".")[0] or name)
    of_name = (match["video"],) if match else ()
    return tuple(dict.fromkeys((_plain(image.video), *of_name))) if image.video else of_name


def _plain(video: str) -> str:
    """Return a video as others may name it, too: without a file's ending, and where it is BDD's without folders."""
    path = video.replace("\\", "/")
    stem, dot, ending = path.rpartition(".")
    plain = stem if stem and f"{dot}{ending}".lower() in _VIDEO_ENDINGS else path
    name = plain.rpartition("/")[2]
    return name if _BDD_IMAGE.fullmatch(name) else plain


def _reached(start: str, linked: Mapping[str, set[str]]) -> set[str]:
    """Return all names that are linked with one, over any number of others, and itself."""
    reached, waiting = {start}, [start]
    while waiting:
        new = linked[waiting.pop()] - reached
        reached |= new
        waiting += new
    return reached
