"""What stages share of instances: their shapes, one as a record, one that was left out, and ids that are distinct."""

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal, get_args

from pipeline.geometry.polygon import Box, Ring

Geometry = Literal["polygon", "box", "rle", "bitmask"]
GEOMETRIES: tuple[Geometry, ...] = get_args(Geometry)


@dataclass(frozen=True)
class Instance:
    """One labelled object; its mask is the union of `rings`, filled nonzero, never with holes."""

    id: str
    category: str
    """Its class, as the label file that it is read from calls it."""
    rings: tuple[Ring, ...]
    box: Box
    geometry: Geometry
    """What the source gave; for `box` the ring is the rectangle."""
    crowd: bool = False
    ignored: bool = False
    occluded: bool | None = None
    truncated: bool | None = None


@dataclass(frozen=True)
class Rejected:
    """A label or an image that was left out: `reason` is a short fixed phrase, `label` the JSON text of what it was."""

    source: str
    image: str
    label_id: str
    reason: str
    label: str


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
