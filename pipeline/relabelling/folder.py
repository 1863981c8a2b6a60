"""Makes a folder that VIA opens: images of a finished data set beside a VIA project with their labels."""

import argparse
import logging
import sys
import zipfile
import zlib
from collections import Counter, deque
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote

import msgspec

from pipeline.artifacts import MANIFEST, Manifest, Store
from pipeline.dataset.images_zip import ARCHIVE, LARGEST_LABELS, MemberNames, members_of, split_folders
from pipeline.dataset.labels import open_entries
from pipeline.errors import ArchiveError, ArtifactError, EmptyDatasetError, LabelFileError, PipelineError
from pipeline.files.atomic import whole_file
from pipeline.files.image_header import LARGEST_FILE
from pipeline.files.zip_reading import is_zip
from pipeline.formats.content import display_name, opened
from pipeline.formats.json_text import decode
from pipeline.formats.via import reading
from pipeline.formats.via.region_data import PROJECT, REGION_DATA, project_file, region_data_file
from pipeline.formats.via.regions import Options, shape_and_attributes, texts_to_choose, with_option_texts
from pipeline.formats.via.writing import OWN, Declarations, Entry, as_address, closed, unclosed
from pipeline.formats.via.writing_via3 import shown_by_via3, via3_project_file
from pipeline.instances.tables import SPLITS
from pipeline.recipe.categories import Wanted
from pipeline.recipe.sections import as_text
from pipeline.stages import STAGES

VIA3_PROJECT = "via3_project.json"
EXIT_FAULT = 2

Places = dict[int, str]
"""Where images lie in the archive, by the position of their labels in the file."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ViaFile:
    """Annotations or a project of VIA 1 or 2: the file `path`, or a member of the zip `path`, opened as `archive`."""

    path: Path
    member: str | None
    archive: zipfile.ZipFile

    def __str__(self) -> str:
        return display_name(self.path, self.member)

    @property
    def folder(self) -> str:
        """Its folder in the archive."""
        return (self.member or "").replace("\\", "/").rpartition("/")[0]

    def entries(self) -> Iterator[Entry]:
        """Yield the images, of unknown size in bytes, their attributes as `_editable`; numbered options are texts.

        Raises LabelFileError if the file is damaged or not VIA's, ArchiveError if it is too large.
        """
        with self._opened() as (entries, options):
            for key, text in entries.items():
                entry = decode(text)
                yield _entry(reading.name_of(key, entry), entry if isinstance(entry, dict) else {}, options)

    def entries_into(self, declared: Declarations) -> Iterator[Entry]:
        """Yield the same; add the values that they use, and the options of a project, to `declared`."""
        for entry in self.entries():
            declared.add(entry)
            yield entry
        with self._opened() as (_, declared_options):
            for attribute, options in declared_options.items():
                declared.offer(attribute, texts_to_choose(options))

    @contextmanager
    def _opened(self) -> Iterator[tuple[Mapping[str, msgspec.Raw], Options]]:
        """Open the file; yield its entries, not decoded yet, and the options that a project declares."""
        size = self.archive.getinfo(self.member).file_size if self.member else self.path.stat().st_size
        if size > LARGEST_LABELS:
            raise ArchiveError(f"{self}: has {size:,} bytes, which is not believable")
        with opened(self.path, self.member, self.archive if self.member else None) as content:
            yield open_entries(content)


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
    labels, path = _located(source, pictures)
    if out.exists() and not out.is_dir():
        raise ArtifactError(f"{out}: is a file; name a new folder with --out")
    if out.exists() and any(out.iterdir()):
        raise ArtifactError(f"{out}: isn't empty; name a new folder with --out")
    try:
        with zipfile.ZipFile(path) as archive:
            files = _label_files(path, archive)
            split = split or next((each for each in ("val", "train") if each in files), None)
            if not labels and split not in files:
                has = f"it has {', '.join(files)}" if files else "it is no images.zip"
                raise ArtifactError(f"{path}: has no images/{split or 'val'}/{REGION_DATA}; {has}")
            shown = ViaFile(labels, None, archive) if labels else files[str(split)]
            declared = _declared(shown, path, files.values())
            places = _places(shown, declared, archive, _folders(split, files))
            if images is not None and images < len(places):
                picked = list(places.items())
                places = dict(picked[number * len(picked) // images] for number in range(images))
            _fill(out, archive, shown, places, declared)
            return len(places)
    except (EOFError, zlib.error, zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        raise ArchiveError(f"{path}: can't be read as a zip archive: {error}") from None


def _declared(shown: ViaFile, archive: Path, files: Iterable[ViaFile]) -> Declarations:
    """Return what there is to choose from, beside what the labels that are shown use."""
    of_archive = categories_of(archive.parent)
    declared = Declarations((*categories_of(shown.path.parent), *of_archive), OWN)
    # Where the archive's recipe names its classes there are no others, and the labels may be gigabytes.
    for file in () if of_archive else files:
        try:
            deque(file.entries_into(declared), maxlen=0)
        except LabelFileError as fault:
            if file == shown:
                raise
            log.warning("%s; its classes are not offered", fault)
    return declared


def _folders(split: str | None, files: Mapping[str, ViaFile]) -> list[str]:
    """Return where images may lie in the archive: first in the split, then (labels from elsewhere) in any."""
    order = [each for each in dict.fromkeys((split, *SPLITS)) if each]
    return [files[each].folder if each in files else f"images/{each}" for each in order]


def _places(shown: ViaFile, declared: Declarations, archive: zipfile.ZipFile, folders: Sequence[str]) -> Places:
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


def _fill(out: Path, archive: zipfile.ZipFile, shown: ViaFile, places: Places, declared: Declarations) -> None:
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


def _copied(out: Path, archive: zipfile.ZipFile, shown: ViaFile, places: Places) -> Iterator[Entry]:
    """Copy each image, and yield its entry with its size in bytes; raises ArchiveError for one that is too large."""
    members = members_of(archive)
    for position, entry in enumerate(shown.entries()):
        if position not in places:
            continue
        name, info = PurePosixPath(places[position]).name, members[places[position]]
        if info.file_size > LARGEST_FILE:
            size = f"{info.file_size:,} bytes, which is not believable"
            raise ArchiveError(f"{archive.filename}: {info.filename} unpacks to {size}")
        with whole_file(out / name) as file:
            file.write(archive.read(info))
        yield replace(entry, filename=name, size=info.file_size)


def _entry(name: str, entry: Mapping[str, Any], options: Options) -> Entry:
    parts = map(shape_and_attributes, (reading.regions_of(entry) or {}).values())
    regions = [
        {
            "shape_attributes": _members(shape),
            "region_attributes": _editable(with_option_texts(attributes, options)),
        }
        for shape, attributes in parts
    ]
    width, height = (side if isinstance(side := entry.get(key), int) else 0 for key in ("width", "height"))
    return Entry(name, -1, width, height, _editable(_members(entry.get("file_attributes"))), regions)


def _members(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _editable(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return attributes as VIA can edit them: texts, and check boxes; null is an empty text."""
    return {
        key: value if isinstance(value, str | dict) else "" if value is None else as_text(value)
        for key, value in attributes.items()
    }


