"""Stage `raw_labels`: everything in the label files of the sources, in the recipe's order, as three tables.

What a recipe's section `labels` decides of labels is not decided here: the tables have every category.
"""

import logging
import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from functools import cache, partial
from itertools import count
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from msgspec.structs import replace

from pipeline import formats
from pipeline.artifacts import summary
from pipeline.artifacts.summary import Summary
from pipeline.errors import LabelFileError, NotLabelsError
from pipeline.formats.table_builder import Tables
from pipeline.instances.reasons import NOT_LABELS
from pipeline.instances.tables import (
    IMAGES_FILE,
    LABELS_FILE,
    RAW_IMAGES,
    RAW_LABELS,
    RAW_REJECTED,
    RAW_REPETITIVE,
    REJECTED_FILE,
    RowGroupWriter,
    json_text,
)
from pipeline.program import main
from pipeline.recipe import Recipe
from pipeline.running.progress import Progress
from pipeline.sources import resolve
from pipeline.sources.label_files import LabelSource, find, write_sources

log = logging.getLogger(__name__)


identities = partial(resolve.identities, role="labels")
"""Returns what each source of labels is now; raises SourceError where one is absent."""


def build(
    recipe: Recipe, out: Path, downloads: Path | None = None, identities: resolve.Identities | None = None
) -> None:
    """Read the label files of `recipe.source.labels` into tables in `out`; files/ holds what was fetched or drawn.

    `identities` are those of `resolve.identities`, found anew by default. Raises SourceError for a source that is
    absent or holds no label file, ArchiveError for a damaged archive, and LabelFileError for a file that is damaged, or
    named by the recipe and no label file.
    """
    containers = resolve.obtain(recipe, "labels", out, downloads, identities)
    sources = [find(container) for container in containers]
    tolerance, coco = recipe.labels.curve_tolerance, recipe.labels.coco
    with _Writer(out, sources) as writer, formats.LabelReader(writer.write, tolerance, coco, scratch=out) as reader:
        numbers = count()
        for container, source in zip(containers, sources, strict=True):
            only_coco = cache(partial(_has_only_coco, source, out))
            for at, file in enumerate(source.files):
                try:
                    options = reader.read(next(numbers), out / file.path, file.member, file.name, only_coco)
                except NotLabelsError as error:
                    if container.kind == "file":  # a person named this very file
                        raise
                    writer.reject_file(file.name, error)
                else:
                    source.files[at] = replace(file, options=options)
    write_sources(out, sources)
    summary.write(out, _summary(sources, writer))


def _has_only_coco(source: LabelSource, out: Path) -> bool:
    """Say whether all label files of a source are COCO files, which are then meant."""
    return all(_may_be_coco(out / file.path, file.member) for file in source.files)


def _may_be_coco(path: Path, member: str | None) -> bool:
    """Say whether a file holds no labels but those of COCO; faults are raised when it is read."""
    try:
        return formats.format_of(path, member) is formats.Format.COCO
    except LabelFileError:
        return True


class _Writer(ExitStack):
    """Writes the tables and counts their rows."""

    def __init__(self, out: Path, sources: list[LabelSource]) -> None:
        super().__init__()
        self.labels: Counter[str | None] = Counter()
        """By category; None is VIA, whose classes are not decided here."""
        self.rejected: Counter[str] = Counter()
        """By reason."""
        files = [
            {"source": at, "file_index": index, "file": file.name}
            for at, source in enumerate(sources)
            for index, file in enumerate(source.files)
        ]
        columns = ("source", "file_index", "file")
        self._files = pa.Table.from_pylist(files, pa.schema([RAW_IMAGES.field(name) for name in columns]))
        self.images = self.enter_context(RowGroupWriter(out / IMAGES_FILE, RAW_IMAGES))
        self._labels = self.enter_context(RowGroupWriter(out / LABELS_FILE, RAW_LABELS, RAW_REPETITIVE))
        self._rejected = self.enter_context(RowGroupWriter(out / REJECTED_FILE, RAW_REJECTED))
        self._progress = self.enter_context(Progress("reading labels", unit="image"))

    def write(self, tables: Tables) -> None:
        """Write the images that were read next, and their labels."""
        images, labels, rejected = tables
        first = self.images.rows
        files = self._files.take(images["file"])
        names = files["file"].take(rejected["row"])
        self.images.write(_with(images.drop_columns("file"), **{name: files[name] for name in files.column_names}))
        self._labels.write(_with(labels, image=pc.add(labels["image"], first)))
        self._rejected.write(_with(rejected, row=pc.add(rejected["row"], first), source=names))
        for counter, column in ((self.labels, labels["category"]), (self.rejected, rejected["reason"])):
            counter.update({each["values"]: each["counts"] for each in pc.value_counts(column).to_pylist()})
        self._progress.advance(images.num_rows)

    def reject_file(self, file: str, error: NotLabelsError) -> None:
        """Write a row for a file that holds no labels."""
        log.warning("set aside: %s", error)
        row = {"source": file, "image": "", "label_id": "", "reason": NOT_LABELS}
        self._rejected.write(pa.Table.from_pylist([row | {"label": json_text({"file": str(error)})}], RAW_REJECTED))
        self.rejected[NOT_LABELS] += 1


def _with(table: pa.Table, **columns: Any) -> pa.Table:
    """Return a table with columns added or replaced."""
    kept = {name: table[name] for name in table.column_names if name not in columns}
    return pa.table(kept | columns)


def _summary(sources: Sequence[LabelSource], written: _Writer) -> Summary:
    rows = [
        {
            "source": source.entry,
            "files": len(source.files),
            "bytes": sum(file.size for file in source.files),
            "passed over": len(source.skipped),
        }
        for source in sources
    ]
    return Summary(
        numbers={
            "sources": len(sources),
            "files": sum(len(source.files) for source in sources),
            "bytes": sum(file.size for source in sources for file in source.files),
            "images": written.images.rows,
            "labels": written.labels.total(),
            "rejected": written.rejected.total(),
        },
        tables={
            "sources": rows,
            "categories": [
                {"category": category or "(VIA regions)", "labels": count}
                for category, count in written.labels.most_common()
            ],
            "rejected": [{"reason": reason, "rows": count} for reason, count in written.rejected.most_common()],
        },
    )


if __name__ == "__main__":
    sys.exit(main("raw_labels"))
