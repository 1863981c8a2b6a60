"""Stage `raw_images`: an index of every image of the sources; each is read and decoded once, and none is unpacked."""

import hashlib
import json
import logging
import os
import sys
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePosixPath

from mrcnn.data import decoding
from pipeline.artifacts import summary
from pipeline.artifacts.summary import Check, Summary
from pipeline.errors import SourceError
from pipeline.files.atomic import is_clean, write_json
from pipeline.files.image_header import LARGEST_FILE, BadImageError, ImageHeader, read_header
from pipeline.files.image_pixels import check_pixels, quiet_decoders
from pipeline.files.zip_reading import Member, data_offset, inflate, read_archive
from pipeline.instances.image_paths import split_of
from pipeline.instances.tables import Rejected
from pipeline.program import main
from pipeline.recipe import Recipe
from pipeline.running.progress import track
from pipeline.running.threads import ordered_map
from pipeline.sources import resolve, walking
from pipeline.sources.image_index import IndexedImage, flat_names, write_index, write_rejected
from pipeline.sources.resolve import Container

TURNED = (
    "turned upright as their Exif data say, and as browsers, and so VIA, show them: labels made of their stored pixels "
    "don't fit"
)
NOT_TURNED = (
    "WebP images whose Exif data turn them, which browsers, and so VIA, don't do: they are taken as they are stored; "
    "where another program labels them upright, turn their pixels first (mogrify -auto-orient)"
)
SCALED = "of 16 bits a channel: each is scaled to 8 by the largest value in it (up to 255, 1023, 4095 or 65535)"
DIFFERING = (
    "so that images of one camera can differ in brightness, and browsers, and so VIA, show those of fewer bits dark: "
    "multiply the values of all by the same number, so that they fill 16 bits, before they are labelled"
)
MASK_FOLDERS = {"bitmasks", "colormaps", "masks"}
LOSSY = {".jpg", ".jpeg", ".jfif"}
"""Suffixes that files in folders of masks have only if they are pictures."""

IMAGE_SUFFIXES = walking.SUFFIXES["images"] + walking.UNREAD_IMAGES

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ImageFile:
    """A file that is named like an image: `path` is its path inside `container`, `length` its bytes there."""

    container: Container
    path: str
    length: int
    member: Member | None = None
    """Its entry, where the container is an archive."""

    @property
    def parts(self) -> tuple[str, ...]:
        """The folder of a local archive or file, the source's own name (no suffix), the folders, the base name."""
        path, inside = self.container.path, PurePosixPath(self.path).parts
        if self.container.kind == "folder":
            return (path.name, *inside)
        outer = (path.parent.name,) if self.container.source.kind == "path" else ()
        return (*outer, path.stem, *inside)


@dataclass(frozen=True)
class Usable:
    """An image that can be used; its row is called by its base name until all images are known."""

    file: ImageFile
    row: IndexedImage
    header: ImageHeader
    bits: int
    """Of a channel, that its values need; less than the header says where an image of 16 bits holds small values."""


identities = partial(resolve.identities, role="images")
"""Returns what each source of images is now; raises SourceError where one is absent."""


def build(
    recipe: Recipe, out: Path, downloads: Path | None = None, identities: resolve.Identities | None = None
) -> None:
    """Index the images of `recipe.source.images` in `out`: images.parquet, rejected.parquet, sources.json, files/.

    `identities` are those of `resolve.identities`, found anew by default. Raises SourceError for a source that is
    absent or holds no image, ArchiveError for a damaged or hostile archive.
    """
    containers = resolve.obtain(recipe, "images", out, downloads, identities)
    usable: list[Usable] = []
    rejected: list[Rejected] = []
    for container in containers:
        with walking.readable(container.source):
            found, unusable = _examine_all(container)
        usable += found
        rejected += unusable
    kept, repeated = _without_repeats(usable)
    rejected += repeated
    names = flat_names([image.file.parts for image in kept])
    images = [replace(image.row, image=name) for image, name in zip(kept, names, strict=True)]
    write_index(out, images)
    write_rejected(out, rejected)
    sources = [
        {"source": each.source.entry, "kind": each.kind, "path": each.recorded, "identity": each.identity}
        for each in containers
    ]
    write_json(out / "sources.json", {"sources": sources})
    summary.write(out, _summary(images, rejected, len(containers), kept))


