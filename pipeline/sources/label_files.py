"""The label files of the sources: found, chosen among, recorded in `sources.json` and read back from there."""

from functools import cached_property
from pathlib import Path, PurePosixPath

import msgspec

from pipeline import formats
from pipeline.errors import ArtifactError, LabelFileError, NotLabelsError, SourceError
from pipeline.files.atomic import write_json
from pipeline.files.zip_reading import read_archive
from pipeline.formats.bitmasks import MAP_ENDING, classes_of_map
from pipeline.formats.via.regions import Options
from pipeline.formats.via.writing import REGION_DATA
from pipeline.instances.image_paths import split_in_path
from pipeline.sources import resolve, walking
from pipeline.sources.resolve import Container

SOURCES = "sources.json"
BITMASK_FOLDER, POLYGON_FOLDER, RLE_FOLDER = "bitmasks", "polygons", "rles"
DEEPEST = 3
"""Last folders of a source in which its bitmasks may be called so, as in `bitmasks/train/<video>`."""


class LabelFile(msgspec.Struct, frozen=True, dict=True):
    """A label file in a folder, or a member of a zip."""

    path: str
    """The file or the archive: absolute, or in `sources.json` relative to the artifact's folder."""
    name: str
    """Its name in messages and tables: its path in its folder, or in its archive after the archive's name."""
    member: str | None = None
    """Its path inside the archive `path`, as the archive spells it."""
    size: int = 0
    """In bytes."""
    options: Options = {}
    """Options that a VIA project declares, by attribute, those whose ids are words."""

    @cached_property
    def parts(self) -> tuple[str, ...]:
        """The whole path from the root of the file system, archive included."""
        return PurePosixPath(self.path, *PurePosixPath(self.member or "").parts).parts

    @cached_property
    def folder(self) -> tuple[str, ...]:
        """The same without the name of the file."""
        return self.parts[:-1]

    @cached_property
    def split(self) -> str | None:
        """The split that its name says, or the folder that it was found in; what lies above means nothing."""
        named = len(PurePosixPath(self.name).parts) + (self.member is None)
        return split_in_path(self.parts[-named:])


class LabelSource(msgspec.Struct, frozen=True, rename={"entry": "source"}):
    """An entry of `source.labels`, and the files found in it."""

    entry: str
    files: list[LabelFile]
    skipped: list[str] = []
    """Files that others beside them make superfluous."""
    repeated: list[str] = []
    """Members of an archive that has several of this name, of which the last one counts."""


def write_sources(raw_labels: Path, sources: list[LabelSource]) -> None:
    """Write `sources.json`."""
    write_json(raw_labels / SOURCES, {"sources": msgspec.to_builtins(sources)})


def read_sources(raw_labels: Path) -> list[LabelSource]:
    """Return the sources of labels in the recipe's order; raises ArtifactError when sources.json is damaged."""
    file = raw_labels / SOURCES
    try:
        sources = msgspec.json.decode(file.read_bytes(), type=dict[str, list[LabelSource]])["sources"]
    except (OSError, ValueError, KeyError) as error:
        raise ArtifactError(f"{file} can't be read ({error}); materialise raw_labels again") from None
    return [
        msgspec.structs.replace(
            source, files=[msgspec.structs.replace(each, path=str(raw_labels / each.path)) for each in source.files]
        )
        for source in sources
    ]


def find(container: Container) -> LabelSource:
    """Return a source's label files, sorted by path, and what is passed over; raises SourceError without any."""
    files, repeated = _files(container)
    json_files = [path for path in files if path.lower().endswith(".json")]
    bitmasks = [path for path in files if _is_bitmask(path, container)]
    chosen = _without_copies(json_files)
    if bitmasks and not any(_holds_labels(container, files[path]) for path in chosen):
        chosen = sorted([*chosen, *bitmasks])
    if container.kind == "file":
        # A person named this very file: it holds labels, whatever its name is.
        chosen = list(files)
    if not chosen:
        raise SourceError(
            f"{container.source.key}: {container.path} holds no label file (.json, …{MAP_ENDING}, or .png below a "
            f"folder {BITMASK_FOLDER}); name each zip in it in {container.source.key}, and unpack other archives"
        )
    for path in chosen:
        resolve.refuse_unwritable(files[path].path)
    skipped = sorted(map(resolve.spelled_out, {*json_files, *bitmasks}.difference(chosen)))
    kept = set(chosen)
    repeated = [path for path in repeated if path in kept]
    return LabelSource(container.source.entry, [files[path] for path in chosen], skipped, repeated)


def _files(container: Container) -> tuple[dict[str, LabelFile], list[str]]:
    """Return the files that may hold labels by their paths in the source, sorted, and the paths that come again."""
    repeated: list[str] = []
    if container.kind == "file":
        path = container.path
        found = {path.name: LabelFile(container.recorded, path.name, size=path.stat().st_size)}
    elif container.kind == "folder":
        walked = walking.walk(container.path, walking.SUFFIXES["labels"])
        sizes = {path.relative_to(container.path).as_posix(): path.stat().st_size for path in walked}
        found = {path: LabelFile(f"{container.recorded}/{path}", path, size=size) for path, size in sizes.items()}
    else:
        archive = read_archive(container.path)
        repeated = [member.path for member in archive.repeated]
        found = {
            each.path: LabelFile(
                container.recorded, str(PurePosixPath(container.path.name, each.name)), each.name, each.size
            )
            for each in archive.members
            if not any(map(walking.is_hidden, PurePosixPath(each.path).parts))
        }
    return dict(sorted(found.items())), repeated


def _without_copies(json_files: list[str]) -> list[str]:
    """Return the paths of JSON files without those whose labels others of them have.

    Beside a `via_region_data.json` only that counts (its folder may hold a VIA project or attributes of the same);
    BDD's `rles/` are passed over for the files of the same name in `polygons/`.
    """
    paths = set(map(PurePosixPath, json_files))
    return [path for path in json_files if not _is_copy(PurePosixPath(path), paths)]


def _is_copy(path: PurePosixPath, paths: set[PurePosixPath]) -> bool:
    if path.name != REGION_DATA and path.with_name(REGION_DATA) in paths:
        return True
    if RLE_FOLDER not in path.parts[:-1]:
        return False
    depth = path.parts.index(RLE_FOLDER)
    return PurePosixPath(*path.parts[:depth], POLYGON_FOLDER, *path.parts[depth + 1 :]) in paths


def _is_bitmask(path: str, container: Container) -> bool:
    """Return whether a path is that of a bitmask or a map; a source may be a folder inside one called so."""
    inside = PurePosixPath(path)
    if container.kind == "folder":
        inside = PurePosixPath(*Path(container.recorded).parts[-DEEPEST:], inside)
    is_labels = BITMASK_FOLDER in inside.parts[:-1] or bool(classes_of_map(inside.parts))
    return inside.suffix.lower() == ".png" and is_labels


def _holds_labels(container: Container, file: LabelFile) -> bool:
    """Return whether a JSON file holds labels; a damaged one does."""
    try:
        formats.format_of(container.path if file.member else Path(file.path), file.member)
    except LabelFileError as fault:
        return not isinstance(fault, NotLabelsError)
    return True
