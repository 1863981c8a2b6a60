"""Ids of which each stands once: one that comes again has a number behind it."""

from collections import Counter
from collections.abc import Collection


class DistinctIds:
    """Gives ids, each once; `own` are those that their labels have from the start, which no other label is to get."""

    def __init__(self, own: Collection[str] = ()) -> None:
        self._own = own
        self._given: set[str] = set()
        self._times: Counter[str] = Counter()

    def give(self, wish: str, is_own: bool = True) -> str:
        """Return the id wished for, else `wish~2`, `wish~3`, …; in linear time, however often it is wished for."""
        free = wish
        while free in self._given or (free in self._own and not (is_own and free == wish)):
            self._times[wish] += 1
            free = f"{wish}~{self._times[wish] + 1}"
        self._given.add(free)
        return free
