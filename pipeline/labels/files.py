"""What `raw_labels` has read: its sources in the recipe's order, and what their files say of images.

Which of it counts is decided in `label_collector`.
"""

import json
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.errors import ArtifactError
from pipeline.labels.records import LabelFile, Match

FILE = "sources.json"
AGAIN = "materialise raw_labels again"

Matches = Sequence[Match]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LabelSource:
    """One entry of `source.labels` and the files found in it."""

    entry: str
    files: tuple[LabelFile, ...]
    options: tuple[Mapping[str, Mapping[str, str]], ...] = ()
    """Of each file: what option ids that are words stand for, by attribute of VIA regions."""
    skipped: tuple[str, ...] = ()
    """Paths of label files in it that were passed over for others."""
    repeated: tuple[str, ...] = ()
    """Paths of label files in an archive that stand in it once more, further on."""


def read_sources(raw_labels: Path) -> list[LabelSource]:
    """Return the sources of labels in the recipe's order; raises ArtifactError when sources.json is damaged."""
    try:
        content = json.loads((raw_labels / FILE).read_text("utf-8"))
        return [_source(source, raw_labels) for source in content["sources"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ArtifactError(f"{raw_labels / FILE} can't be read ({error}); {AGAIN}") from None


def read_table(path: Path, columns: Sequence[str] | None = None, dictionaries: Sequence[str] = ()) -> pa.Table:
    """Return a table of `raw_labels`, or some of its columns; raises ArtifactError when it can't be read."""
    try:
        # Not pq.read_table: it imports pandas.
        with pq.ParquetFile(path, read_dictionary=list(dictionaries)) as file:
            return file.read(columns)
    except (OSError, pa.ArrowException) as error:
        raise ArtifactError(f"{path} can't be read ({error}); {AGAIN}") from None


def _source(source: dict[str, Any], raw_labels: Path) -> LabelSource:
    """A file is named by the recipe when the entry leads to it alone: neither to a folder nor into an archive."""
    entry = Path(source["source"]).expanduser()
    folder = entry.resolve() if entry.is_dir() else None
    files = (_file(raw_labels / file["path"], file["member"], folder) for file in source["files"])
    options = (file.get("options") or {} for file in source["files"])
    others = (tuple(source.get(kind, ())) for kind in ("skipped", "repeated"))
    return LabelSource(source["source"], tuple(files), tuple(options), *others)


def _file(path: Path, member: str | None, folder: Path | None) -> LabelFile:
    """Where it lies says something of it from the source's own name on; of a named file also the folder it is in."""
    named = folder is None and not member
    return LabelFile(path, member, named, leading=len((folder or path).parts) - (2 if named else 1))


def log_absent(
    sources: Sequence[LabelSource], source_of: Sequence[int], names: Sequence[str], matches: Matches
) -> None:
    """Log of how many images each source's labels are left out; the other arguments have an entry an image.

    A warning where all are, or few are of a source that isn't the first one, as of corrections.
    """
    counts = Counter(source_of)
    absent: dict[int, list[int]] = {}
    for entry, match in enumerate(matches):
        if match.row is None:
            absent.setdefault(source_of[entry], []).append(entry)
    for number, entries in sorted(absent.items()):
        few = number and 2 * len(entries) < counts[number]
        log.log(
            logging.WARNING if few or len(entries) == counts[number] else logging.INFO,
            "%s: labels of %d of its %d images are left out (%s: %s); they are in rejected.parquet",
            sources[number].entry,
            len(entries),
            counts[number],
            names[entries[0]] or "one without a name",
            matches[entries[0]].reason,
        )
