"""Stage `raw_images`: every image of the sources, found where it lies, looked at once and indexed; none is unpacked.

What the index holds is in `pipeline.sources.image_index`, reading images again in `pipeline.sources.image_index`.
"""

import hashlib
import json
import logging
import os
import sys
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from pipeline.artifacts import summary
from pipeline.artifacts.summary import Check, Summary
from pipeline.errors import SourceError
from pipeline.files.atomic import is_clean, write_json
from pipeline.files.image_header import BadImageError, ImageHeader, read_header
from pipeline.files.zip_reading import Member, data_offset, inflate, read_archive
from pipeline.instances.records import Rejected
from pipeline.instances.splits import split_of
from pipeline.instances.tables import Split
from pipeline.program import main
from pipeline.recipe import Recipe
from pipeline.running.progress import track
from pipeline.running.threads import ordered_map
from pipeline.sources import resolve, walking
from pipeline.sources.image_index import IndexedImage, write_index, write_rejected
from pipeline.sources.image_names import flat_names
from pipeline.sources.resolve import Container

MOST_BYTES = 256 << 20
TURNED = (
    "stored turned (Exif orientation), and taken as they are stored; browsers show them upright, so what is drawn in "
    "VIA doesn't fit: turn their pixels (mogrify -auto-orient) before they are labelled"
)
MASK_FOLDERS = {"bitmasks", "colormaps", "masks"}

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Found:
    """A file that is named like an image: its folders and name inside `container`, and its entry in an archive."""

    container: Container
    path: str
    length: int
    member: Member | None = None


@dataclass(frozen=True)
class Examined:
    """An image that can be used: where its bytes are, and what they say."""

    found: Found
    offset: int
    size: int
    crc32: int
    header: ImageHeader
    sha256: str


def identities(recipe: Recipe) -> dict[str, Any]:
    """Return what each source of images is now; raises SourceError where one is absent."""
    return resolve.identities(recipe, "images")


def build(
    recipe: Recipe, out: Path, downloads: Path | None = None, identities: resolve.Identities | None = None
) -> None:
    """Index the images of `recipe.source.images` in `out`: images.parquet, rejected.parquet, sources.json, files/.

    `identities` are what the sources are, as `sources.identities` gives it; without them they are asked.
    Raises SourceError for a source that is absent or holds no image, ArchiveError for a damaged or hostile archive.
    An image that can't be used is set aside in rejected.parquet with the reason.
    """
    containers = resolve.obtain(recipe, "images", out, downloads, identities)
    examined: list[Examined] = []
    rejected: list[Rejected] = []
    for container in containers:
        with walking.readable(container.source):
            usable, unusable = _examine_all(container)
        examined += usable
        rejected += unusable
    kept, repeated = _without_repeats(examined)
    rejected += repeated
    images = _named(kept)
    write_index(out, images)
    write_rejected(out, rejected)
    write_json(out / "sources.json", {"sources": [_source(container) for container in containers]})
    turned = sum(image.header.turned for image in kept)
    summary.write(out, _summary(images, rejected, len(containers), turned))


def _examine_all(container: Container) -> tuple[list[Examined], list[Rejected]]:
    found, rejected = _find(container)
    if not found:
        advice = resolve.advice_on_archives(container)
        raise SourceError(f"{container.source.key}: {container.path} holds no image (.jpg, .jpeg or .png){advice}")
    usable: list[Examined] = []
    descriptor = os.open(container.path, os.O_RDONLY | os.O_CLOEXEC) if container.kind == "zip" else None
    try:
        results = ordered_map(partial(_examine, descriptor=descriptor), found)
        for result in track(results, f"indexing {container.path.name}", len(found), "image"):
            if isinstance(result, Examined):
                usable.append(result)
            else:
                rejected.append(result)
    finally:
        if descriptor is not None:
            os.close(descriptor)
    if not usable:
        first = f"{rejected[0].image}: {rejected[0].reason}"
        raise SourceError(f"{container.source.key}: no image in {container.path} can be used ({first})")
    return usable, rejected


def _find(container: Container) -> tuple[list[Found], list[Rejected]]:
    """Return the files named like images, in the order in which they lie on the disk; and names given twice."""
    if container.kind == "folder":
        files = ((path, path.relative_to(container.path)) for path in walking.walk(container.path, _SUFFIXES))
        return [
            Found(container, inside.as_posix(), path.stat().st_size) for path, inside in files if _is_image(inside)
        ], []
    if container.kind == "file":
        path = container.path
        return [Found(container, path.name, path.stat().st_size)] if _is_image(PurePosixPath(path.name)) else [], []
    archive = read_archive(container.path)
    members = [member for member in archive.members if _is_image(PurePosixPath(member.path))]
    repeated = [member for member in archive.repeated if _is_image(PurePosixPath(member.path))]
    return (
        [Found(container, member.path, member.length, member) for member in members],
        [_reject(Found(container, member.path, member.length), "a name that comes again") for member in repeated],
    )


_SUFFIXES = walking.SUFFIXES["images"]


def _is_image(path: PurePosixPath | Path) -> bool:
    """Tell whether a path is that of an image; PNGs in BDD's folders of masks are labels."""
    if path.suffix.lower() not in _SUFFIXES or any(walking.is_hidden(part) for part in path.parts):
        return False
    return path.suffix.lower() != ".png" or not MASK_FOLDERS.intersection(path.parts[:-1])


