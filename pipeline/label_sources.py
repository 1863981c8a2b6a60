"""Which label files there are, in the recipe's order: what `raw_labels` recorded in its sources.json.

Reading them is in `pipeline.readers`, finding them in `pipeline.raw_labels`.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline import hashes
from pipeline.errors import ArtifactError, SourceError
from pipeline.label_matching import LabelFile
from pipeline.sources import REFUSALS

FILE = "sources.json"
AGAIN = "materialise raw_labels again"


@dataclass(frozen=True)
class LabelSource:
    """One entry of `source.labels` and the files found in it."""

    entry: str
    files: tuple[LabelFile, ...]
    skipped: tuple[str, ...] = ()
    """Paths of label files in it that were passed over for others."""
    repeated: tuple[str, ...] = ()
    """Paths of label files in an archive that stand in it once more, further on."""


def read_sources(raw_labels: Path) -> list[LabelSource]:
    """Return the sources of labels in the recipe's order.

    Raises ArtifactError when sources.json is damaged, SourceError when a label file is not the one that was listed.
    """
    try:
        content = json.loads((raw_labels / FILE).read_text("utf-8"))
        listed = [_source(source, raw_labels) for source in content["sources"]]
        digests = dict(content.get("digests", {}))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ArtifactError(f"{raw_labels / FILE} can't be read ({error}); {AGAIN}") from None
    _refuse_changed(digests)
    return listed


def _refuse_changed(digests: dict[str, str]) -> None:
    """Raise SourceError for a file that is gone, can't be read, or is of another SHA-256 than that in `digests`."""
    try:
        found = hashes.digests([Path(path) for path in digests]) if digests else []
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
        raise SourceError(f"{error.filename} is gone since raw_labels listed it; {AGAIN}") from None
    except OSError as error:
        if error.errno not in REFUSALS:
            raise
        raise SourceError(f"{error.filename} can't be read: {error.strerror}") from None
    for (path, listed), now in zip(digests.items(), found, strict=True):
        if now != listed:
            raise SourceError(f"{path} has changed since raw_labels listed it; {AGAIN}")


def _source(source: dict[str, Any], raw_labels: Path) -> LabelSource:
    """A file is named by the recipe when the entry leads to it alone: neither to a folder nor into an archive."""
    entry = Path(source["source"]).expanduser()
    folder = entry.resolve() if entry.is_dir() else None
    files = (_file(raw_labels / file["path"], file["member"], folder) for file in source["files"])
    others = (tuple(source.get(kind, ())) for kind in ("skipped", "repeated"))
    return LabelSource(source["source"], tuple(files), *others)


def _file(path: Path, member: str | None, folder: Path | None) -> LabelFile:
    """Where it lies says something of it from the source's own name on; of a named file also the folder it is in."""
    named = folder is None and not member
    return LabelFile(path, member, named, leading=len((folder or path).parts) - (2 if named else 1))
