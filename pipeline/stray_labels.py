"""Labels of images that aren't found: usual where labels are of more images than one has, else a mistake."""

import logging
from collections import Counter
from collections.abc import Sequence

from pipeline.label_sources import LabelSource

log = logging.getLogger(__name__)


class StrayLabels:
    """Counts, by the position of their source, the images that label files name, and those that are not found."""

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
        """Say of how many images each source's labels are left out.

        A warning where all are, or few are of a source that isn't the first one, as of corrections.
        """
        for number, strays in sorted(self._strays.items()):
            named = self._named[number]
            level = logging.WARNING if strays == named or (number and 2 * strays < named) else logging.INFO
            log.log(
                level,
                "%s: labels of %d of its %d images are left out (%s); they are in rejected.parquet",
                sources[number].entry,
                strays,
                named,
                self._examples[number],
            )
