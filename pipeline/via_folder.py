"""Makes a folder that VIA opens: images of a finished data set beside a VIA project with their labels.

The relabelling loop is described in docs/relabelling.md: open, correct in VIA, list the result last in `source.labels`.
"""

import argparse
import logging
import sys
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec

from pipeline.artifacts import MANIFEST, Manifest
from pipeline.errors import ArchiveError, ArtifactError, EmptyDatasetError, LabelFileError, PipelineError
from pipeline.files import whole_file
from pipeline.recipe_sections import as_text
from pipeline.tables import SPLITS
from pipeline.via import PROJECT, REGION_DATA, ProjectWriter, RegionDataWriter
from pipeline.via3_format import Via3Writer
from pipeline.via_format import Entry

ARCHIVE = "images.zip"
VIA3_PROJECT = "via3_project.json"
LARGEST_IMAGE = 256 << 20
LARGEST_LABELS = 4 << 30
EXIT_FAULT = 2

log = logging.getLogger(__name__)


class _Region(msgspec.Struct):
    shape_attributes: dict[str, Any] = {}
    region_attributes: dict[str, Any] | None = None


class _Shown(msgspec.Struct):
    """An image of a via_region_data.json; regions are a dict, as in 2019, or a list."""

    filename: str
    width: int = 0
    height: int = 0
    regions: dict[str, _Region] | list[_Region] = []
    file_attributes: dict[str, Any] = {}


