"""Finds the image of the index that a label file names: by file name, path or URL, with or without extension.

And which of several entries that name it counts.
"""

import logging
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import cached_property, lru_cache
from pathlib import PurePosixPath
from unicodedata import normalize
from urllib.parse import unquote

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline.instances.image_paths import JOINT
from pipeline.instances.reasons import AMBIGUOUS, NO_SUCH_IMAGE, OTHER_SIZE, OTHER_SPLIT, TURNED, UNREADABLE
from pipeline.labels.selection import Selection
from pipeline.sources.label_files import LabelFile, LabelSource

Rows = NDArray[np.int64]

log = logging.getLogger(__name__)

IMAGE_ENDINGS = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif"})

Folder = tuple[str, ...]
"""The components of a folder's path, from the root of the file system; an archive is a folder."""


class ImageNames:
    """Finds images by the names that label files give them.

    A name fits an image of the same file name, else one of the same stem (`b1c66a42-6f7d68ca` fits
    `b1c66a42-6f7d68ca.jpg`, `1.JPG` fits `1.jpg`). Among several, preference goes to those whose path agrees with the
    name in most components from the end, then to those in the label file's folder, below it, and of its split.
    """

    def __init__(self, index: pa.Table, unreadable: Iterable[str] = ()) -> None:
        """`index` has the columns image, source, path, split and sha256; `unreadable` are names of images left out."""
        self._images, sources, paths, self._splits, self._digests = (
            index[name].to_pylist() for name in ("image", "source", "path", "split", "sha256")
        )
        self._unreadable = {_stem(PurePosixPath(name).name) for name in unreadable}
        self._paths = [path.rpartition("/") for path in paths]
        self._folders = [_folder(source, path[0]) for source, path in zip(sources, self._paths, strict=True)]
        self._all_folders = set(self._folders)
        self._by_name: dict[str, list[int]] = {}
        for row, (image, path) in enumerate(zip(self._images, self._paths, strict=True)):
            for name in {path[2], image}:
                self._by_name.setdefault(name, []).append(row)
        self._namesakes: dict[str, Namesakes] = {}
        self._found: dict[tuple[Folder, Folder, str | None], int | str] = {}

    @cached_property
    def _by_stem(self) -> dict[str, list[int]]:
        """Rows by the stems of names, made when a name first fits none."""
        found: dict[str, set[int]] = {}
        for name, rows in self._by_name.items():
            found.setdefault(_stem(name), set()).update(rows)
        return {stem: sorted(rows) for stem, rows in found.items()}

    def folder_of(self, row: int) -> Folder:
        """Return the folder that an image lies in."""
        return self._folders[row]

    def find(self, name: str, file: LabelFile, video: str | None = None) -> int | str:
        """Return the row of the image that `file` calls `name`, or the reason why there is none.

        `video` is the folder of the frames of a video.
        """
        parts = _parts(name)
        if not parts:
            return NO_SUCH_IMAGE
        rows = self._rows(parts[-1])
        if not rows and "%" in name:  # a part of a URL
            parts = tuple(map(unquote, parts))
            rows = self._rows(parts[-1])
        if not rows and JOINT in parts[-1]:
            rows = self._of_flat_name(parts[-1])
        full = (video, *parts) if video and len(parts) == 1 else parts
        if len(rows) < 2:
            return self._best(rows, full, file)
        key = (full, file.folder, file.split)
        if key not in self._found:
            near = self._allowed(self._nearest(rows, full, file.folder), file)
            self._found[key] = self._best(near or rows, full, file)
        return self._found[key]

    def _nearest(self, rows: list[int], parts: Folder, folder: Folder) -> list[int]:
        """Return those of the rows, all images that a name fits, whose folders fit it best, below `folder` if any."""
        namesakes = self._namesakes.get(parts[-1])
        if namesakes is None:
            namesakes = self._namesakes[parts[-1]] = Namesakes((self._folders[row], row) for row in rows)
        return namesakes.nearest(parts[:-1], folder)

    def _of_flat_name(self, name: str) -> list[int]:
        """Return the images for which `image_index.flat_names` may have made this name, given some other images."""
        pieces = name.split(JOINT)
        for count in range(len(pieces) - 1, 0, -1):
            parts = (*pieces[:count], JOINT.join(pieces[count:]))
            rows = self._rows(parts[-1])
            near = self._nearest(rows, parts, ())
            if rows := [row for row in near if _are_flat_folders(self._folders[row][-count:], parts[:-1])]:
                return rows
        return []

    def _best(self, named: list[int], parts: Folder, file: LabelFile) -> int | str:
        if not named:
            return UNREADABLE if _stem(parts[-1]) in self._unreadable else NO_SUCH_IMAGE
        rows = self._allowed(named, file)
        if len(rows) > 1:
            rows = self._preferred(rows, parts, file)
        return OTHER_SPLIT if not rows else rows[0] if len(rows) == 1 else AMBIGUOUS

    def _allowed(self, rows: Sequence[int], file: LabelFile) -> list[int]:
        return [row for row in rows if not self._lies_beside_another_split(row, file)]

    def _rows(self, name: str) -> list[int]:
        """Return the images of this name, else of this stem."""
        return self._by_name.get(name) or self._by_stem.get(_stem(name)) or []

    def _preferred(self, rows: list[int], parts: Folder, file: LabelFile) -> list[int]:
        """Return the rows that fit best; only one of several whose bytes are the same."""
        agreement = {row: _common_end((*self._folders[row], self._paths[row][2]), parts) for row in rows}
        most = max(agreement.values())
        rows = [row for row in rows if agreement[row] == most]
        folder = file.folder
        rows = [row for row in rows if self._folders[row] == folder] or rows
        rows = [row for row in rows if self._folders[row][: len(folder)] == folder] or rows
        rows = [row for row in rows if self._splits[row] is not None and self._splits[row] == file.split] or rows
        rows = [row for row in rows if self._images[row] == parts[-1]] or rows
        return rows[:1] if len({self._digests[row] for row in rows}) == 1 else rows

    def _lies_beside_another_split(self, row: int, file: LabelFile) -> bool:
        """Say whether the label file lies among images of one split, and this image among those of another.

        The folders train/ and val/ of a VIA data set may both hold a 1.jpg: labels in train/ are not of val/1.jpg.
        """
        split = self._splits[row]
        if split is None or file.split is None or file.folder not in self._all_folders:
            return False
        return self._folders[row] != file.folder and split != file.split


