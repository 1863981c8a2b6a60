"""What was left out, and why: the rows of rejected.parquet, counted by reason.

The reasons themselves are named where the fault is seen.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec
import pyarrow as pa

from pipeline.instances.reasons import LABEL_REASONS
from pipeline.instances.records import Rejected
from pipeline.instances.tables import FLAGS, REJECTED, RowGroupWriter, json_text, rings_in, texts

Labels = Sequence[dict[str, Any]]
"""What labels say, as `told` has it."""

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
        else:
            self.labels += 1
        self._row(rejected)

    def add_file(self, source: str, reason: str, what: str) -> None:
        """Count and write a whole file that was set aside; `what` says what it is."""
        self._row(Rejected(source, "", "", reason, json_text({"file": what})))

    def add_unread_file(self, rejected: Rejected) -> None:
        """Count and write a file that holds no labels."""
        self._row(rejected)

    def add_lost(self, source: str, image: str, reason: str, labels: Labels, rejected: Sequence[Rejected]) -> None:
        """Count and write what a label file says of an image where it can't be used: `labels` in one row, as lost.

        Labels that were `rejected` for themselves have rows of their own, with their own reasons.
        """
        self.labels += len(labels)
        for each in rejected:
            self.add(each)
        if labels or image or not rejected:
            self.add_image(source, image, reason, labels)

    def add_image(
        self, source: str, image: str, reason: str, labels: Labels, rejected: Sequence[Rejected] = ()
    ) -> None:
        """Count and write what a label file says of an image that is set aside, or labelled elsewhere, in one row.

        It holds the labels, those last that were `rejected` for themselves and have no rows of their own.
        """
        left_out = [{"id": each.label_id, "reason": each.reason, "label": each.label} for each in rejected]
        self._row(Rejected(source, image, "", reason, json_text({"labels": [*labels, *left_out]})))

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


def told(labels: pa.Table) -> Iterator[dict[str, Any]]:
    """Yield what each label says, for JSON: id, word, rings, geometry, flags that are set, and what else it has."""
    rings, each = rings_in(labels["polygons"].combine_chunks())
    separate = (ring.tolist() for ring in rings.separate())
    ids, words, kinds, others = (
        labels[name].to_pylist() for name in ("instance_id", "source_category", "geometry", "attributes")
    )
    flags = [labels[name].to_pylist() for name in FLAGS]
    sizes = zip(labels["mask_width"].to_pylist(), labels["mask_height"].to_pylist(), strict=True)
    plain = zip(ids, words, kinds, others, sizes, zip(*flags, strict=True), each.tolist(), strict=True)
    for label_id, word, kind, other, size, said, count in plain:
        label: dict[str, Any] = {flag: True for flag, value in zip(FLAGS, said, strict=True) if value}
        if other != "{}":
            label["attributes"] = msgspec.Raw(other.encode())
        if size[0] is not None:
            label["mask_size"] = size
        yield label | {"id": label_id, "category": word, "geometry": kind, "rings": list(islice(separate, count))}
