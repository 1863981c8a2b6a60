"""Writes rejected.parquet: the labels, images and label files that were left out, counted by reason."""

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Self

import msgspec
import pyarrow as pa

from pipeline.instances.reasons import FILTER_REASONS
from pipeline.instances.tables import FLAGS, REJECTED, Rejected, RowGroupWriter, json_text, rings_in, texts

Labels = Sequence[dict[str, Any]]
"""Labels as `labels_as_json` has them."""

ROWS_AT_ONCE, CHARACTERS_AT_ONCE = 8_192, 8_000_000
"""Of rows that wait to be written: a row with the labels of an image may take 100 kB."""


class Rejections:
    """Writes rejected.parquet, and counts its rows by reason and the labels that were left out."""

    def __init__(self, path: Path) -> None:
        self._writer = RowGroupWriter(path, REJECTED, repetitive=("source", "image", "reason"))
        self._waiting: list[Rejected] = []
        self._characters = 0
        self.by_reason: Counter[str] = Counter()
        self.labels = 0
        """Wanted labels left out for a fault, also those of images that are left out later."""
        self.filtered = 0
        """Wanted labels left out by a filter of the recipe."""

    def add_label(self, rejected: Rejected) -> None:
        """Write a label that was left out, and count it."""
        if rejected.reason in FILTER_REASONS:
            self.filtered += 1
        else:
            self.labels += 1
        self.add(rejected)

    def add_image_with_fault(
        self, source: str, image: str, reason: str, labels: Labels, rejected: Sequence[Rejected]
    ) -> None:
        """Write the labels of an image that can't be used for a fault in one row, and count them.

        Labels that were `rejected` for reasons of their own have rows of their own.
        """
        self.labels += len(labels)
        for each in rejected:
            self.add_label(each)
        if labels or image or not rejected:
            self.add_image(source, image, reason, labels)

    def add_image(
        self, source: str, image: str, reason: str, labels: Labels, rejected: Sequence[Rejected] = ()
    ) -> None:
        """Write the labels of an image in one row, last those that were `rejected` for reasons of their own."""
        others = [{"id": each.label_id, "reason": each.reason, "label": each.label} for each in rejected]
        self.add(Rejected(source, image, "", reason, json_text({"labels": [*labels, *others]})))

    def add(self, rejected: Rejected) -> None:
        """Write a row without counting labels."""
        self.by_reason[rejected.reason] += 1
        self._waiting.append(rejected)
        self._characters += len(rejected.label)
        if len(self._waiting) >= ROWS_AT_ONCE or self._characters >= CHARACTERS_AT_ONCE:
            self._write()

    def _write(self) -> None:
        columns = {name: texts([getattr(row, name) for row in self._waiting]) for name in REJECTED.names}
        self._writer.write(pa.table(columns, schema=REJECTED))
        self._waiting, self._characters = [], 0

    def __enter__(self) -> Self:
        self._writer.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, *exc: Any) -> None:
        if kind is None:
            self._write()
        self._writer.__exit__(kind, *exc)


def labels_as_json(labels: pa.Table) -> Iterator[dict[str, Any]]:
    """Yield each label as a JSON object: id, category, rings, geometry, flags that are set, other attributes."""
    rings, rings_each = rings_in(labels["polygons"].combine_chunks())
    separate = (ring.tolist() for ring in rings.separate())
    names = ("instance_id", "source_category", "geometry", "attributes", "mask_width", "mask_height", *FLAGS)
    columns = (labels[name].to_pylist() for name in names)
    for count, label_id, category, geometry, attributes, width, height, *flags in zip(
        rings_each.tolist(), *columns, strict=True
    ):
        label: dict[str, Any] = {flag: True for flag, is_set in zip(FLAGS, flags, strict=True) if is_set}
        if attributes != "{}":
            label["attributes"] = msgspec.Raw(attributes.encode())
        if width is not None:
            label["mask_size"] = width, height
        yield label | {
            "id": label_id,
            "category": category,
            "geometry": geometry,
            "rings": list(islice(separate, count)),
        }
