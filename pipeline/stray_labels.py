"""Labels of images that `source.images` lacks: usual where labels are of more images than one has, else a mistake."""

import logging
from collections import Counter
from collections.abc import Sequence

from pipeline.label_sources import LabelSource

log = logging.getLogger(__name__)


class StrayLabels:
    """Counts, by the position of their source, the images that label files name, and those that there is none for."""

    def __init__(self) -> None:
        self._named: Counter[int] = Counter()
        self._strays: Counter[int] = Counter()
        self._examples: dict[int, str] = {}

    def count(self, source: int, image: str, reason: str) -> None:
        """Count an image; `reason` is empty where it was found."""
        self._named[source] += 1
        if reason:
            self._strays[source] += 1
            self._examples.setdefault(source, f"{image or 'one without a name'}: {reason}")

    def tell(self, sources: Sequence[LabelSource]) -> None:
        """Say which sources name images that were not found; a warning where all were not, and of corrections."""
        for number, strays in sorted(self._strays.items()):
            named = self._named[number]
            level = logging.WARNING if number or strays == named else logging.INFO
            log.log(
                level,
                "%s: %d of the %d images that it labels are not in source.images (%s); their labels are in "
                "rejected.parquet",
                sources[number].entry,
                strays,
                named,
                self._examples[number],
            )
