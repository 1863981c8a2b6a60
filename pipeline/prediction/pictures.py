"""The pictures of the sources: listed, then read and decoded ahead of the network; broken ones are set aside."""

import glob
import os
import re
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from pipeline.dataset.images_zip import ARCHIVE
from pipeline.errors import ArchiveError
from pipeline.files.digests import digest
from pipeline.files.image_pixels import quiet_decoders
from pipeline.instances.image_paths import split_of
from pipeline.prediction.picture import Known, Loaded, Picture, Unusable, load
from pipeline.prediction.video import SUFFIXES, is_stream, is_video
from pipeline.recipe import Recipe
from pipeline.recipe.source_entry import Source, parse
from pipeline.running.threads import ordered_map
from pipeline.secrets import redacted
from pipeline.sources import raw_images, resolve, walking
from pipeline.sources.image_index import INDEX, ImageStore, flat_names, read_index
from pipeline.sources.raw_images import ImageFile
from pipeline.sources.resolve import Container

IMAGES = walking.SUFFIXES["images"]


Identified = tuple[Source, Any]
"""A source, and what it is now (None for a local one that is taken as it is)."""


class Pictures(AbstractContextManager["Pictures"]):
    """All pictures and videos of some sources, in the order of the sources, then of their paths."""

    def __init__(
        self,
        sources: Sequence[Identified],
        recipe: Recipe,
        out: Path,
        split: str | None = None,
        hashed: bool = False,
        videos: bool = True,
    ) -> None:
        """List the pictures; what is downloaded or drawn lies under `out`/files, too.

        `recipe` says how many scenes the source `sample` has; with `split`, only pictures whose folders name it count.
        With `hashed`, the stamp of a file is its SHA-256, so that a copy is the same picture; without `videos`, those
        are no sources. A damaged or hostile archive is unusable as a whole. Raises SourceError for a source that is
        absent, ArchiveError where such an archive is all that there is.
        """
        self._hashed = hashed
        self._open = ExitStack()
        self._descriptors: dict[Path, int] = {}
        self.pictures: list[Picture] = []
        self.unusable: list[Unusable] = []
        """Files that are not even read: of a type that isn't, of a name that can't be used, or damaged archives."""
        self.videos = _videos([each for each, _ in sources], split) if videos else []
        """Videos, streams and cameras; their pictures are their frames."""
        sources = [each for each in sources if not (videos and _is_video(each[0]))]
        indexed = [each for each, _ in sources if each.kind == "path" and (each.path / INDEX).is_file()]
        wanted = [(_archive_of(each), identity) for each, identity in sources if each not in indexed]
        files: list[ImageFile] = []
        faults: list[ArchiveError] = []
        for container in resolve.obtain_each(wanted, recipe, "images", out):
            try:
                found, rejected = _candidates(container)
            except ArchiveError as fault:
                faults.append(fault)
                found, rejected = [], [Unusable(_unread(container.path.name, container.recorded), str(fault))]
            files += found
            self.unusable += rejected
        files = [file for file in files if split is None or split_of(file.parts[:-1]) == split]
        names = flat_names([file.parts for file in files])
        self.pictures += [self._picture(name, file) for name, file in zip(names, files, strict=True)]
        for source in indexed:
            self._add_indexed(source.path, split)
        stems = Counter(each.stem.casefold() for each in self.pictures)
        self.pictures = [replace(each, is_one_of_its_stem=stems[each.stem.casefold()] == 1) for each in self.pictures]
        if faults and not (self.pictures or self.videos):
            raise faults[0]

    def loaded(self, wanted: Iterable[Picture | Known]) -> Iterator[Loaded | Unusable | Known]:
        """Yield the pictures with their pixels, in order, a few read ahead."""
        with quiet_decoders():
            yield from ordered_map(load, wanted)

    def __exit__(self, *exc: object) -> None:
        self._open.close()

    def _picture(self, name: str, file: ImageFile) -> Picture:
        where = f"{file.container.recorded}/{file.path}" if file.container.kind != "file" else file.container.recorded
        size = file.member.size if file.member else file.length
        stamp = f"crc {file.member.crc}" if file.member else self._stamp(_path(file))
        return Picture(name, where, size, stamp, partial(self._read, file))

    def _stamp(self, path: Path) -> str:
        return digest(path) if self._hashed else str(path.stat().st_mtime_ns)

    def _read(self, file: ImageFile) -> bytes:
        descriptor = self._descriptor(file.container.path) if file.member else None
        return raw_images.read_file(file, descriptor)[1]

    def _descriptor(self, archive: Path) -> int:
        if archive not in self._descriptors:
            self._descriptors[archive] = self._open.enter_context(archive.open("rb")).fileno()
        return self._descriptors[archive]

    def _add_indexed(self, folder: Path, split: str | None) -> None:
        """Add the images that a raw_images artifact lists."""
        store = self._open.enter_context(ImageStore(folder))
        for image in read_index(folder).values():
            if split in (None, image.split):
                where = f"{image.source}/{image.path}"
                self.pictures.append(Picture(image.image, where, image.size, image.sha256, partial(store.read, image)))


