"""What a folder for VIA is made from: a file of labels, the images.zip with their images, the classes to choose from.

How the folder is filled is in `pipeline.relabelling.folder`; how VIA spells things, in `pipeline.formats.via.writing`.
"""

import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from pipeline.artifacts import MANIFEST, Manifest, Store
from pipeline.dataset.images_zip import members_of, split_folders
from pipeline.errors import ArchiveError, ArtifactError, LabelFileError
from pipeline.files.zip_reading import is_zip
from pipeline.formats.content import display_name, opened
from pipeline.formats.detect import Format, detect_json
from pipeline.formats.json_text import decode, load
from pipeline.formats.via import reading
from pipeline.formats.via.region_data import REGION_DATA
from pipeline.formats.via.regions import Options, texts_to_choose, with_option_texts
from pipeline.formats.via.writing import Declarations, Entry
from pipeline.recipe.categories import Wanted
from pipeline.recipe.sections import as_text
from pipeline.stages import STAGES

ARCHIVE = "images.zip"
LARGEST_LABELS = 4 << 30


@dataclass(frozen=True)
class LabelFile:
    """Annotations or a project of VIA 1 or 2: the file `path`, or a member of the zip `path`, open as `archive`."""

    path: Path
    member: str | None
    archive: zipfile.ZipFile

    def __str__(self) -> str:
        return display_name(self.path, self.member)

    @property
    def folder(self) -> str:
        """The folder that it lies in, in its archive."""
        return (self.member or "").replace("\\", "/").rpartition("/")[0]

    def entries(self) -> Iterator[Entry]:
        """Yield the images, their sizes in bytes unknown; null and what VIA can't edit are empty.

        Where a project numbers its options, regions have their texts: annotations that VIA exports declare none. Raises
        LabelFileError where the file is damaged or not VIA's, ArchiveError where it is larger than believable.
        """
        with self._opened() as (entries, options):
            for key, text in entries.items():
                entry = decode(text)
                yield _entry(reading.name_of(key, entry), entry if isinstance(entry, dict) else {}, options)

    def entries_into(self, declared: Declarations) -> Iterator[Entry]:
        """Yield the same, and add to `declared` what they use and what a project declares."""
        for entry in self.entries():
            declared.add(entry)
            yield entry
        with self._opened() as (_, declared_options):
            for attribute, options in declared_options.items():
                declared.offer(attribute, texts_to_choose(options))

    @contextmanager
    def _opened(self) -> Iterator[tuple[Mapping[str, msgspec.Raw], Options]]:
        """Open the file; give its entries, not yet decoded, and the options that a project declares."""
        name = str(self)
        size = self.archive.getinfo(self.member).file_size if self.member else self.path.stat().st_size
        if size > LARGEST_LABELS:
            raise ArchiveError(f"{name}: has {size:,} bytes, which is not believable")
        with opened(self.path, self.member, self.archive if self.member else None) as content:
            whole = load(content)
            found = detect_json(whole)
            if found not in (Format.VIA_METADATA, Format.VIA_PROJECT):
                raise LabelFileError(f"{name}: isn't a file of VIA 1 or 2, but {found.value}")
            yield reading.entries_of(whole)


def _entry(name: str, entry: Mapping[str, Any], options: Options) -> Entry:
    regions = [
        {
            "shape_attributes": _members(region.shape),
            "region_attributes": _plain(with_option_texts(_members(region.attributes), options)),
        }
        for region in reading.regions_of(entry) or ()
    ]
    width, height = (side if isinstance(side := entry.get(key), int) else 0 for key in ("width", "height"))
    return Entry(name, -1, width, height, _plain(_members(entry.get("file_attributes"))), regions)


def _members(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _plain(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return attributes as VIA can edit them: texts, and options that are ticked or not."""
    return {
        key: value if isinstance(value, str | dict) else "" if value is None else as_text(value)
        for key, value in attributes.items()
    }


def label_files(path: Path, archive: zipfile.ZipFile) -> dict[str, LabelFile]:
    """Return the label file of each split that the images.zip `path` has; raises ArchiveError where one has two."""
    members = members_of(archive)
    folders = split_folders(path, members)
    names = {split: members[f"{folder}/{REGION_DATA}"].filename for split, folder in folders.items()}
    return {split: LabelFile(path, name, archive) for split, name in names.items()}


def located(source: Path, pictures: Path | None) -> tuple[Path | None, Path]:
    """Return the label file, where it isn't the archive's own, and the archive of the images.

    Raises ArtifactError where there is neither, or no archive is known.
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
    """Return the images.zip that an artifact was made from or that was made from it, else the last one in its store."""
    manifest = _manifest(artifact)
    if manifest is None:
        return None
    store = Store(artifact.resolve().parent.parent)
    stage = STAGES["dataset_zip"]
    if mark := manifest.inputs.get(stage.name):
        return store.folder(stage, mark) / ARCHIVE
    for archive in store.complete(stage):
        if Manifest.read(archive.folder).inputs.get(manifest.name) == manifest.fingerprint:
            return archive.folder / ARCHIVE
    return store.folder(stage, "latest") / ARCHIVE


def categories_of(artifact: Path) -> tuple[str, ...]:
    """Return the categories of the recipe that an artifact in its store was made with; none where that isn't known."""
    manifest = _manifest(artifact)
    if manifest is None:
        return ()
    if wanted := manifest.recipe.get("labels.categories"):
        return Wanted(wanted).categories
    store = artifact.resolve().parent.parent
    made_from = (categories_of(store / name / mark) for name, mark in manifest.inputs.items())
    return next((categories for categories in made_from if categories), ())


def _manifest(artifact: Path) -> Manifest | None:
    return Manifest.read(artifact.resolve()) if (artifact / MANIFEST).is_file() else None
