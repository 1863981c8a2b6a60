"""The label files that `raw_labels` has read, by source, in the recipe's order."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

from pipeline.errors import ArtifactError
from pipeline.instances.image_paths import split_in_path

SOURCES = "sources.json"


@dataclass(frozen=True)
class LabelFile:
    """A label file in a folder, or a member of a zip."""

    path: Path
    member: str | None = None
    leading: int = 0
    """Components at the start of `parts` that lie above the source, whose names mean nothing."""
    options: Mapping[str, Mapping[str, str]] | None = None
    """Texts of the options whose ids are words, by attribute of VIA regions."""

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
        """The split that its path below the source names."""
        return split_in_path(self.parts[self.leading :])

    @property
    def name(self) -> str:
        """Its name in messages and tables: the path in its folder, or in its archive, whose name comes first."""
        return "/".join(self.parts[self.leading + (0 if self.member else 1) :])


@dataclass(frozen=True)
class LabelSource:
    """One entry of `source.labels` and the files found in it."""

    entry: str
    files: tuple[LabelFile, ...]
    skipped: tuple[str, ...] = ()
    """Paths of files that are not read since other files of the source are."""
    repeated: tuple[str, ...] = ()
    """Paths in an archive that occur again later in it."""


def read_sources(raw_labels: Path) -> list[LabelSource]:
    """Return the sources of labels in the recipe's order; raises ArtifactError when sources.json is damaged."""
    try:
        content = json.loads((raw_labels / SOURCES).read_text("utf-8"))
        return [_source(source, raw_labels) for source in content["sources"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ArtifactError(f"{raw_labels / SOURCES} can't be read ({error}); materialise raw_labels again") from None


def _source(source: dict[str, Any], raw_labels: Path) -> LabelSource:
    entry = Path(source["source"]).expanduser()
    folder = entry.resolve() if entry.is_dir() else None
    files = (_file(raw_labels / file["path"], file, folder) for file in source["files"])
    return LabelSource(source["source"], tuple(files), *(tuple(source.get(key, ())) for key in ("skipped", "repeated")))


def _file(path: Path, file: dict[str, Any], folder: Path | None) -> LabelFile:
    """Return a file of a source; of a file that the recipe names, the folder that it lies in counts as well."""
    is_named = folder is None and not file["member"]
    leading = len((folder or path).parts) - (2 if is_named else 1)
    return LabelFile(path, file["member"], leading, file.get("options"))