def _examine_all(container: Container) -> tuple[list[Usable], list[Rejected]]:
    files, rejected = find(container)
    with container.path.open("rb") if container.kind == "zip" else nullcontext() as archive, quiet_decoders():
        results = ordered_map(partial(_examine, descriptor=archive.fileno() if archive else None), files)
        examined = list(track(results, f"indexing {container.path.name}", len(files), "image"))
    usable = [each for each in examined if isinstance(each, Usable)]
    rejected += [each for each in examined if isinstance(each, Rejected)]
    if not usable:
        first = f"{rejected[0].image}: {rejected[0].reason}"
        raise SourceError(f"{container.source.key}: no image in {container.path} can be used ({first})")
    return usable, rejected


def find(container: Container) -> tuple[list[ImageFile], list[Rejected]]:
    """Return what `candidates` does; raises SourceError where there is no file that is read."""
    files, rejected = candidates(container)
    if not files:
        key, suffixes = container.source.key, ", ".join(walking.SUFFIXES["images"])
        advice = f"name each zip in it in {key}, and unpack other archives"
        if rejected:
            advice = f"{rejected[-1].image} is {rejected[-1].reason}"
        raise SourceError(f"{key}: {container.path} holds no image ({suffixes}); {advice}")
    return files, rejected


def candidates(container: Container, goes_on: bool = False) -> tuple[list[ImageFile], list[Rejected]]:
    """Return the files named like images that are read, as they lie on the disk; and those that are set aside unread.

    Raises SourceError for links and folders that can't be followed or read; with `goes_on` they are set aside, too.
    """
    named, rejected = _named_like_images(container, goes_on)
    unread = [file for file in named if _suffix(file.path) in walking.UNREAD_IMAGES]
    rejected += [reject(file, f"{_suffix(file.path)}, a type that is not read: convert it to .png") for file in unread]
    others = [file for file in named if _suffix(file.path) not in walking.UNREAD_IMAGES]
    rejected += [reject(file, "a name that is not clean text") for file in others if not is_clean(file.path)]
    return [file for file in others if is_clean(file.path)], rejected


def _named_like_images(container: Container, goes_on: bool) -> tuple[list[ImageFile], list[Rejected]]:
    rejected: list[Rejected] = []
    if container.kind == "zip":
        archive = read_archive(container.path)
        members, repeated = (
            [ImageFile(container, member.path, member.length, member) for member in each if _is_image(member.path)]
            for each in (archive.members, archive.repeated)
        )
        return members, [reject(file, "a name that comes again") for file in repeated]
    if container.kind == "file":
        paths: Iterator[Path] = iter([container.path])
        folder = container.path.parent
    else:
        folder = container.path

        def set_aside(path: str, fault: SourceError) -> None:
            rejected.append(reject(ImageFile(container, Path(path).relative_to(folder).as_posix(), 0), str(fault)))

        paths = walking.walk(folder, IMAGE_SUFFIXES, set_aside if goes_on else None)
    found = ((path, path.relative_to(folder).as_posix()) for path in paths)
    files = [ImageFile(container, inside, path.stat().st_size) for path, inside in found if _is_image(inside)]
    return files, rejected


def _is_image(name: str) -> bool:
    """Return whether a path is that of an image; PNGs and other lossless files in folders of masks are labels."""
    parts, suffix = PurePosixPath(name).parts, _suffix(name)
    if suffix not in IMAGE_SUFFIXES or any(walking.is_hidden(part) for part in parts):
        return False
    return suffix in LOSSY or not MASK_FOLDERS.intersection(parts[:-1])


def _suffix(name: str) -> str:
    return PurePosixPath(name).suffix.lower()


