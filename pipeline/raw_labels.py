"""Stage `raw_labels`: which label files the sources hold, in the recipe's order, listed where they lie.

What is in them is read by `pipeline.readers`; nothing is unpacked.
"""

import logging
import sys
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from pipeline import sources, summary
from pipeline.archives import read_archive
from pipeline.errors import SourceError
from pipeline.files import write_json
from pipeline.program import main
from pipeline.recipe import Recipe
from pipeline.sources import Container
from pipeline.summary import Summary

VIA_FILE = "via_region_data.json"
BITMASK_FOLDER = "bitmasks"
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
    """A source in `sources.json`; `skipped` are files passed over for those beside them."""

    source: str
    files: list[LabelFile]
    skipped: list[str]


@dataclass(frozen=True)
class Entry:
    """A file of a source, by its path inside it; `name` is how an archive spells that, `size` is in bytes."""

    path: str
    size: int
    name: str = ""


def build(recipe: Recipe, out: Path, downloads: Path) -> None:
    """List the label files of `recipe.source.labels` in `out/sources.json`; files/ holds what was fetched or drawn.

    Raises SourceError for a source that is absent or holds no label file, ArchiveError for a damaged archive.
    """
    containers = sources.obtain(recipe, "labels", out, downloads)
    listed = [_Listed(container.source.entry, *_label_files(container)) for container in containers]
    write_json(out / "sources.json", {"sources": [asdict(source) for source in listed]})
    summary.write(out, _summary(listed))


def _label_files(container: Container) -> tuple[list[LabelFile], list[str]]:
    """Return a source's label files, sorted by path, and the paths of those that are passed over."""
    chosen, skipped = choose(_entries(container))
    if container.kind == "file":
        # A person named this very file: it holds labels, whatever its name says.
        chosen = _entries(container)
    if not chosen:
        raise SourceError(
            f"{container.source.key}: {container.path} holds no label file "
            f"(.json, or .png below a folder {BITMASK_FOLDER})"
        )
    if skipped:
        log.info(
            "%s: passed over for the label files beside them: %s%s; what is named in source.labels is used",
            container.path,
            ", ".join(skipped[:FEW]),
            f" and {len(skipped) - FEW} more" if len(skipped) > FEW else "",
        )
    return [_label_file(container, entry) for entry in chosen], skipped


def choose(entries: Iterable[Entry]) -> tuple[list[Entry], list[str]]:
    """Return the label files among `entries` and the paths of those passed over, both sorted by path.

    Beside a `via_region_data.json` only that counts (its folder may hold a VIA project or attributes of the same);
    BDD's `rles/` are passed over where `polygons/` say the same in full, and bitmask PNGs where there is any JSON.
    """
    seen = sorted((entry for entry in entries if not _is_hidden(entry.path)), key=lambda entry: entry.path)
    json_files = [entry for entry in seen if entry.path.lower().endswith(".json")]
    bitmasks = [entry for entry in seen if _is_bitmask(entry.path)]
    if not json_files:
        return bitmasks, []
    by_folder = defaultdict(set)
    for entry in json_files:
        path = PurePosixPath(entry.path)
        by_folder[path.parent].add(path.name)
    chosen = [entry for entry in json_files if not _is_said_elsewhere(PurePosixPath(entry.path), by_folder)]
    return chosen, sorted({entry.path for entry in json_files + bitmasks} - {entry.path for entry in chosen})


def _is_said_elsewhere(path: PurePosixPath, by_folder: dict[PurePosixPath, set[str]]) -> bool:
    if path.name != VIA_FILE and VIA_FILE in by_folder[path.parent]:
        return True
    if RLE_FOLDER not in path.parts[:-1]:
        return False
    depth = path.parts.index(RLE_FOLDER)
    polygons = PurePosixPath(*path.parts[:depth], POLYGON_FOLDER, *path.parts[depth + 1 : -1])
    return path.name in by_folder.get(polygons, ())


def _is_hidden(path: str) -> bool:
    return any(sources.is_hidden(part) for part in PurePosixPath(path).parts)


def _is_bitmask(path: str) -> bool:
    return path.lower().endswith(".png") and BITMASK_FOLDER in PurePosixPath(path).parts[:-1]


def _entries(container: Container) -> list[Entry]:
    if container.kind == "file":
        return [Entry(container.path.name, container.path.stat().st_size)]
    if container.kind == "folder":
        files = sources.walk(container.path, sources.SUFFIXES["labels"])
        return [Entry(file.relative_to(container.path).as_posix(), file.stat().st_size) for file in files]
    return [Entry(member.path, member.size, member.name) for member in read_archive(container.path).members]


def _label_file(container: Container, entry: Entry) -> LabelFile:
    kind: Literal["json", "png"] = "png" if entry.path.lower().endswith(".png") else "json"
    if container.kind == "zip":
        return LabelFile(container.recorded, entry.name, entry.size, kind)
    path = container.recorded if container.kind == "file" else str(Path(container.recorded, entry.path))
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