def _label_files(path: Path, archive: zipfile.ZipFile) -> dict[str, ViaFile]:
    """Return the label file of each split of the images.zip `path`; raises ArchiveError if one has two."""
    members = members_of(archive)
    folders = split_folders(path, members)
    names = {split: members[f"{folder}/{REGION_DATA}"].filename for split, folder in folders.items()}
    return {split: ViaFile(path, name, archive) for split, name in names.items()}


def _located(source: Path, pictures: Path | None) -> tuple[Path | None, Path]:
    """Return the label file, None if it is in the archive, and the archive of the images.

    Raises ArtifactError if there is neither, or no archive is known.
    """
    if not source.exists():
        raise ArtifactError(f"{source}: does not exist")
    own = source / ARCHIVE if source.is_dir() else source
    if own.is_file() and (is_zip(own) or own.suffix.lower() == ".zip"):
        if pictures is not None:
            raise ArtifactError(f"--pictures: {own} has its own images; leave --pictures out, or name a file of labels")
        return None, own
    labels = source / REGION_DATA if source.is_dir() else source
    if not labels.is_file():
        raise ArtifactError(f"{source}: is neither an images.zip nor a folder with one or with a {REGION_DATA}")
    if pictures is not None and not pictures.exists():
        raise ArtifactError(f"--pictures: {pictures} does not exist")
    archive = pictures or _made_from(source)
    if archive is None or not archive.exists():
        raise ArtifactError(f"{source}: has no images beside its labels; name their images.zip with --pictures")
    return labels, archive / ARCHIVE if archive.is_dir() else archive


def _made_from(artifact: Path) -> Path | None:
    """Return the images.zip that an artifact was made from, or was made from it, else the last one in its store."""
    manifest = _manifest(artifact)
    if manifest is None:
        return None
    store = Store(artifact.resolve().parent.parent)
    stage = STAGES["dataset_zip"]
    if fingerprint := manifest.inputs.get(stage.name):
        return store.folder(stage, fingerprint) / ARCHIVE
    for archive in store.complete(stage):
        if Manifest.read(archive.folder).inputs.get(manifest.name) == manifest.fingerprint:
            return archive.folder / ARCHIVE
    return store.folder(stage, "latest") / ARCHIVE


def categories_of(artifact: Path) -> tuple[str, ...]:
    """Return the categories of the recipe that an artifact in its store was made with; none if that isn't known."""
    manifest = _manifest(artifact)
    if manifest is None:
        return ()
    if wanted := manifest.recipe.get("labels.categories"):
        return Wanted(wanted).categories
    store = artifact.resolve().parent.parent
    made_from = (categories_of(store / name / fingerprint) for name, fingerprint in manifest.inputs.items())
    return next((categories for categories in made_from if categories), ())


def _manifest(artifact: Path) -> Manifest | None:
    return Manifest.read(artifact.resolve()) if (artifact / MANIFEST).is_file() else None


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
