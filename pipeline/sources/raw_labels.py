"""Stage `raw_labels`: everything in the label files of the sources, in the recipe's order, as three tables.

What a recipe's section `labels` decides of labels is not decided here: the tables have every category.
"""

import logging
import sys
from collections import Counter, defaultdict
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from itertools import count
from pathlib import Path, PurePosixPath
from typing import Any, Literal, Self

import pyarrow as pa
import pyarrow.compute as pc

from pipeline import formats
from pipeline.artifacts import summary
from pipeline.artifacts.summary import Summary
from pipeline.errors import LabelFileError, NotLabelsError, SourceError
from pipeline.files.atomic import write_json
from pipeline.files.zip_reading import read_archive
from pipeline.formats.table_builder import Tables
from pipeline.formats.via.region_data import REGION_DATA
from pipeline.formats.via.regions import Options
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
from pipeline.sources import resolve, walking
from pipeline.sources.resolve import Container

BITMASK_FOLDER, POLYGON_FOLDER, RLE_FOLDER = "bitmasks", "polygons", "rles"
DEEPEST = 3
"""Last folders of a source in which its bitmasks may be called so, as in `bitmasks/train/<video>`."""
FEW = 10
"""Files that a message names one by one."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LabelFile:
    """A label file in `sources.json`."""

    path: str
    """The file or the archive: absolute, or relative to the artifact's folder."""
    member: str | None
    """Its path inside the archive `path`, as the archive spells it."""
    size: int
    """In bytes."""
    kind: Literal["json", "png"]
    name: str
    """Its name in messages and tables: its path in its folder, or in its archive after the archive's name."""
    options: Options = field(default_factory=dict)
    """Options that a VIA project declares, by attribute, those whose ids are words."""


@dataclass(frozen=True)
class SourceFiles:
    """A source in `sources.json`."""

    source: str
    files: list[LabelFile]
    skipped: list[str]
    """Files that others beside them make superfluous."""
    repeated: list[str]
    """Members of an archive that has several of this name, of which the last one counts."""


@dataclass(frozen=True)
class Entry:
    """A file of a source, by its path inside it; `name` is how an archive spells that, `size` is in bytes."""

    path: str
    size: int
    name: str = ""


def identities(recipe: Recipe) -> dict[str, Any]:
    """Return the identity of each source of labels; raises SourceError where one is absent."""
    return resolve.identities(recipe, "labels")


def build(
    recipe: Recipe, out: Path, downloads: Path | None = None, identities: resolve.Identities | None = None
) -> None:
    """Read the label files of `recipe.source.labels` into tables in `out`; files/ holds what was fetched or drawn.

    `identities` are those of `resolve.identities`, found anew by default. Raises SourceError for a source that is
    absent or holds no label file, ArchiveError for a damaged archive, and LabelFileError for a file that is damaged, or
    named by the recipe and no label file.
    """
    containers = resolve.obtain(recipe, "labels", out, downloads, identities)
    sources = [_source_files(container) for container in containers]
    tolerance, coco = recipe.labels.curve_tolerance, recipe.labels.coco
    with _Writer(out, sources) as writer, formats.LabelReader(writer.write, tolerance, coco, scratch=out) as reader:
        numbers = count()
        for at, (container, source) in enumerate(zip(containers, sources, strict=True)):
            files = [
                replace(file, options=_read(reader, writer, next(numbers), out, file, container.kind == "file"))
                for file in source.files
            ]
            sources[at] = replace(source, files=files)
    write_json(out / "sources.json", {"sources": [asdict(source) for source in sources]})
    summary.write(out, _summary(sources, writer))


def _read(
    reader: formats.LabelReader, writer: "_Writer", number: int, out: Path, file: LabelFile, is_named: bool
) -> Options:
    """Read a file; return the options that it declares.

    A file that the recipe names must be a label file; one that lies in a folder or an archive is rejected as a whole.
    """
    try:
        return reader.read(number, out / file.path, file.member, file.name)
    except NotLabelsError as error:
        if is_named:
            raise
        writer.reject_file(file.name, error)
        return {}


class _Writer:
    """Writes the tables and counts their rows."""

    def __init__(self, out: Path, sources: list[SourceFiles]) -> None:
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
        self._images = RowGroupWriter(out / IMAGES_FILE, RAW_IMAGES)
        self._labels = RowGroupWriter(out / LABELS_FILE, RAW_LABELS, RAW_REPETITIVE)
        self._rejected = RowGroupWriter(out / REJECTED_FILE, RAW_REJECTED)
        self._stack = ExitStack()
        self._progress = Progress("reading labels", unit="image")

    def __enter__(self) -> Self:
        for each in (self._images, self._labels, self._rejected, self._progress):
            self._stack.enter_context(each)
        return self

    def __exit__(self, *exc: Any) -> None:
        self._stack.__exit__(*exc)

    @property
    def images(self) -> int:
        """How many images were written."""
        return self._images.rows

    def write(self, tables: Tables) -> None:
        """Write the images that were read next, and their labels."""
        images, labels, rejected = tables
        first = self._images.rows
        files = self._files.take(images["file"])
        names = files["file"].take(rejected["row"])
        self._images.write(_with(images.drop_columns("file"), **{name: files[name] for name in files.column_names}))
        self._labels.write(_with(labels, image=pc.add(labels["image"], first)))
        self._rejected.write(_with(rejected, row=pc.add(rejected["row"], first), source=names))
        for counter, column in ((self.labels, labels["category"]), (self.rejected, rejected["reason"])):
            counter.update({each["values"]: each["counts"] for each in pc.value_counts(column).to_pylist()})
        self._progress.advance(images.num_rows)

    def reject_file(self, file: str, error: NotLabelsError) -> None:
        """Write a row for a file that holds no labels."""
        log.warning("set aside: %s", error)
        row = {"source": file, "image": "", "label_id": "", "reason": NOT_LABELS}
        row["label"] = json_text({"file": str(error)})
        self._rejected.write(pa.Table.from_pylist([row], RAW_REJECTED))
        self.rejected[NOT_LABELS] += 1