def _examine(file: ImageFile, descriptor: int | None) -> Usable | Rejected:
    """Read and decode an image once, and check that it is whole; `descriptor` is the archive's."""
    container, member = file.container, file.member
    try:
        offset, data = read_file(file, descriptor)
        header = read_header(data)
        check_pixels(data, header)
    except BadImageError as error:
        return reject(file, str(error))
    row = IndexedImage(
        image=file.parts[-1],
        split=split_of(file.parts[:-1]),
        # A single file is recorded by its folder and its name: readers of the index know folders and archives only.
        source=str(Path(container.recorded).parent) if container.kind == "file" else container.recorded,
        path=Path(container.recorded).name if container.kind == "file" else file.path,
        offset=offset,
        length=file.length,
        compression=member.compression if member else "stored",
        size=len(data),
        crc32=member.crc if member else zlib.crc32(data),
        width=header.width,
        height=header.height,
        sha256=hashlib.sha256(data).hexdigest(),
    )
    return Usable(file, row, header, decoding.bits_held(data) if header.bits == 16 else header.bits)


def read_file(file: ImageFile, descriptor: int | None) -> tuple[int, bytes]:
    """Return where an image file starts in its archive, and its bytes; `descriptor` is the archive's.

    Raises BadImageError for a file that is too large, and a member that is damaged.
    """
    container, member = file.container, file.member
    if max(file.length, member.size if member else 0) > LARGEST_FILE:
        raise BadImageError(f"a file over {LARGEST_FILE >> 20} MB")
    if member is not None and descriptor is not None:
        return _read_member(descriptor, member, container.path)
    path = container.path / file.path if container.kind == "folder" else container.path
    return 0, path.read_bytes()


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


def reject(file: ImageFile, reason: str) -> Rejected:
    """Return the row of rejected.parquet of an image file that is left out."""
    path = resolve.spelled_out(file.path)
    label = json.dumps({"path": path, "bytes": file.length})
    return Rejected(f"{file.container.recorded}/{path}", PurePosixPath(path).name, "", reason, label)


def _without_repeats(images: Sequence[Usable]) -> tuple[list[Usable], list[Rejected]]:
    """Set aside an image whose base name, bytes and split came before: the same picture in two sources."""
    keys = [(image.row.image.casefold(), image.row.sha256, image.row.split) for image in images]
    first = dict(zip(reversed(keys), reversed(images), strict=True))
    repeated = [image for key, image in zip(keys, images, strict=True) if image is not first[key]]
    kept = [image for key, image in zip(keys, images, strict=True) if image is first[key]]
    return kept, [reject(image.file, "the same image as one before") for image in repeated]


def _summary(images: list[IndexedImage], rejected: list[Rejected], source_count: int, kept: list[Usable]) -> Summary:
    splits = Counter(image.split or "none" for image in images)
    sizes = Counter(f"{image.width}x{image.height}" for image in images)
    reasons = Counter(item.reason for item in rejected)
    examples = {item.reason: item.image for item in rejected}
    for reason, count in sorted(reasons.items()):
        log.warning("%d images set aside: %s (%s)", count, reason, examples[reason])
    by_reason = "; ".join(f"{count}: {reason}" for reason, count in sorted(reasons.items()))
    faults = [f"{len(rejected)} images were set aside ({by_reason})"] if rejected else []
    faults += _variants(kept)
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
        checks=[Check("every_image_usable", not faults, "; ".join(faults) or "no image was set aside")],
    )


def _variants(images: list[Usable]) -> list[str]:
    """Log how images are read that programs read in different ways; return what has to be mended first."""
    faults = []
    turned = Counter(image.header.kind == "WebP" for image in images if image.header.orientation > 1)
    if turned[False]:
        log.info("%d images are %s", turned[False], TURNED)
    if turned[True]:
        faults.append(f"{turned[True]} are {NOT_TURNED}")
    held = Counter(image.bits for image in images if image.header.bits == 16)
    if len(held) == 1:
        log.info("%d images are %s", held.total(), SCALED)
    if len(held) > 1:
        counts = ", ".join(f"{count} hold {bits} bits" for bits, count in sorted(held.items()))
        faults.append(f"{held.total()} are {SCALED}; {counts}, {DIFFERING}")
    for fault in faults:
        log.warning("of the images, %s", fault)
    return faults


if __name__ == "__main__":
    sys.exit(main("raw_images"))
