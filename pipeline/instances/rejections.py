"""What was left out, and why: the rows of rejected.parquet, counted by reason.

The reasons themselves are named where the fault is seen.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import pyarrow as pa

from pipeline.instances.reasons import LABEL_REASONS, OTHER_CATEGORY
from pipeline.instances.records import Instance, Rejected
from pipeline.instances.tables import REJECTED, RowGroupWriter, json_text, texts

ROWS_AT_ONCE, CHARACTERS_AT_ONCE = 8_192, 8_000_000
"""Of labels that wait to be written: an image's labels in one row may take some 100 kB."""


class Rejections:
    """Writes rejected.parquet, and counts rows by reason and the labels that were lost."""

    def __init__(self, path: Path) -> None:
        self._writer = RowGroupWriter(path, REJECTED, repetitive=("source", "image", "reason"))
        self._waiting: list[Rejected] = []
        self._characters = 0
        self.by_reason: Counter[str] = Counter()
        self.labels = 0
        """Wanted labels that were lost to faults, also those of images that are set aside later on."""
        self.filtered = 0
        """Wanted labels that were left out as the recipe asks."""

    def add(self, rejected: Rejected) -> None:
        """Count and write one label that was left out."""
        if rejected.reason in LABEL_REASONS:
            self.filtered += 1
        elif rejected.reason != OTHER_CATEGORY:
            self.labels += 1
        self._row(rejected)

    @property
    def unwanted(self) -> int:
        """Labels of categories that the recipe doesn't name, that have a row of their own.

        Those of an image that was labelled twice alike, or anew by a later source, are in the image's row instead.
        """
        return self.by_reason[OTHER_CATEGORY]

    def add_others(self, source: str, images: Sequence[tuple[str, int, int]], others: pa.RecordBatch) -> None:
        """Count and write labels of other categories, columns as in `label_block.OTHERS`.

        `images` has the name of each image, the first of its rows, and how many it has, in the order of the rows.
        """
        counts = [count for _, _, count in images]
        total = sum(counts)
        if not total:
            return
        if total < len(others):
            others = others.take(pa.array([row for _, first, count in images for row in range(first, first + count)]))
        self._write()
        columns = {
            "source": pa.repeat(texts([source])[0], total),
            "image": texts([name for name, _, _ in images]).take(pa.array(np.repeat(np.arange(len(images)), counts))),
            "reason": pa.repeat(OTHER_CATEGORY, total),
            **{name: others[name] for name in others.schema.names},
        }
        self._writer.write(pa.table([columns[name] for name in REJECTED.names], schema=REJECTED))
        self.by_reason[OTHER_CATEGORY] += total

    def add_file(self, source: str, reason: str, what: str) -> None:
        """Count and write a whole file that was set aside; `what` says what it is."""
        self._row(Rejected(source, "", "", reason, json_text({"file": what})))

    def add_labels(
        self,
        source: str,
        image: str,
        instances: Sequence[Instance],
        rejected: Sequence[Rejected],
        reason: str,
        lost: bool,
    ) -> None:
        """Count and write what a label file says of one image, in one row that holds its labels.

        `lost` says whether these labels count as lost, or stand elsewhere (the image was labelled twice). A lost label
        that was rejected for itself, or is of another category, has a row of its own, with its own reason.
        """
        if lost:
            self.labels += len(instances)
            for each in rejected:
                self.add(each)
            if rejected and not (instances or image):
                return
        own_reasons = () if lost else rejected
        self._row(Rejected(source, image, "", reason, _together(instances, own_reasons)))

    def add_image(self, source: str, image: str, reason: str, instances: Sequence[Instance]) -> None:
        """Count and write an image that is set aside, in one row that holds its labels.

        Those that were rejected for themselves, or are of other categories, have rows of their own already.
        """
        self._row(Rejected(source, image, "", reason, _together(instances)))

    def _row(self, rejected: Rejected) -> None:
        self.by_reason[rejected.reason] += 1
        self._waiting.append(rejected)
        self._characters += len(rejected.label)
        if len(self._waiting) >= ROWS_AT_ONCE or self._characters >= CHARACTERS_AT_ONCE:
            self._write()

    def _write(self) -> None:
        if not self._waiting:
            return
        columns = {name: texts([getattr(row, name) for row in self._waiting]) for name in REJECTED.names}
        self._writer.write(pa.table(columns, schema=REJECTED))
        self._waiting, self._characters = [], 0

    def __enter__(self) -> Self:
        self._writer.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._write()
        self._writer.__exit__(kind, error, trace)


def _together(instances: Sequence[Instance], rejected: Sequence[Rejected] = ()) -> str:
    """Return what an image's labels say as one JSON text, those last that were rejected for themselves."""
    labels = [{"id": each.id, **told(each)} for each in instances]
    labels += [{"id": each.label_id, "reason": each.reason, "label": each.label} for each in rejected]
    return json_text({"labels": labels})


def told(instance: Instance) -> dict[str, Any]:
    """What an instance that is left out says, for JSON: its word, rings, geometry, and what else is said of it."""
    said = {flag: getattr(instance, flag) for flag in ("crowd", "ignored", "occluded", "truncated")}
    label: dict[str, Any] = {flag: value for flag, value in said.items() if value}
    if instance.attributes:
        label["attributes"] = instance.attributes
    if instance.mask_size:
        label["mask_size"] = instance.mask_size
    rings = [ring.tolist() for ring in instance.rings]
    return label | {"category": instance.source_category, "geometry": instance.geometry, "rings": rings}