def _with(table: pa.Table, **columns: Any) -> pa.Table:
    """Return a table with columns added or replaced."""
    kept = {name: table[name] for name in table.column_names if name not in columns}
    return pa.table(kept | columns)


def _source_files(container: Container) -> SourceFiles:
    """Return a source's label files, sorted by path, and what is passed over; raises SourceError without any."""
    entries, repeated = _entries(container)
    seen = sorted((entry for entry in entries if not _is_hidden(entry.path)), key=lambda entry: entry.path)
    json_files = [entry for entry in seen if entry.path.lower().endswith(".json")]
    bitmasks = [entry for entry in seen if _is_bitmask(entry.path, container)]
    chosen = _without_copies(json_files)
    if bitmasks and not any(_holds_labels(container, entry) for entry in chosen):
        chosen = sorted([*chosen, *bitmasks], key=lambda entry: entry.path)
    if container.kind == "file":
        # A person named this very file: it holds labels, whatever its name is.
        chosen = entries
    if not chosen:
        raise SourceError(
            f"{container.source.key}: {container.path} holds no label file "
            f"(.json, or .png below a folder {BITMASK_FOLDER}){resolve.advice_on_archives(container)}"
        )
    paths = {entry.path for entry in chosen}
    skipped = sorted(map(resolve.spelled_out, {entry.path for entry in json_files + bitmasks} - paths))
    if skipped:
        log.info(
            "%s: passed over for the label files beside them: %s%s; what is named in source.labels is used",
            container.path,
            ", ".join(skipped[:FEW]),
            f" and {len(skipped) - FEW} more" if len(skipped) > FEW else "",
        )
    files = [_label_file(container, entry) for entry in chosen]
    repeated_paths = [entry.path for entry in repeated if entry.path in paths]
    return SourceFiles(container.source.entry, files, skipped, repeated_paths)


def _without_copies(json_files: list[Entry]) -> list[Entry]:
    """Return the JSON files without those whose labels others of them have.

    Beside a `via_region_data.json` only that counts (its folder may hold a VIA project or attributes of the same);
    BDD's `rles/` are passed over for the files of the same name in `polygons/`.
    """
    by_folder = defaultdict(set)
    for entry in json_files:
        path = PurePosixPath(entry.path)
        by_folder[path.parent].add(path.name)
    return [entry for entry in json_files if not _is_copy(PurePosixPath(entry.path), by_folder)]


def _is_copy(path: PurePosixPath, by_folder: dict[PurePosixPath, set[str]]) -> bool:
    if path.name != REGION_DATA and REGION_DATA in by_folder[path.parent]:
        return True
    if RLE_FOLDER not in path.parts[:-1]:
        return False
    depth = path.parts.index(RLE_FOLDER)
    polygons = PurePosixPath(*path.parts[:depth], POLYGON_FOLDER, *path.parts[depth + 1 : -1])
    return path.name in by_folder.get(polygons, ())


def _is_hidden(path: str) -> bool:
    return any(walking.is_hidden(part) for part in PurePosixPath(path).parts)


def _is_bitmask(path: str, container: Container) -> bool:
    """Return whether a path is that of a bitmask; a source may be a folder inside one called so."""
    inside = PurePosixPath(path)
    if container.kind == "folder":
        inside = PurePosixPath(*Path(container.recorded).parts[-DEEPEST:], inside)
    return inside.suffix.lower() == ".png" and BITMASK_FOLDER in inside.parts[:-1]


def _holds_labels(container: Container, entry: Entry) -> bool:
    """Return whether a JSON file holds labels; a damaged one does."""
    is_member = container.kind == "zip"
    path, member = (container.path, entry.name) if is_member else (container.path / entry.path, None)
    try:
        formats.format_of(path, member)
    except LabelFileError as fault:
        return not isinstance(fault, NotLabelsError)
    return True


def _entries(container: Container) -> tuple[list[Entry], list[Entry]]:
    """Return the files of a source that may hold labels, and the members of an archive with the name of a later one."""
    if container.kind == "file":
        return [Entry(container.path.name, container.path.stat().st_size)], []
    if container.kind == "folder":
        files = walking.walk(container.path, walking.SUFFIXES["labels"])
        return [Entry(file.relative_to(container.path).as_posix(), file.stat().st_size) for file in files], []
    archive = read_archive(container.path)
    members, repeated = (
        [Entry(each.path, each.size, each.name) for each in kind] for kind in (archive.members, archive.repeated)
    )
    return members, repeated


def _label_file(container: Container, entry: Entry) -> LabelFile:
    kind: Literal["json", "png"] = "png" if entry.path.lower().endswith(".png") else "json"
    if container.kind == "zip":
        name = "/".join((container.path.name, *PurePosixPath(entry.name).parts))
        return LabelFile(container.recorded, entry.name, entry.size, kind, name)
    path = container.recorded if container.kind == "file" else str(Path(container.recorded, entry.path))
    resolve.refuse_unwritable(path)
    return LabelFile(path, None, entry.size, kind, entry.path)


def _summary(sources: Sequence[SourceFiles], written: _Writer) -> Summary:
    rows = [
        {
            "source": source.source,
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
            "images": written.images,
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
