"""Stage `raw_labels`: all that the label files of the sources say, in the recipe's order, as three tables.

Nothing is decided here that a recipe's section `labels` decides of labels: every category is in the tables.
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
from zipfile import ZipFile

import pyarrow as pa
import pyarrow.compute as pc

from pipeline import formats
from pipeline.artifacts import summary
from pipeline.artifacts.summary import Summary
from pipeline.errors import LabelFileError, NotLabelsError, SourceError
from pipeline.files.atomic import write_json
from pipeline.files.zip_reading import read_archive
from pipeline.formats.rows import Tables
from pipeline.formats.via.classes import Options
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
    texts,
)
from pipeline.program import main
from pipeline.recipe import Recipe
from pipeline.running.progress import Progress
from pipeline.sources import resolve, walking
from pipeline.sources.resolve import Container

VIA_FILE = "via_region_data.json"
BITMASK_FOLDER = "bitmasks"
DEEPEST = 3
"""Folders that say what kind a bitmask is, as in `bitmasks/train/<video>`."""
POLYGON_FOLDER, RLE_FOLDER = "polygons", "rles"
FEW = 10
"""Files that a message names one by one."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LabelFile:
    """A file of labels: `path` is the file or the archive (absolute, or relative to the artifact's folder)."""

    path: str
    member: str | None
    """Its path inside the archive `path`, as the archive spells it."""
    size: int
    kind: Literal["json", "png"]
    name: str
    """How messages and tables call it: its path in its folder, or in its archive with the archive's name before."""
    options: Options = field(default_factory=dict)
    """Options that a VIA project declares, by attribute: what ids that are words stand for."""


@dataclass(frozen=True)
class _Listed:
    """A source in `sources.json`."""

    source: str
    files: list[LabelFile]
    skipped: list[str]
    """Files passed over for those beside them."""
    repeated: list[str]
    """Members of an archive whose name comes again in it; the last one of a name is the one that counts."""


@dataclass(frozen=True)
class Entry:
    """A file of a source, by its path inside it; `name` is how an archive spells that, `size` is in bytes."""

    path: str
    size: int
    name: str = ""

    @property
    def is_json(self) -> bool:
        """Whether it is called so."""
        return self.path.lower().endswith(".json")


def identities(recipe: Recipe) -> dict[str, Any]:
    """Return what each source of labels is now; raises SourceError where one is absent."""
    return resolve.identities(recipe, "labels")


def build(
    recipe: Recipe, out: Path, downloads: Path | None = None, identities: resolve.Identities | None = None
) -> None:
    """Read the label files of `recipe.source.labels` into tables in `out`; files/ holds what was fetched or drawn.

    `identities` are what the sources are, as `resolve.identities` gives it; without them they are asked.
    Raises SourceError for a source that is absent or holds no label file, ArchiveError for a damaged archive, and
    LabelFileError for a file that is damaged, or named by the recipe and no label file.
    """
    containers = resolve.obtain(recipe, "labels", out, downloads, identities)
    listed = [_listed(container) for container in containers]
    options = formats.ReadOptions(recipe.labels.curve_tolerance, recipe.labels.coco)
    with _Writer(out, listed) as writer, formats.LabelReader(options, writer.take, scratch=out) as reader:
        listed = [
            replace(each, files=_read(reader, writer, out, each.files, named=container.kind == "file"))
            for container, each in zip(containers, listed, strict=True)
        ]
    write_json(out / "sources.json", {"sources": [asdict(source) for source in listed]})
    summary.write(out, _summary(listed, writer))


def _read(
    reader: formats.LabelReader, writer: "_Writer", out: Path, files: Sequence[LabelFile], named: bool
) -> list[LabelFile]:
    """Read the files of a source; return them with the options that they declare.

    A file that the recipe names must be a label file; one that was only found beside others is set aside.
    """
    read = []
    for file in files:
        try:
            options = reader.read(writer.next_file(), out / file.path, file.member, file.name)
        except NotLabelsError as error:
            if named:
                raise
            options = {}
            writer.set_aside(file.name, error)
        read.append(replace(file, options=options))
    return read


class _Writer:
    """Writes the tables, and counts what is in them."""

    def __init__(self, out: Path, listed: list[_Listed]) -> None:
        self.labels: Counter[str] = Counter()
        """By category; those of VIA, whose class is not decided here, under the empty word."""
        self.rejected: Counter[str] = Counter()
        """By reason."""
        self._numbers = count()
        files = [(at, index, file.name) for at, each in enumerate(listed) for index, file in enumerate(each.files)]
        self._files = pa.table(
            {
                "source": pa.array([source for source, _, _ in files], pa.int32()),
                "file_index": pa.array([index for _, index, _ in files], pa.int32()),
                "file": texts([name for _, _, name in files]),
            }
        )
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

    def next_file(self) -> int:
        """Return what images of the next file are numbered with."""
        return next(self._numbers)

    def take(self, tables: Tables) -> None:
        """Write what was read next."""
        images, labels, rejected = tables
        first = self._images.rows
        files = self._files.take(images["file"])
        names = files["file"].take(rejected["row"])
        self._images.write(_with(images.drop_columns("file"), **{name: files[name] for name in files.column_names}))
        self._labels.write(_with(labels, image=pc.add(labels["image"], first)))
        self._rejected.write(_with(rejected, row=pc.add(rejected["row"], first), source=names))
        self._count(self.labels, labels["category"].fill_null(""))
        self._count(self.rejected, rejected["reason"])
        self._progress.advance(images.num_rows)

    def set_aside(self, file: str, error: NotLabelsError) -> None:
        """Leave out a file that holds no labels."""
        log.warning("set aside: %s", error)
        row = {"source": file, "image": "", "label_id": "", "reason": NOT_LABELS}
        row["label"] = json_text({"file": str(error)})
        self._rejected.write(pa.Table.from_pylist([row], RAW_REJECTED))
        self.rejected[NOT_LABELS] += 1

    @staticmethod
    def _count(counter: Counter[str], column: pa.ChunkedArray) -> None:
        for found in pc.value_counts(column).to_pylist():
            counter[found["values"]] += found["counts"]


