"""Which label files there are, in the recipe's order: what `raw_labels` recorded in its sources.json.

Reading them is in `pipeline.readers`, finding them in `pipeline.raw_labels`.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.errors import ArtifactError
from pipeline.label_matching import LabelFile

FILE = "sources.json"


@dataclass(frozen=True)
class LabelSource:
    """One entry of `source.labels` and the files found in it."""

    entry: str
    files: tuple[LabelFile, ...]
    skipped: tuple[str, ...] = ()
    """Paths of label files in it that were passed over for others."""


def read_sources(raw_labels: Path) -> list[LabelSource]:
    """Return the sources of labels in the recipe's order; raises ArtifactError when sources.json is damaged."""
    try:
        content = json.loads((raw_labels / FILE).read_text("utf-8"))
        return [_source(source, raw_labels) for source in content["sources"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ArtifactError(f"{raw_labels / FILE} can't be read ({error}); materialise raw_labels again") from None


def _source(source: dict[str, Any], raw_labels: Path) -> LabelSource:
    """A file is named by the recipe when the entry leads to it alone: neither to a folder nor into an archive."""
    entry = Path(source["source"]).expanduser()
    folder = entry.resolve() if entry.is_dir() else None
    files = (_file(raw_labels / file["path"], file["member"], folder) for file in source["files"])
    return LabelSource(source["source"], tuple(files), tuple(source.get("skipped", ())))


def _file(path: Path, member: str | None, folder: Path | None) -> LabelFile:
    """Where it lies says something of it from the source's own name on; of a named file also the folder it is in."""
    named = folder is None and not member
    return LabelFile(path, member, named, leading=len((folder or path).parts) - (2 if named else 1))