@lru_cache(maxsize=4096)
def _folder(source: str, path: str) -> Folder:
    """Return the components of a folder in a source; cached since many images lie in few folders."""
    return PurePosixPath(source, path).parts


def _are_flat_folders(folders: Sequence[str], words: Sequence[str]) -> bool:
    """Say whether folders are those of a flat name, in which archives have no ending."""
    return len(folders) == len(words) and all(
        word in (folder, folder[:-4] if folder.lower().endswith(".zip") else folder)
        for folder, word in zip(folders, words, strict=True)
    )


def _parts(name: str) -> tuple[str, ...]:
    """Return the components of a path or URL, escapes of a URL decoded."""
    if name not in ("", ".", "..") and "/" not in name and "\\" not in name:
        return (name,)
    if "://" in name:
        name = unquote(re.split("[?#]", name.partition("://")[2])[0].partition("/")[2])
    return tuple(part for part in name.replace("\\", "/").split("/") if part not in ("", ".", ".."))


def _stem(name: str) -> str:
    stem, dot, ending = name.rpartition(".")
    stem = stem if dot and f".{ending.lower()}" in IMAGE_ENDINGS else name
    # Some systems decompose accented letters (NFD).
    return stem.casefold() if stem.isascii() else normalize("NFC", stem).casefold()


def _common_end(path: Sequence[str], name: Sequence[str]) -> int:
    """Return how many components agree from the end; the last one counts always."""
    count = 1
    while count < min(len(path), len(name)) and path[-count - 1] == name[-count - 1]:
        count += 1
    return count


class Namesakes:
    """Images of the same name, as thousands of frames of videos have, by the starts and the ends of their folders."""

    def __init__(self, folders: Iterable[tuple[Folder, int]]) -> None:
        """`folders` has the folder of each image, and its row."""
        self._by_start: dict[Folder, set[int]] = defaultdict(set)
        self._by_end: dict[Folder, set[int]] = defaultdict(set)
        for folder, row in folders:
            for size in range(len(folder) + 1):
                self._by_start[folder[:size]].add(row)
                self._by_end[folder[size:]].add(row)

    def nearest(self, end: Folder, start: Folder) -> list[int]:
        """Return the rows of the images whose folders agree with `end` in most components from the end (maybe none).

        If some of them lie in `start` or below it, only those are returned.
        """
        for size in range(len(end) + 1):
            if alike := self._by_end.get(end[size:]):
                return sorted(alike & self._by_start.get(start, set()) or alike)
        return []