def _with(table: pa.Table, **columns: Any) -> pa.Table:
    """Return a table with columns added or replaced."""
    kept = {name: table[name] for name in table.column_names if name not in columns}
    return pa.table(kept | columns)


def _listed(container: Container) -> _Listed:
    """Return a source's label files, sorted by path, and what is passed over; raises SourceError without any."""
    entries, repeated = _entries(container)
    seen = sorted((entry for entry in entries if not _is_hidden(entry.path)), key=lambda entry: entry.path)
    json_files = [entry for entry in seen if entry.is_json]
    bitmasks = [entry for entry in seen if _is_bitmask(entry.path, container)]
    chosen = _in_full(json_files)
    if bitmasks and not _hold_labels(container, chosen):
        chosen = sorted([*chosen, *bitmasks], key=lambda entry: entry.path)
    if container.kind == "file":
        # A person named this very file: it holds labels, whatever its name says.
        chosen = entries
    if not chosen:
        raise SourceError(
            f"{container.source.key}: {container.path} holds no label file "
            f"(.json, or .png below a folder {BITMASK_FOLDER}){resolve.advice_on_archives(container)}"
        )
    paths = {entry.path for entry in chosen}
    skipped = sorted(map(resolve.spelled_out, {entry.path for entry in json_files + bitmasks} - paths))
    _tell_skipped(container, skipped)
    files = [_label_file(container, entry) for entry in chosen]
    return _Listed(container.source.entry, files, skipped, [entry.path for entry in repeated if entry.path in paths])


def _tell_skipped(container: Container, skipped: list[str]) -> None:
    if skipped:
        log.info(
            "%s: passed over for the label files beside them: %s%s; what is named in source.labels is used",
            container.path,
            ", ".join(skipped[:FEW]),
            f" and {len(skipped) - FEW} more" if len(skipped) > FEW else "",
        )


def _in_full(json_files: list[Entry]) -> list[Entry]:
    """Return the JSON files that don't say what others of them say in full.

    Beside a `via_region_data.json` only that counts (its folder may hold a VIA project or attributes of the same);
    BDD's `rles/` are passed over where `polygons/` say the same.
    """
    by_folder = defaultdict(set)
    for entry in json_files:
        path = PurePosixPath(entry.path)
        by_folder[path.parent].add(path.name)
    return [entry for entry in json_files if not _is_said_elsewhere(PurePosixPath(entry.path), by_folder)]


def _is_said_elsewhere(path: PurePosixPath, by_folder: dict[PurePosixPath, set[str]]) -> bool:
    if path.name != VIA_FILE and VIA_FILE in by_folder[path.parent]:
        return True
    if RLE_FOLDER not in path.parts[:-1]:
        return False
    depth = path.parts.index(RLE_FOLDER)
    polygons = PurePosixPath(*path.parts[:depth], POLYGON_FOLDER, *path.parts[depth + 1 : -1])
    return path.name in by_folder.get(polygons, ())


def _is_hidden(path: str) -> bool:
    return any(walking.is_hidden(part) for part in PurePosixPath(path).parts)


def _is_bitmask(path: str, container: Container) -> bool:
    """Tell whether a path is that of a bitmask; a source may be a folder that lies in one called so."""
    inside = PurePosixPath(path)
    if container.kind == "folder":
        inside = PurePosixPath(*Path(container.recorded).parts[-DEEPEST:], inside)
    return inside.suffix.lower() == ".png" and BITMASK_FOLDER in inside.parts[:-1]


def _hold_labels(container: Container, json_files: list[Entry]) -> bool:
    """Tell whether one of some JSON files is one of labels, beside which bitmasks say nothing new; a damaged one is."""
    with ExitStack() as stack:
        archive = stack.enter_context(ZipFile(container.path)) if container.kind == "zip" else None
        return any(_holds_labels(container, entry, archive) for entry in json_files)


def _holds_labels(container: Container, entry: Entry, archive: ZipFile | None) -> bool:
    path, member = (container.path, entry.name) if archive else (container.path / entry.path, None)
    try:
        formats.format_of(path, member, archive)
    except LabelFileError as fault:
        return not isinstance(fault, NotLabelsError)
    return True


def _entries(container: Container) -> tuple[list[Entry], list[Entry]]:
    """Return the files of a source that may hold labels, and those of an archive whose name comes again in it."""
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


def _summary(listed: Sequence[_Listed], written: _Writer) -> Summary:
    bytes_of = {source.source: sum(file.size for file in source.files) for source in listed}
    return Summary(
        numbers={
            "sources": len(listed),
            "files": sum(len(source.files) for source in listed),
            "bytes": sum(bytes_of.values()),
            "images": written.images,
            "labels": written.labels.total(),
            "rejected": written.rejected.total(),
        },
        tables={
            "sources": [
                {
                    "source": source.source,
                    "files": len(source.files),
                    "bytes": bytes_of[source.source],
                    "passed over": len(source.skipped),
                }
                for source in listed
            ],
            "categories": [
                {"category": category or "(VIA regions)", "labels": count}
                for category, count in written.labels.most_common()
            ],
            "rejected": [{"reason": reason, "rows": count} for reason, count in written.rejected.most_common()],
        },
    )


if __name__ == "__main__":
    sys.exit(main("raw_labels"))