def sources_of(entries: Sequence[str | Path], key: str = "SOURCE") -> list[Source]:
    """Return what the entries of a command line mean; patterns that the shell left alone become the files they match.

    Raises SourceError for an address of a kind that isn't read.
    """
    texts = [str(entry) for entry in entries]
    spelled = [sorted(glob.glob(text, recursive=True)) or [text] if glob.has_magic(text) else [text] for text in texts]
    texts = [text for group in spelled for text in group]
    return [Source(redacted(text), key, "path", text) if _is_stream(text) else parse(text, key) for text in texts]


def identified(sources: Sequence[Source], recipe: Recipe) -> list[Identified]:
    """Return each source with what it is now, which is asked of those that aren't local."""
    return [(each, None if each.kind == "path" else _identify(each, recipe)) for each in sources]


def _identify(source: Source, recipe: Recipe) -> Any:
    whole = source.place if source.kind == "https" else source.entry
    return resolve.identify(whole, recipe, "images", source.key)


def _is_stream(text: str) -> bool:
    return is_stream(text) and not Path(text).exists()


def _is_video(source: Source) -> bool:
    """Return whether a source is a stream, a camera or a video file; `sources_of` makes paths of the former."""
    is_file = source.kind == "path" and is_video(source.path) and source.path.is_file()
    return is_file or (source.kind == "path" and _is_stream(source.place))


def _videos(sources: Sequence[Source], split: str | None) -> list[Picture]:
    """Return the videos among the sources and in their folders; with `split`, only those in folders that name it."""
    found = [each for source in sources for each in _videos_of(source)]
    wanted = [(parts, video) for parts, video in found if split is None or split_of(parts[:-1]) == split]
    names = flat_names([parts for parts, _ in wanted])
    return [replace(video, name=name) for name, (_, video) in zip(names, wanted, strict=True)]


def _videos_of(source: Source) -> Iterator[tuple[Sequence[str], Picture]]:
    """Yield the videos of a source, each with its folders and name."""
    if not _is_video(source):
        is_folder = source.kind == "path" and source.path.is_dir()
        with walking.readable(source):
            for path in walking.walk(source.path, SUFFIXES) if is_folder else ():
                yield (source.path.name, *path.relative_to(source.path).parts), _video(path)
    elif source.path.is_file():
        yield source.path.parts[-2:], _video(source.path)
    else:
        name = re.sub(r"\W+", "_", source.entry)
        yield (name,), Picture(name, source.place, 0, str(time.time_ns()), bytes)


def _video(path: Path) -> Picture:
    status = path.stat()
    return Picture(path.name, str(path), status.st_size, str(status.st_mtime_ns), bytes)


def _candidates(container: Container) -> tuple[list[ImageFile], list[Unusable]]:
    """Return the pictures of a source, and what is set aside unread; raises ArchiveError."""
    with walking.readable(container.source):
        found, rejected = raw_images.candidates(container, goes_on=True)
    unusable = [Unusable(_unread(each.image, each.source), each.reason) for each in rejected]
    if container.kind == "file" and not (found or unusable):
        reason = f"not named like a picture or video that is read ({', '.join(IMAGES + SUFFIXES)})"
        unusable.append(Unusable(_unread(container.path.name, container.recorded), reason))
    return found, unusable


def _unread(name: str, where: str) -> Picture:
    return Picture(name, where, 0, "", bytes)


def _archive_of(source: Source) -> Source:
    """Return the source itself, or the images.zip of a folder that has one: an artifact of dataset_zip."""
    archive = source.path / ARCHIVE
    return parse(str(archive), source.key) if source.kind == "path" and archive.is_file() else source


def _path(file: ImageFile) -> Path:
    return file.container.path / file.path if file.container.kind == "folder" else Path(os.fspath(file.container.path))
