"""Makes a folder that VIA opens: images of a finished data set beside a VIA project with their labels.

The relabelling loop is described in docs/relabelling.md: open, correct in VIA, list the result last in `source.labels`.
"""

import argparse
import logging
import sys
import zipfile
import zlib
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

from pipeline.dataset.images_zip import MemberNames, members_of
from pipeline.errors import ArchiveError, ArtifactError, EmptyDatasetError, LabelFileError, PipelineError
from pipeline.files.atomic import whole_file
from pipeline.formats.via.region_data import PROJECT, REGION_DATA, ProjectWriter, RegionDataWriter
from pipeline.formats.via.writing import OWN, Declarations, Entry, as_address, closed, unclosed
from pipeline.formats.via.writing_via3 import Via3Writer, shown_by_via3
from pipeline.instances.tables import SPLITS
from pipeline.relabelling import contents
from pipeline.relabelling.contents import LabelFile

VIA3_PROJECT = "via3_project.json"
LARGEST_IMAGE = 256 << 20
EXIT_FAULT = 2

Places = dict[int, str]
"""Where images lie in the archive, by the position of their labels in the file."""

log = logging.getLogger(__name__)


def make_folder(
    source: Path, out: Path, split: str | None = None, images: int | None = None, pictures: Path | None = None
) -> int:
    """Fill the new folder `out` with images and a VIA file for each release of VIA; return how many images.

    These are via_region_data.json (VIA 1), via_project.json (VIA 2) and via3_project.json (VIA 3). The classes to
    choose from are the recipe's, where `source` lies in a store, and all those in the labels and in the archive.

    `source` is an images.zip, a folder that holds one, a folder with a via_region_data.json (of `via_val`, of an
    evaluation report), or a file of labels that VIA 1 or 2 has saved; the images of the latter two come from the
    images.zip `pictures`, of an artifact by default from the one that it was made from. `split` defaults to val where
    there is one; `images` are picked evenly over all. Raises ArtifactError, ArchiveError, LabelFileError or
    EmptyDatasetError, naming what is missing or damaged.
    """
    labels, path = contents.located(source, pictures)
    if out.exists() and not out.is_dir():
        raise ArtifactError(f"{out}: is a file; name a new folder with --out")
    if out.exists() and any(out.iterdir()):
        raise ArtifactError(f"{out}: isn't empty; name a new folder with --out")
    try:
        with zipfile.ZipFile(path) as archive:
            files = contents.label_files(path, archive)
            split = split or next((each for each in ("val", "train") if each in files), None)
            if not labels and split not in files:
                raise ArtifactError(f"{path}: has no images/{split or 'val'}/{REGION_DATA}; {_told(files)}")
            shown = LabelFile(labels, None, archive) if labels else files[str(split)]
            declared = _declared(shown, path, files.values())
            places = _picked(_places(shown, declared, archive, _folders(split, files)), images)
            return _fill(out, archive, shown, places, declared)
    except (EOFError, zlib.error, zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        raise ArchiveError(f"{path}: can't be read as a zip archive: {error}") from None


def _told(splits: Collection[str]) -> str:
    return f"it has {', '.join(splits)}" if splits else "it is no images.zip"


def _declared(shown: LabelFile, archive: Path, files: Iterable[LabelFile]) -> Declarations:
    """Return what there is to choose from, beside what the labels that are shown use."""
    of_archive = contents.categories_of(archive.parent)
    declared = Declarations((*contents.categories_of(shown.path.parent), *of_archive), OWN)
    # Where the archive's recipe names its classes there are no others, and the labels may be gigabytes.
    for file in () if of_archive else files:
        try:
            deque(file.entries_into(declared), maxlen=0)
        except LabelFileError as fault:
            if file == shown:
                raise
            log.warning("%s; its classes are not offered", fault)
    return declared


def _folders(split: str | None, files: Mapping[str, LabelFile]) -> list[str]:
    """Return where images may lie in the archive: first in the split, then (labels from elsewhere) in any."""
    there = {each: file.folder for each, file in files.items()}
    return [there.get(each, f"images/{each}") for each in dict.fromkeys((split, *SPLITS)) if each]


def _places(shown: LabelFile, declared: Declarations, archive: zipfile.ZipFile, folders: Sequence[str]) -> Places:
    """Return where the labelled images lie that are in the archive, each once; add what they use to `declared`."""
    names = members_of(archive)
    members, bases = MemberNames(names), {name.rpartition("/")[2] for name in names}
    found: dict[str, int] = {}
    missing = twice = doubtful = 0
    for position, entry in enumerate(shown.entries_into(declared)):
        member = _member(members, entry.filename, folders)
        missing += member is None
        twice += member in found
        if member is None:
            continue
        if _is_another_s_address(member.rpartition("/")[2], bases):
            doubtful += 1
        else:
            found.setdefault(member, position)
    for count, what in (
        (missing, f"not in {archive.filename}"),
        (twice, "labelled twice: the first labels count"),
        (doubtful, "left out: VIA would call them as others are called (a%b.jpg beside a%25b.jpg); rename them"),
    ):
        if count:
            log.warning("%d labelled images are %s", count, what)
    if not found:
        advice = "" if shown.member else "; name the images.zip with them by --pictures"
        raise EmptyDatasetError(f"{archive.filename}: holds none of the images that {shown} labels{advice}")
    return {position: member for member, position in found.items()}


def _member(members: MemberNames, image: str, folders: Sequence[str]) -> str | None:
    """Return where the image lies in the archive.

    In a project of VIA 2 that was written here the name may be a part of an address.
    """
    name = PurePosixPath(image.replace("\\", "/")).name
    if name in ("", "..", PROJECT, REGION_DATA, VIA3_PROJECT):
        return None
    paths = (f"{folder}/{each}" for each in dict.fromkeys((name, unquote(name))) for folder in folders)
    return next((member for path in paths if (member := members.find(path))), None)


def _is_another_s_address(name: str, names: Collection[str]) -> bool:
    """Say whether a name, as a project has it, is that of another image."""
    return any(spelled != name and spelled in names for spelled in (as_address(name), shown_by_via3(name)))


def _picked(places: Places, images: int | None) -> Places:
    """Return at most `images` of them, evenly over all."""
    if images is None or images >= len(places):
        return places
    positions = list(places)
    picked = (positions[number * len(positions) // images] for number in range(images))
    return {position: places[position] for position in picked}


def _fill(out: Path, archive: zipfile.ZipFile, shown: LabelFile, places: Places, declared: Declarations) -> int:
    out.mkdir(parents=True, exist_ok=True)
    # The absolute folder makes VIA find the images wherever via.html lies.
    folder = f"{out.resolve()}/"
    with (
        ProjectWriter(out / PROJECT, out.name, declared, as_address(folder)) as project,
        RegionDataWriter(out / REGION_DATA) as region_data,
        Via3Writer(out / VIA3_PROJECT, out.name, folder, declared) as via3_project,
    ):
        for entry in _copied(out, archive, shown, places):
            # VIA 2 looks for an image where its name leads, VIA 1 is given it by hand.
            project.write(replace(unclosed(entry), filename=as_address(entry.filename)))
            region_data.write(closed(entry))
            via3_project.write(unclosed(entry))
    return len(places)


def _copied(out: Path, archive: zipfile.ZipFile, shown: LabelFile, places: Places) -> Iterator[Entry]:
    """Copy each image, and yield what VIA is told of it, with the size in bytes that it really has."""
    members = members_of(archive)
    for position, entry in enumerate(shown.entries()):
        if position not in places:
            continue
        name, data = PurePosixPath(places[position]).name, _read(archive, members[places[position]])
        with whole_file(out / name) as file:
            file.write(data)
        yield replace(entry, filename=name, size=len(data))


def _read(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    """Return an image's bytes; raises ArchiveError when it is larger than believable."""
    if info.file_size > LARGEST_IMAGE:
        raise ArchiveError(
            f"{archive.filename}: {info.filename} unpacks to {info.file_size:,} bytes, which is not believable"
        )
    return archive.read(info)


def main(argv: Sequence[str]) -> int:
    """Run `python -m pipeline.via open …`; return 0, or 2 after printing the sentence of a fault."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.via open", description=__doc__.split("\n", 1)[0])
    parser.add_argument("source", type=Path, help="images.zip, the folder of an artifact, or a VIA file")
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
    except OSError as error:
        print(f"{error.filename or arguments.out}: {error.strerror or error}", file=sys.stderr)
        return EXIT_FAULT
    print(
        f"{count} images: load {arguments.out.resolve() / PROJECT} in VIA 2 (Project > Load), or {VIA3_PROJECT} in "
        "VIA 3; how to go on is in docs/relabelling.md"
    )
    return 0