def files_of(entries: pa.Table) -> list[tuple[int, int]]:
    """Return the source, and the file in it, of each entry."""
    return list(zip(entries["source"].to_pylist(), entries["file_index"].to_pylist(), strict=True))


def has_size_of_file(entries: pa.Table, image_rows: Rows, index: pa.Table) -> NDArray[np.bool_]:
    """Say which entries state the bytes that the file of their image has."""
    sizes = entries["size"].fill_null(-1).to_numpy()
    is_same: NDArray[np.bool_] = (image_rows >= 0) & (sizes == index["size"].fill_null(-2).to_numpy()[image_rows])
    return is_same


def precedence(
    entries: pa.Table, sources: Sequence[LabelSource], image_rows: Rows, names: ImageNames, has_size: NDArray[np.bool_]
) -> list[int]:
    """Return the entries in the order in which they count.

    Those of the last source come first; of a source those whose label file lies in the folder of the image, then those
    that state the size of its file, which whole real sets have wrong, then the first.
    """
    is_beside = [
        row >= 0 and names.folder_of(row) == sources[source].files[file].folder
        for row, (source, file) in zip(image_rows.tolist(), files_of(entries), strict=True)
    ]
    order: list[int] = np.lexsort((~has_size, ~np.array(is_beside, bool), -entries["source"].to_numpy())).tolist()
    return order


def match(entries: pa.Table, sources: Sequence[LabelSource], names: ImageNames) -> tuple[Rows, list[str]]:
    """Return the row of the index that each entry names (-1: none), and the reason if none."""
    found = [
        names.find(name, sources[source].files[file], video)
        for name, video, (source, file) in zip(
            entries["name"].to_pylist(), entries["video"].to_pylist(), files_of(entries), strict=True
        )
    ]
    rows = np.array([-1 if isinstance(each, str) else each for each in found], np.int64)
    return rows, [each if isinstance(each, str) else "" for each in found]


def without_other_sizes(
    entries: pa.Table, rows: Rows, reasons: list[str], index: pa.Table, selection: Selection
) -> Rows:
    """Return the rows of the index, -1 where labels were made for an image of another size; write that into `reasons`.

    Run-length masks have a size of their own.
    """
    rows = rows.copy()
    has_size = pc.is_valid(entries["width"]).to_numpy()
    if has_size.any():
        is_usable = (selection.reasons == "") & pc.is_null(selection.labels["mask_width"]).to_numpy()
        labels = np.bincount(selection.labels["image"].to_numpy()[is_usable], minlength=len(entries))
        stated, sizes = sizes_of(entries), sizes_of(index)[rows]
        differs, is_turned = (stated != sizes).any(axis=1), (stated == sizes[:, ::-1]).all(axis=1)
        for entry in np.flatnonzero(has_size & differs & (labels > 0) & (rows >= 0)).tolist():
            rows[entry], reasons[entry] = -1, TURNED if is_turned[entry] else OTHER_SIZE
    return rows


def sizes_of(images: pa.Table) -> NDArray[np.int64]:
    """Return width and height of images ([N, 2]), -1 where they are not known."""
    sides = [images[side].fill_null(-1).to_numpy().astype(np.int64) for side in ("width", "height")]
    return np.stack(sides, axis=1)


def log_unmatched(sources: Sequence[LabelSource], entries: pa.Table, reasons: Sequence[str]) -> None:
    """Log for each source how many of its entries match no image.

    It is a warning if all of them do, or some of a source that isn't the first and mostly matches, as corrections do.
    """
    names, source_of = entries["name"].to_pylist(), entries["source"].to_numpy()
    is_unmatched = np.array([reason != "" for reason in reasons], bool)
    for source in np.unique(source_of[is_unmatched]).tolist():
        of_source, count = np.flatnonzero(is_unmatched & (source_of == source)).tolist(), (source_of == source).sum()
        are_few = source and 2 * len(of_source) < count
        log.log(
            logging.WARNING if are_few or len(of_source) == count else logging.INFO,
            "%s: labels of %d of its %d images are left out (%s: %s); they are in rejected.parquet",
            sources[source].entry,
            len(of_source),
            count,
            names[of_source[0]] or "one without a name",
            reasons[of_source[0]],
        )
