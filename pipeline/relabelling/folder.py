"""Makes a folder that VIA opens: images of a finished data set beside a VIA project with their labels."""

import argparse
import logging
import sys
import zipfile
import zlib
from collections import Counter, deque
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

from pipeline.dataset.images_zip import LARGEST_IMAGE, MemberNames, members_of
from pipeline.errors import ArchiveError, ArtifactError, EmptyDatasetError, LabelFileError, PipelineError
from pipeline.files.atomic import whole_file
from pipeline.formats.via.region_data import PROJECT, REGION_DATA, project_file, region_data_file
from pipeline.formats.via.writing import OWN, Declarations, Entry, as_address, closed, unclosed
from pipeline.formats.via.writing_via3 import shown_by_via3, via3_project_file
from pipeline.instances.tables import SPLITS
from pipeline.relabelling import contents
from pipeline.relabelling.contents import LabelFile

VIA3_PROJECT = "via3_project.json"
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
                has = f"it has {', '.join(files)}" if files else "it is no images.zip"
                raise ArtifactError(f"{path}: has no images/{split or 'val'}/{REGION_DATA}; {has}")
            shown = LabelFile(labels, None, archive) if labels else files[str(split)]
            declared = _declared(shown, path, files.values())
            places = _places(shown, declared, archive, _folders(split, files))
            if images is not None and images < len(places):
                picked = list(places.items())
                places = dict(picked[number * len(picked) // images] for number in range(images))
            _fill(out, archive, shown, places, declared)
            return len(places)
    except (EOFError, zlib.error, zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        raise ArchiveError(f"{path}: can't be read as a zip archive: {error}") from None


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
    order = [each for each in dict.fromkeys((split, *SPLITS)) if each]
    return [files[each].folder if each in files else f"images/{each}" for each in order]


def _places(shown: LabelFile, declared: Declarations, archive: zipfile.ZipFile, folders: Sequence[str]) -> Places:
    """Return where the labelled images lie that are in the archive, each once; add what they use to `declared`."""
    names = members_of(archive)
    members, bases = MemberNames(names), {name.rpartition("/")[2] for name in names}
    found: dict[str, int] = {}
    left_out = Counter[str]()
    for position, entry in enumerate(shown.entries_into(declared)):
        member = _member(members, entry.filename, folders)
        if member is None:
            left_out[f"not in {archive.filename}"] += 1
        elif member in found:
            left_out["labelled twice: the first labels count"] += 1
        elif _has_a_namesake(member.rpartition("/")[2], bases):
            left_out["left out: VIA would show another image under their name (a%b.jpg beside a%25b.jpg)"] += 1
        else:
            found[member] = position
    for reason, count in left_out.items():
        log.warning("%d labelled images are %s", count, reason)
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


def _has_a_namesake(name: str, names: Collection[str]) -> bool:
    """Say whether a name, as a project has it, is that of another image."""
    return any(spelled != name and spelled in names for spelled in (as_address(name), shown_by_via3(name)))


def _fill(out: Path, archive: zipfile.ZipFile, shown: LabelFile, places: Places, declared: Declarations) -> None:
    out.mkdir(parents=True, exist_ok=True)
    # The absolute folder makes VIA find the images wherever via.html lies.
    folder = f"{out.resolve()}/"
    with (
        region_data_file(out / REGION_DATA) as append_for_via1,
        project_file(out / PROJECT, out.name, declared, as_address(folder)) as append_for_via2,
        via3_project_file(out / VIA3_PROJECT, out.name, folder, declared) as append_for_via3,
    ):
        for entry in _copied(out, archive, shown, places):
            append_for_via1(closed(entry))
            # VIA 2 takes the name for an address; VIA 1 compares it with that of a chosen file.
            append_for_via2(replace(unclosed(entry), filename=as_address(entry.filename)))
            append_for_via3(unclosed(entry))


def _copied(out: Path, archive: zipfile.ZipFile, shown: LabelFile, places: Places) -> Iterator[Entry]:
    """Copy each image, and yield its entry with its size in bytes; raises ArchiveError for one that is too large."""
    members = members_of(archive)
    for position, entry in enumerate(shown.entries()):
        if position not in places:
            continue
        name, info = PurePosixPath(places[position]).name, members[places[position]]
        if info.file_size > LARGEST_IMAGE:
            size = f"{info.file_size:,} bytes, which is not believable"
            raise ArchiveError(f"{archive.filename}: {info.filename} unpacks to {size}")
        with whole_file(out / name) as file:
            file.write(archive.read(info))
        yield replace(entry, filename=name, size=info.file_size)


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
        "VIA 3; the next steps are in docs/relabelling.md"
    )
    return 0
