"""Records on the way from label files to splits: a label file, an image of the index, the image that a name means."""

from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path, PurePosixPath

import msgspec

from pipeline.instances.splits import split_in_path


class KnownImage(msgspec.Struct, frozen=True, dict=True):
    """An image of the index, as far as names go."""

    image: str
    source: str
    """The archive or folder that it lies in."""
    path: str
    """Its path inside the source."""
    split: str | None
    sha256: str

    @cached_property
    def parts(self) -> tuple[str, ...]:
        """The whole path from the root of the file system, archive included."""
        return (*self.folder, self.name)

    @property
    def folder(self) -> tuple[str, ...]:
        """The same without the name of the file."""
        return _folder(self.source, self.path.rpartition("/")[0])

    @property
    def name(self) -> str:
        """The name of the file."""
        return self.path.rpartition("/")[2]


@dataclass(frozen=True)
class LabelFile:
    """A label file in a folder, or a member of a zip."""

    path: Path
    member: str | None
    named: bool
    """A source of the recipe names this very file; otherwise it was found in a folder or an archive."""
    leading: int = 0
    """Components at the start of its path that are no business of its source's: what they are called says nothing."""

    @cached_property
    def parts(self) -> tuple[str, ...]:
        """The whole path from the root of the file system, archive included."""
        return PurePosixPath(self.path, *PurePosixPath(self.member or "").parts).parts

    @cached_property
    def split(self) -> str | None:
        """The split that its name or a folder above it, as far as its source, speaks of, the nearest one first."""
        return split_in_path(self.parts[self.leading :])

    @property
    def name(self) -> str:
        """How messages and tables call it: its path in its folder, or in its archive with the archive's name before."""
        return "/".join(self.parts[self.leading + (0 if self.member else 1) :])

    def __str__(self) -> str:
        return "/".join((str(self.path), *([self.member] if self.member else [])))


class Match(msgspec.Struct, frozen=True, gc=False):
    """The row of the image in the index, or why there is none."""

    row: int | None
    reason: str = ""


@lru_cache(maxsize=4096)
def _folder(source: str, path: str) -> tuple[str, ...]:
    """Return the components of a folder in a source: images share few, and taking a path apart is slow."""
    return PurePosixPath(source, path).parts
