"""Stage `raw_labels`: which label files the sources hold, in the recipe's order, listed where they lie.

What is in them is read by `pipeline.formats`; nothing is unpacked.
"""

import logging
import sys
from collections import defaultdict
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal
from zipfile import ZipFile

from pipeline.artifacts import summary
from pipeline.artifacts.summary import Summary
from pipeline.errors import LabelFileError, NotLabelsError, SourceError
from pipeline.files import digests as hashes
from pipeline.files.atomic import write_json
from pipeline.files.zip_reading import read_archive
from pipeline.program import main
from pipeline.recipe import Recipe
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
    """List the label files of `recipe.source.labels` in `out/sources.json`; files/ holds what was fetched or drawn.

    `identities` are what the sources are, as `sources.identities` gives it; without them they are asked.
    Raises SourceError for a source that is absent or holds no label file, ArchiveError for a damaged archive.
    """
    containers = resolve.obtain(recipe, "labels", out, downloads, identities)
    listed = [_listed(container) for container in containers]
    digests = {path: digest for each in zip(containers, listed, strict=True) for path, digest in _digests(*each)}
    write_json(out / "sources.json", {"sources": [asdict(source) for source in listed], "digests": digests})
    summary.write(out, _summary(listed))


def _digests(container: Container, listed: _Listed) -> list[tuple[str, str]]:
    """Return the files of a source that lie outside of the artifact, with the SHA-256 by which they are known again."""
    outside = sorted({file.path for file in listed.files if Path(file.path).is_absolute()})
    with walking.readable(container.source):
        return list(zip(outside, hashes.digests([Path(path) for path in outside]), strict=True))


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
    from pipeline import formats

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
        return LabelFile(container.recorded, entry.name, entry.size, kind)
    path = container.recorded if container.kind == "file" else str(Path(container.recorded, entry.path))
    resolve.refuse_unwritable(path)
    return LabelFile(path, None, entry.size, kind)


def _summary(listed: list[_Listed]) -> Summary:
    bytes_of = {source.source: sum(file.size for file in source.files) for source in listed}
    return Summary(
        numbers={
            "sources": len(listed),
            "files": sum(len(source.files) for source in listed),
            "bytes": sum(bytes_of.values()),
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
            ]
        },
    )


if __name__ == "__main__":
    sys.exit(main("raw_labels"))
