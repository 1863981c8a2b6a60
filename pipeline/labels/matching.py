"""Which image a label file means: its names are bare, or paths, or URLs, with or without an extension.

Which images there are is the index of `pipeline.sources.raw_images`; what becomes of their labels is `pipeline.labels`.
"""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from pathlib import PurePosixPath
from unicodedata import normalize
from urllib.parse import unquote, urlsplit

from pipeline.instances.reasons import AMBIGUOUS, NO_SUCH_IMAGE, OTHER_SPLIT, UNREADABLE
from pipeline.instances.splits import JOINT
from pipeline.labels.records import KnownImage, LabelFile, Match

IMAGE_ENDINGS = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif"})


Folder = tuple[str, ...]
"""The components of a folder's path, from the root of the file system."""

FEW = 8
"""Images of one name among which the one that is meant is found by looking at each."""


class ImageNames:
    """Finds images by the names that label files give them.

    A name fits an image of the same base name, else one of the same stem (`b1c66a42-6f7d68ca` for
    `b1c66a42-6f7d68ca.jpg`, `1.JPG` for `1.jpg`). Among several, the ones are preferred whose path agrees with the
    name furthest from its end, then those in the label file's own folder, below it, and of the label file's split.
    """

    def __init__(self, images: Sequence[KnownImage], unreadable: Iterable[str] = ()) -> None:
        self._images = images
        self._by_name: dict[str, list[int]] = {}
        self._unreadable = {_stem(PurePosixPath(name).name) for name in unreadable}
        for row, image in enumerate(images):
            for name in {image.name, image.image}:
                self._by_name.setdefault(name, []).append(row)
        self._folders = {image.folder for image in images}
        self._namesakes: dict[str, Namesakes] = {}
        self._known: dict[tuple[tuple[str, ...], tuple[str, ...], str | None], Match] = {}

    @cached_property
    def _by_stem(self) -> dict[str, list[int]]:
        """Rows by the stems of names, made when a name first fits none: most files spell their images' names out."""
        found: dict[str, set[int]] = {}
        for name, rows in self._by_name.items():
            found.setdefault(_stem(name), set()).update(rows)
        return {stem: sorted(rows) for stem, rows in found.items()}

    def find(self, name: str, file: LabelFile, video: str | None = None) -> Match:
        """Return the one image that `file` means by `name`; `video` is the folder that frames of a video lie in."""
        parts = _parts(name)
        if not parts:
            return Match(None, NO_SUCH_IMAGE)
        rows = self._rows(parts[-1])
        if not rows and "%" in name:  # it comes out of an address
            parts = tuple(map(unquote, parts))
            rows = self._rows(parts[-1])
        if not rows and JOINT in parts[-1]:
            rows = self._once_called(parts[-1])
        full = (video, *parts) if video and len(parts) == 1 else parts
        if len(rows) > FEW:
            return self._one_of_many(rows, full, file)
        return self._one_of(rows, full, file)

    def _one_of_many(self, rows: list[int], parts: tuple[str, ...], file: LabelFile) -> Match:
        """Return what `_one_of` returns, having looked at few of the rows, or once at all of them."""
        asked = (parts, file.parts[:-1], file.split)
        if (known := self._known.get(asked)) is not None:
            return known
        near = self._nearest(rows, parts, file.parts[:-1])
        match = self._one_of(self._allowed(near, file) or rows, parts, file)
        if len(near) > FEW:
            self._known[asked] = match
        return match

    def _nearest(self, rows: list[int], parts: tuple[str, ...], folder: tuple[str, ...]) -> list[int]:
        """Return those of the rows, all images that a name fits, whose folders fit it best, in `folder` if any is."""
        namesakes = self._namesakes.get(parts[-1])
        if namesakes is None:
            namesakes = self._namesakes[parts[-1]] = Namesakes((self._images[row].folder, row) for row in rows)
        return namesakes.nearest(parts[:-1], folder)

    def _once_called(self, name: str) -> list[int]:
        """Return the images that `image_names.flat_names` may have called so, which depends on what else there is."""
        pieces = name.split(JOINT)
        for count in range(len(pieces) - 1, 0, -1):
            parts = (*pieces[:count], JOINT.join(pieces[count:]))
            rows = self._rows(parts[-1])
            near = self._nearest(rows, parts, ()) if len(rows) > FEW else rows
            if rows := [row for row in near if _lies_in(self._images[row].folder[-count:], parts[:-1])]:
                return rows
        return []

    def _one_of(self, named: list[int], parts: tuple[str, ...], file: LabelFile) -> Match:
        if not named:
            return Match(None, UNREADABLE if _stem(parts[-1]) in self._unreadable else NO_SUCH_IMAGE)
        rows = self._allowed(named, file)
        if not rows:
            return Match(None, OTHER_SPLIT)
        if len(rows) > 1:
            rows = self._narrowed(rows, parts, file)
        return Match(rows[0]) if len(rows) == 1 else Match(None, AMBIGUOUS)

    def _allowed(self, rows: Sequence[int], file: LabelFile) -> list[int]:
        return [row for row in rows if not self._lies_beside_another_split(row, file)]

    def _rows(self, name: str) -> list[int]:
        """Return the images of this name, else of this stem."""
        return self._by_name.get(name) or self._by_stem.get(_stem(name)) or []

    def _narrowed(self, rows: list[int], parts: tuple[str, ...], file: LabelFile) -> list[int]:
        """Return the rows that fit best; one is left of several whose bytes are the same."""
        agreement = {row: _common_end(self._images[row].parts, parts) for row in rows}
        most = max(agreement.values())
        rows = [row for row in rows if agreement[row] == most]
        folder = file.parts[:-1]
        preferences: tuple[Callable[[KnownImage], bool], ...] = (
            lambda image: image.parts[:-1] == folder,
            lambda image: image.parts[: len(folder)] == folder,
            lambda image: image.split is not None and image.split == file.split,
            lambda image: image.image == parts[-1],
        )
        for preferred in preferences:
            rows = [row for row in rows if preferred(self._images[row])] or rows
        same_bytes = len({self._images[row].sha256 for row in rows}) == 1
        return rows[:1] if same_bytes else rows

    def _lies_beside_another_split(self, row: int, file: LabelFile) -> bool:
        """Say whether the label file stands among images of one split, and this image in another.

        The folders train/ and val/ of a VIA data set may both hold a 1.jpg: val's is not meant by train's labels.
        """
        folder, split = file.parts[:-1], self._images[row].split
        if folder not in self._folders or split is None or file.split is None:
            return False
        return self._images[row].parts[:-1] != folder and split != file.split