def make_folder(
    source: Path, out: Path, split: str | None = None, images: int | None = None, pictures: Path | None = None
) -> int:
    """Fill the new folder `out` with images and a VIA file for each release of VIA; return how many images.

    These are via_region_data.json (VIA 1), via_project.json (VIA 2) and via3_project.json (VIA 3).

    `source` is an images.zip, a folder that holds one, or a folder with a via_region_data.json (of `via_val`, of an
    evaluation report); the images of the latter come from the images.zip `pictures`, by default the one that it was
    made from. `split` defaults to val where there is one; `images` are picked evenly over all. Raises ArtifactError,
    ArchiveError, LabelFileError or EmptyDatasetError, naming what is missing or damaged.
    """
    labels, archive = _located(source, pictures)
    if out.exists() and any(out.iterdir()):
        raise ArtifactError(f"{out}: isn't empty; name a new folder with --out")
    try:
        with zipfile.ZipFile(archive) as opened:
            members = {info.filename: info for info in opened.infolist()}
            split = split or next(
                (each for each in ("val", "train") if f"images/{each}/{REGION_DATA}" in members), None
            )
            if not labels and f"images/{split}/{REGION_DATA}" not in members:
                raise ArtifactError(f"{archive}: has no images/{split or 'val'}/{REGION_DATA}; {_splits_in(members)}")
            content = labels.read_bytes() if labels else _read(opened, f"images/{split}/{REGION_DATA}", LARGEST_LABELS)
            shown = _picked(_labelled(content, labels or archive), images)
            return _fill(out, opened, [(each, _member(members, each, split)) for each in shown])
    except (EOFError, zlib.error, zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        raise ArchiveError(f"{archive}: can't be read as a zip archive: {error}") from None


def _splits_in(members: Iterable[str]) -> str:
    found = [split for split in SPLITS if f"images/{split}/{REGION_DATA}" in members]
    return f"it has {', '.join(found)}" if found else "it is no images.zip"


def _located(source: Path, pictures: Path | None) -> tuple[Path | None, Path]:
    """Return the label file, where it isn't the archive's own, and the archive of the images."""
    if source.is_file():
        return None, source
    if (source / ARCHIVE).is_file():
        return None, source / ARCHIVE
    if not (source / REGION_DATA).is_file():
        raise ArtifactError(f"{source}: is neither an images.zip nor a folder with one or with a {REGION_DATA}")
    archive = pictures or _made_from(source)
    if archive is None or not archive.exists():
        raise ArtifactError(f"{source}: has no images beside its labels; name their images.zip with --pictures")
    return source / REGION_DATA, archive / ARCHIVE if archive.is_dir() else archive


def _made_from(artifact: Path) -> Path | None:
    """Return the images.zip that an artifact in its store was made from, else the one made last there."""
    artifact = artifact.resolve()
    if not (artifact / MANIFEST).is_file():
        return None
    made_from = Manifest.read(artifact).inputs.get("dataset_zip", "latest")
    return artifact.parent.parent / "dataset_zip" / made_from / ARCHIVE


def _read(archive: zipfile.ZipFile, member: str, largest: int) -> bytes:
    """Return a member's bytes; raises ArchiveError when it is larger than believable."""
    info = archive.getinfo(member)
    if info.file_size > largest:
        raise ArchiveError(f"{archive.filename}: {member} unpacks to {info.file_size:,} bytes, which is not believable")
    return archive.read(info)


def _labelled(content: bytes, where: Path) -> list[_Shown]:
    try:
        entries = msgspec.json.decode(content, type=dict[str, _Shown])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise LabelFileError(f"{where}: {REGION_DATA} isn't VIA's: {error}") from None
    return list(entries.values())


def _picked(shown: list[_Shown], images: int | None) -> list[_Shown]:
    """Return at most `images` of them, evenly over all, in their order."""
    if images is None or images >= len(shown):
        return shown
    return [shown[number * len(shown) // images] for number in range(images)]


def _member(members: dict[str, zipfile.ZipInfo], shown: _Shown, split: str | None) -> str | None:
    """Return where the image lies in the archive: in its split, else (labels from elsewhere) in any."""
    name = PurePosixPath(shown.filename.replace("\\", "/")).name
    if name in ("", "..", PROJECT, REGION_DATA, VIA3_PROJECT):
        return None
    folders = dict.fromkeys((split, *SPLITS))
    return next((member for folder in folders if (member := f"images/{folder}/{name}") in members), None)


def _fill(out: Path, archive: zipfile.ZipFile, shown: list[tuple[_Shown, str | None]]) -> int:
    out.mkdir(parents=True, exist_ok=True)
    missing = sum(member is None for _, member in shown)
    if missing == len(shown):
        raise EmptyDatasetError(f"{archive.filename}: holds none of the labelled images")
    if missing:
        log.warning("%d labelled images are not in %s", missing, archive.filename)
    # The absolute folder makes VIA find the images wherever via.html lies.
    folder = f"{out.resolve()}/"
    with (
        ProjectWriter(out / PROJECT, out.name, image_folder=folder) as project,
        RegionDataWriter(out / REGION_DATA) as region_data,
        Via3Writer(out / VIA3_PROJECT, out.name, folder) as via3_project,
    ):
        for entry in _copied(out, archive, shown):
            project.write(entry)
            region_data.write(entry)
            via3_project.write(entry)
    return len(shown) - missing


def _copied(out: Path, archive: zipfile.ZipFile, shown: list[tuple[_Shown, str | None]]) -> Iterator[Entry]:
    """Copy each image, and yield what VIA is told of it, with the size in bytes that it really has."""
    for each, member in shown:
        if member is None:
            continue
        name, data = PurePosixPath(member).name, _read(archive, member, LARGEST_IMAGE)
        with whole_file(out / name) as file:
            file.write(data)
        regions = each.regions.values() if isinstance(each.regions, dict) else each.regions
        plain = [
            {
                "shape_attributes": region.shape_attributes,
                "region_attributes": _plain(region.region_attributes or {}),
            }
            for region in regions
        ]
        yield Entry(name, len(data), each.width, each.height, _plain(each.file_attributes), plain)


def _plain(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return attributes as VIA can edit them: texts, and options that are ticked or not."""
    return {
        key: value if isinstance(value, str | dict) else "" if value is None else as_text(value)
        for key, value in attributes.items()
    }


def main(argv: Sequence[str]) -> int:
    """Run `python -m pipeline.via open …`; return 0, or 2 after printing the sentence of a fault."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.via open", description=__doc__.split("\n", 1)[0])
    parser.add_argument("source", type=Path, help="images.zip, or the folder of an artifact")
    parser.add_argument("--split", choices=SPLITS, help="default: val")
    parser.add_argument("--images", type=int, metavar="N", help="at most so many, picked evenly (default: all)")
    parser.add_argument("--pictures", type=Path, metavar="ZIP", help="images.zip with the images that SOURCE labels")
    parser.add_argument("--out", type=Path, default=Path("via_folder"), help="new folder (default: via_folder)")
    arguments = parser.parse_args(argv)
    if arguments.images is not None and arguments.images < 1:
        parser.error("--images must be at least 1")
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        count = make_folder(arguments.source, arguments.out, arguments.split, arguments.images, arguments.pictures)
    except PipelineError as fault:
        print(fault, file=sys.stderr)
        return EXIT_FAULT
    print(
        f"{count} images: load {arguments.out.resolve() / PROJECT} in VIA 2 (Project > Load), or {VIA3_PROJECT} in "
        "VIA 3; how to go on is in docs/relabelling.md"
    )
    return 0
