"""Which label files there are, in the recipe's order: what `raw_labels` recorded in its sources.json.

Reading them is in `pipeline.formats`, finding them in `pipeline.sources.raw_labels`.
"""

import json
import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.errors import ArtifactError, SourceError
from pipeline.files import digests as hashes
from pipeline.labels.records import LabelFile
from pipeline.sources.walking import REFUSALS

log = logging.getLogger(__name__)

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


class StrayLabels:
    """Counts, by the position of their source, the images that label files name, and those that are not found."""

    def __init__(self) -> None:
        self._named: Counter[int] = Counter()
        self._strays: Counter[int] = Counter()
        self._examples: dict[int, str] = {}

    def count(self, source: int, image: str, reason: str) -> None:
        """Count an image; `reason` is empty where it was found."""
        self._named[source] += 1
        if reason:
            self._strays[source] += 1
            self._examples.setdefault(source, f"{image or 'one without a name'}: {reason}")

    def tell(self, sources: Sequence[LabelSource]) -> None:
        """Say of how many images each source's labels are left out.

        A warning where all are, or few are of a source that isn't the first one, as of corrections.
        """
        for number, strays in sorted(self._strays.items()):
            named = self._named[number]
            level = logging.WARNING if strays == named or (number and 2 * strays < named) else logging.INFO
            log.log(
                level,
                "%s: labels of %d of its %d images are left out (%s); they are in rejected.parquet",
                sources[number].entry,
                strays,
                named,
                self._examples[number],
            )