def _lies_in(folder: Sequence[str], said: Sequence[str]) -> bool:
    """Say whether folders, archives among them, are those of a flat name, in which archives have no ending."""
    return len(folder) == len(said) and all(
        word in (part, part[:-4] if part.lower().endswith(".zip") else part)
        for part, word in zip(folder, said, strict=True)
    )


def _parts(name: str) -> tuple[str, ...]:
    """Return the components of a path or URL, the escapes of a URL undone."""
    if name not in ("", ".", "..") and "/" not in name and "\\" not in name:
        return (name,)
    if "://" in name:
        name = unquote(_path_of(name))
    return tuple(part for part in name.replace("\\", "/").split("/") if part not in ("", ".", ".."))


def _path_of(url: str) -> str:
    try:
        return urlsplit(url).path
    except ValueError:  # brackets that hold no address, letters that no host may have: the host doesn't matter here
        return re.split("[?#]", url.partition("://")[2], maxsplit=1)[0].partition("/")[2]


def _stem(name: str) -> str:
    stem, dot, ending = name.rpartition(".")
    told = stem if dot and f".{ending.lower()}" in IMAGE_ENDINGS else name
    # Some systems take letters with accents apart (NFD) where others don't.
    return told.casefold() if told.isascii() else normalize("NFC", told).casefold()


def _common_end(path: Sequence[str], name: Sequence[str]) -> int:
    """Return how many components agree, counted from the end; the last one always counts as one."""
    count = 1
    while count < min(len(path), len(name)) and path[-count - 1] == name[-count - 1]:
        count += 1
    return count


class Namesakes:
    """Images that share a name, as thousands of frames of videos do, sorted by how their folders begin and end."""

    def __init__(self, folders: Iterable[tuple[Folder, int]]) -> None:
        """`folders` has the folder of each image, and its row."""
        self._by_start = sorted(folders)
        self._by_end = sorted((folder[::-1], row) for folder, row in self._by_start)

    def nearest(self, end: Folder, start: Folder) -> list[int]:
        """Return the images whose folders end like `end`, in as many components as there is any, none included.

        If some of them lie in `start` or below it, only those are returned.
        """
        below = _span(self._by_start, start)
        for size in range(len(end), -1, -1):
            ending = end[::-1][:size]
            alike = _span(self._by_end, ending)
            if not alike:
                continue
            if len(below) < len(alike):
                near = [row for folder, row in _at(below, self._by_start) if folder[::-1][:size] == ending]
            else:
                near = [row for folder, row in _at(alike, self._by_end) if folder[::-1][: len(start)] == start]
            return sorted(near or (row for _, row in _at(alike, self._by_end)))
        return []


def _at(places: range, folders: list[tuple[Folder, int]]) -> list[tuple[Folder, int]]:
    return folders[places.start : places.stop]


def _span(folders: list[tuple[Folder, int]], start: Folder) -> range:
    """Return the places of those that begin with `start`, among folders that are sorted."""

    def beginning(each: tuple[Folder, int]) -> Folder:
        return each[0][: len(start)]

    first = bisect_left(folders, start, key=beginning)
    return range(first, bisect_right(folders, start, lo=first, key=beginning))
