"""Images that share a name with thousands of others, as frames of videos do, found by the folders that they lie in."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable

Folder = tuple[str, ...]
"""The components of a folder's path, from the root of the file system."""


class Namesakes:
    """Images of one name, sorted by how their folders begin and by how they end."""

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