def _examine(found: Found, descriptor: int | None) -> Examined | Rejected:
    """Read an image once: its bytes, whether they are whole, their digest, and what their header says."""
    member = found.member
    if not is_clean(found.path):
        return _reject(found, "a name that is not clean text")
    if max(found.length, member.size if member else 0) > MOST_BYTES:
        return _reject(found, f"a file over {MOST_BYTES >> 20} MB")
    try:
        if member is None or descriptor is None:
            offset, data = 0, _file(found).read_bytes()
            crc32 = zlib.crc32(data)
        else:
            offset, data = _read_member(descriptor, member, found.container.path)
            crc32 = member.crc
        header = read_header(data)
    except BadImageError as error:
        return _reject(found, str(error))
    return Examined(found, offset, len(data), crc32, header, hashlib.sha256(data).hexdigest())


def _file(found: Found) -> Path:
    return found.container.path / found.path if found.container.kind == "folder" else found.container.path


def _read_member(descriptor: int, member: Member, archive: Path) -> tuple[int, bytes]:
    offset = data_offset(descriptor, member, archive)
    data = os.pread(descriptor, member.length, offset)
    if member.compression == "deflate":
        try:
            data = inflate(data, member.size)
        except ValueError:
            raise BadImageError("damaged in its archive") from None
    if len(data) != member.size or zlib.crc32(data) != member.crc:
        raise BadImageError("damaged in its archive")
    return offset, data


def _reject(found: Found, reason: str) -> Rejected:
    path = resolve.spelled_out(found.path)
    label = json.dumps({"path": path, "bytes": found.length})
    return Rejected(f"{found.container.recorded}/{path}", PurePosixPath(path).name, "", reason, label)


def _without_repeats(examined: list[Examined]) -> tuple[list[Examined], list[Rejected]]:
    """Set aside an image whose base name, bytes and split came before: the same picture in two sources."""
    first: set[tuple[str, str, Split | None]] = set()
    kept, rejected = [], []
    for image in examined:
        key = (PurePosixPath(image.found.path).name.casefold(), image.sha256, _split(image.found))
        if key in first:
            rejected.append(_reject(image.found, "the same image as one before"))
        else:
            first.add(key)
            kept.append(image)
    return kept, rejected


def _split(found: Found) -> Split | None:
    return split_of([*_outer_names(found.container), *PurePosixPath(found.path).parts[:-1]])


def _outer_names(container: Container) -> Iterator[str]:
    """Yield the folder that a local archive lies in, and the name of the source itself, without a suffix."""
    if container.kind == "folder":
        yield container.path.name
        return
    if container.source.kind == "path":
        yield container.path.parent.name
    yield container.path.stem


def _named(examined: list[Examined]) -> list[IndexedImage]:
    paths = [(*_outer_names(image.found.container), *PurePosixPath(image.found.path).parts) for image in examined]
    return [_row(image, name) for image, name in zip(examined, flat_names(paths), strict=True)]


def _row(image: Examined, name: str) -> IndexedImage:
    found = image.found
    container = found.container
    # A single file is recorded as its folder and its name, so that a reader knows folders and archives only.
    source = str(Path(container.recorded).parent) if container.kind == "file" else container.recorded
    return IndexedImage(
        image=name,
        split=_split(found),
        source=source,
        path=Path(container.recorded).name if container.kind == "file" else found.path,
        offset=image.offset,
        length=found.length,
        compression=found.member.compression if found.member else "stored",
        size=image.size,
        crc32=image.crc32,
        width=image.header.width,
        height=image.header.height,
        sha256=image.sha256,
    )


def _source(container: Container) -> dict[str, object]:
    where = {"kind": container.kind, "path": container.recorded}
    return {"source": container.source.entry, **where, "identity": container.identity}


def _summary(images: list[IndexedImage], rejected: list[Rejected], source_count: int, turned: int) -> Summary:
    splits = Counter(image.split or "none" for image in images)
    sizes = Counter(f"{image.width}x{image.height}" for image in images)
    reasons = Counter(item.reason for item in rejected)
    for reason, count in sorted(reasons.items()):
        log.warning("%d images set aside: %s", count, reason)
    if turned:
        log.warning("%d images are %s", turned, TURNED)
    return Summary(
        numbers={
            "images": len(images),
            "bytes": sum(image.size for image in images),
            "sources": source_count,
            "rejected": len(rejected),
        },
        tables={
            "splits_in_paths": [{"split": split, "images": count} for split, count in sorted(splits.items())],
            "sizes": [{"size": size, "images": count} for size, count in sizes.most_common(10)],
            "rejected": [{"reason": reason, "images": count} for reason, count in sorted(reasons.items())],
        },
        checks=[_check(len(rejected), turned)],
    )


def _check(rejected: int, turned: int) -> Check:
    said = [f"{rejected} images were set aside", *([f"{turned} are {TURNED}"] if turned else [])]
    return Check("every_image_usable", not (rejected or turned), "; ".join(said))


if __name__ == "__main__":
    sys.exit(main("raw_images"))
