"""Which image a label file means: its names are bare, or paths, or URLs, with or without an extension.

Which images there are is the index of `pipeline.raw_images`; what becomes of their labels is `pipeline.labels`.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path, PurePosixPath
from unicodedata import normalize
from urllib.parse import unquote, urlsplit

import msgspec

from pipeline.image_names import JOINT, SPLIT_FOLDERS
from pipeline.namesakes import Namesakes

NO_SUCH_IMAGE = "no such image"
AMBIGUOUS = "several images of this name"
UNREADABLE = "its image can't be read"
OTHER_SPLIT = "its image lies in another split than its label file"

IMAGE_ENDINGS = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif"})


FEW = 8
"""Images of one name among which the one that is meant is found by looking at each."""


class KnownImage(msgspec.Struct, frozen=True, dict=True):
    """An image of the index, as far as names go."""

    image: str
    source: str
    """The archive or folder that it lies in."""
    path: str
    """Its path inside the source."""
    split: str | None
    sha256: str

    @cached_property
    def parts(self) -> tuple[str, ...]:
        """The whole path from the root of the file system, archive included."""
        return (*self.folder, self.name)

    @property
    def folder(self) -> tuple[str, ...]:
        """The same without the name of the file."""
        return _folder(self.source, self.path.rpartition("/")[0])

    @property
    def name(self) -> str:
        """The name of the file."""
        return self.path.rpartition("/")[2]


@dataclass(frozen=True)
class LabelFile:
    """A label file in a folder, or a member of a zip."""

    path: Path
    member: str | None
    named: bool
    """A source of the recipe names this very file; otherwise it was found in a folder or an archive."""
    leading: int = 0
    """Components at the start of its path that are no business of its source's: what they are called says nothing."""

    @cached_property
    def parts(self) -> tuple[str, ...]:
        """The whole path from the root of the file system, archive included."""
        return PurePosixPath(self.path, *PurePosixPath(self.member or "").parts).parts

    @cached_property
    def split(self) -> str | None:
        """The split that its name or a folder above it, as far as its source, speaks of, the nearest one first."""
        return split_in_path(self.parts[self.leading :])

    @property
    def name(self) -> str:
        """How messages and tables call it: its path in its folder, or in its archive with the archive's name before."""
        return "/".join(self.parts[self.leading + (0 if self.member else 1) :])

    def __str__(self) -> str:
        return "/".join((str(self.path), *([self.member] if self.member else [])))


class Match(msgspec.Struct, frozen=True, gc=False):
    """The row of the image in the index, or why there is none."""

    row: int | None
    reason: str = ""


def split_in_path(parts: Sequence[str]) -> str | None:
    """Return train, val or test where a file's name has the word, or a folder that name: the nearest that says one.

    `det_val.json` and `val/labels.json` are of val; `test_drive/labels.json` is of no split.
    """
    for depth, part in enumerate(reversed(parts)):
        is_file = not depth or part.lower().endswith(".zip")
        words = re.split(r"[^a-z]+", part.lower()) if is_file else [part.lower()]
        said = {SPLIT_FOLDERS[word] for word in words if word in SPLIT_FOLDERS}
        if len(said) == 1:
            return said.pop()
    return None


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


@lru_cache(maxsize=4096)
def _folder(source: str, path: str) -> tuple[str, ...]:
    """Return the components of a folder in a source: images share few, and taking a path apart is slow."""
    return PurePosixPath(source, path).parts


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
