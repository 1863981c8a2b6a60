"""Makes a folder that VIA opens: images of a finished data set beside VIA projects with their labels."""

import logging
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import msgspec

from pipeline.artifacts import Store, ancestor, categories_of, hold
from pipeline.dataset.images_zip import ARCHIVE, LARGEST_LABELS, MemberNames, members_of, split_folders
from pipeline.dataset.labels import labelled_in, open_entries
from pipeline.errors import ArchiveError, ArtifactError, EmptyDatasetError
from pipeline.files.atomic import whole_file
from pipeline.files.image_header import LARGEST_FILE
from pipeline.files.zip_reading import is_zip
from pipeline.formats.content import DAMAGED, opened
from pipeline.formats.json_text import decode
from pipeline.formats.label_values import SUSPECTS
from pipeline.formats.via import reading, writing
from pipeline.formats.via.regions import Options, shape_and_attributes, texts_to_choose, with_option_texts
from pipeline.formats.via.writing import PROJECT, REGION_DATA, Declarations, Entry, as_address
from pipeline.formats.via.writing_via3 import via3_project_file
from pipeline.recipe.sections import as_text
from pipeline.relabelling.picture_folder import PictureFolder
from pipeline.stages import STAGES

if TYPE_CHECKING:
    from pipeline.relabelling.ordering import Ranking

VIA3_PROJECT = "via3_project.json"
SUSPECTS_FILE = "suspects.csv"
BY_NAME, UNCERTAIN = "name", "uncertain"
DETECTIONS = "detections.parquet"
"""What a folder of detections holds, a report's or that of predictions."""

Pictures = zipfile.ZipFile | PictureFolder

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Labels:
    """An open file of VIA 1 or 2; its entries are decoded one by one, since it may have gigabytes."""

    name: str
    texts: Mapping[str, msgspec.Raw]
    options: Options

    def entry(self, key: str) -> Entry:
        """Return an image, of unknown size in bytes, its attributes as `_editable`; numbered options are texts."""
        decoded = decode(self.texts[key])
        entry: dict[str, Any] = decoded if isinstance(decoded, dict) else {}
        parts = map(shape_and_attributes, (reading.regions_of(entry) or {}).values())
        regions = [
            {
                "shape_attributes": shape if isinstance(shape, dict) else {},
                "region_attributes": _editable(with_option_texts(attributes, self.options)),
            }
            for shape, attributes in parts
        ]
        width, height = (side if isinstance(side := entry.get(key), int) else 0 for key in ("width", "height"))
        attributes = _editable(entry.get("file_attributes"))
        attributes.pop(SUSPECTS, None)
        return Entry(reading.name_of(key, decoded), -1, width, height, attributes, regions)

    def entries(self, declared: Declarations) -> Iterator[tuple[str, Entry]]:
        """Yield each key and image; add the options of a project and all that the images use to `declared`."""
        for attribute, options in self.options.items():
            declared.offer(attribute, texts_to_choose(options))
        for key in self.texts:
            entry = self.entry(key)
            declared.add(entry)
            yield key, entry


def _editable(attributes: Any) -> dict[str, Any]:
    """Return attributes as VIA can edit them: texts, and check boxes; null is an empty text."""
    given = attributes if isinstance(attributes, dict) else {}
    others = {key: value for key, value in given.items() if not isinstance(value, str | dict)}
    return given | {key: "" if value is None else as_text(value) for key, value in others.items()}


def make_folder(
    source: Path,
    out: Path,
    split: str | None = None,
    images: int | None = None,
    pictures: Path | None = None,
    order: str = BY_NAME,
    detections: Path | None = None,
) -> int:
    """Fill the new folder `out` with images and a VIA file for each release of VIA; return how many images.

    The classes to choose from are the recipe's, where `source` lies in a store, and those in the labels and archive.

    `source` is an images.zip or a folder that holds one, or labels: a folder with a via_region_data.json, or a file
    that VIA 1 or 2 has saved. The images of labels come from the images.zip `pictures`, by default from the folder
    `pictures` beside them, or, of an artifact, from the one that it was made from. `split` defaults to val where there
    is one; `images` are picked evenly over all, or with the order UNCERTAIN are the first: those that are likeliest
    wrong by what a model has detected, `source` itself if that holds detections, or else the folder `detections`.
    Raises ArtifactError, ArchiveError, LabelFileError or EmptyDatasetError, naming what is missing or damaged.
    """
    labels, path = _located(source, pictures)
    if detections is not None and (order != UNCERTAIN or (source / DETECTIONS).exists()):
        raise ArtifactError("--detections: is for --order uncertain of labels; leave it out")
    if out.exists() and not out.is_dir():
        raise ArtifactError(f"{out}: is a file; name a new folder with --out")
    if out.exists() and any(out.iterdir()):
        raise ArtifactError(f"{out}: isn't empty; name a new folder with --out")
    try:
        with PictureFolder.opened(path) as archive:
            folders = split_folders(path, members_of(archive))
            split = split or next((each for each in ("val", "train") if each in folders), "val")
            if not labels and split not in folders:
                has = f"it has {', '.join(folders)}" if folders else "it is no images.zip"
                raise ArtifactError(f"{path}: has no images/{split}/{REGION_DATA}; {has}")
            declared = _declared(labels, archive, folders)
            # Labels from elsewhere may be of images of any split.
            of_images = [folders[each] for each in sorted(folders, key=lambda each: each != split)]
            with _opened(labels) if labels else _opened(path, archive, folders[split]) as shown:
                places = _places(shown, archive, of_images or [PictureFolder.NAME], declared)
                uncertain = order == UNCERTAIN
                ranking = _ranking(source, shown, places, path.parent, detections) if uncertain else None
                picked = _picked(places, ranking, images)
                _fill(out, archive, shown, {key: places[key] for key in picked}, declared, ranking)
            return len(picked)
    except DAMAGED as error:
        raise ArchiveError(f"{path}: can't be read as a zip archive: {error}") from None


def _ranking(
    source: Path, shown: Labels, places: Mapping[str, zipfile.ZipInfo], dataset: Path, detections: Path | None
) -> "Ranking":
    """Return how the images rank by the detections in `source`, or as labels by those of a model."""
    from pipeline.relabelling import ordering

    if (source / DETECTIONS).exists():
        return ordering.of_detections(source)
    found, where = ordering.found_for({_name(info) for info in places.values()}, dataset, detections)
    log.info("labels are compared with the detections in %s", where)
    each_labelled = zip(shown.texts, labelled_in(shown.texts, shown.options), strict=True)
    labelled = {_name(places[key]): labels for key, labels in each_labelled if key in places}
    return ordering.of_labels(labelled, found, where)


def _picked(places: Mapping[str, zipfile.ZipInfo], ranking: "Ranking | None", images: int | None) -> list[str]:
    """Return the keys of at most so many images: the first of a ranking, or evenly picked ones."""
    keys, number = list(places), min(images or len(places), len(places))
    if ranking is None:
        return [keys[position * len(keys) // number] for position in range(number)]
    return sorted(keys, key=lambda key: -ranking.scores.get(_name(places[key]), 0.0))[:number]


def _name(info: zipfile.ZipInfo) -> str:
    """Return the name of an image without its folder."""
    return info.filename.replace("\\", "/").rpartition("/")[2]


@contextmanager
def _opened(path: Path, archive: Pictures | None = None, folder: str = "") -> Iterator[Labels]:
    """Open a file of labels, or that of a folder in an archive."""
    packed = archive if isinstance(archive, zipfile.ZipFile) else None
    member = None
    if packed:
        info = members_of(packed)[f"{folder}/{REGION_DATA}"]
        _refuse_larger(info, LARGEST_LABELS, path)
        member = info.filename
    with opened(path, member, packed) as content:
        yield Labels(content.name, *open_entries(content))


def _refuse_larger(info: zipfile.ZipInfo, largest: int, archive: Path) -> None:
    if info.file_size > largest:
        raise ArchiveError(f"{archive}/{info.filename}: unpacks to {info.file_size:,} bytes, which is not believable")


def _declared(labels: Path | None, archive: Pictures, folders: Mapping[str, str]) -> Declarations:
    """Return what there is to choose from, beside what the labels that are shown use."""
    path = Path(str(archive.filename))
    of_archive = categories_of(path.parent)
    declared = Declarations((*(categories_of(labels.parent) if labels else ()), *of_archive))
    # Where the archive's recipe names its classes there are no others, and the labels may be gigabytes.
    for folder in () if of_archive else folders.values():
        with _opened(path, archive, folder) as others:
            for _ in others.entries(declared):
                pass
    return declared


def _places(
    shown: Labels, archive: Pictures, folders: Sequence[str], declared: Declarations
) -> dict[str, zipfile.ZipInfo]:
    """Return the labelled images that are in the archive, each once, by their keys; add what they use to `declared`."""
    members = members_of(archive)
    names = MemberNames(members)
    found: dict[str, str] = {}
    left_out = Counter[str]()
    for key, entry in shown.entries(declared):
        member = _member(names, entry.filename, folders)
        if member is None:
            left_out[f"not in {archive.filename}"] += 1
        elif member in found:
            left_out["labelled twice: the first labels count"] += 1
        else:
            found[member] = key
    for reason, number in left_out.items():
        log.warning("%d labelled images are %s", number, reason)
    if unseen := sum(member.lower().endswith((".tif", ".tiff")) for member in found):
        log.warning("%d images are TIFFs, which browsers, and so VIA, don't show: convert them to .png", unseen)
    if not found:
        advice = "name the images.zip with them by --pictures"
        raise EmptyDatasetError(f"{archive.filename}: holds none of the images that {shown.name} labels; {advice}")
    return {key: members[member] for member, key in found.items()}


def _member(members: MemberNames, image: str, folders: Sequence[str]) -> str | None:
    """Return where the image lies in the archive; in a project of VIA 2 its name may be a part of an address."""
    name = PurePosixPath(image.replace("\\", "/")).name
    paths = (f"{folder}/{each}" for each in dict.fromkeys((name, unquote(name))) for folder in folders)
    return next((member for path in paths if (member := members.find(path))), None)


def _fill(
    out: Path,
    archive: Pictures,
    shown: Labels,
    places: Mapping[str, zipfile.ZipInfo],
    declared: Declarations,
    ranking: "Ranking | None",
) -> None:
    reasons = ranking.reasons() if ranking else {}
    out.mkdir(parents=True, exist_ok=True)
    # The absolute folder makes VIA find the images wherever via.html lies.
    folder = f"{out.resolve()}/"
    with (
        writing.region_data_file(out / REGION_DATA) as append_for_via1,
        writing.project_file(out / PROJECT, out.name, declared, as_address(folder)) as append_for_via2,
        via3_project_file(out / VIA3_PROJECT, out.name, folder, declared) as append_for_via3,
    ):
        for key, info in places.items():
            _refuse_larger(info, LARGEST_FILE, Path(str(archive.filename)))
            name = _name(info)
            with whole_file(out / name) as file:
                file.write(archive.read(info))
            entry = replace(shown.entry(key), filename=name, size=info.file_size)
            if name in reasons:
                entry.file_attributes[SUSPECTS] = reasons[name]
            append_for_via1(writing.closed(entry))
            # VIA 2 takes the name for an address; VIA 1 compares it with that of a chosen file.
            append_for_via2(replace(writing.unclosed(entry), filename=as_address(name)))
            append_for_via3(writing.unclosed(entry))
    if ranking:
        ranking.write(out / SUSPECTS_FILE, {_name(info) for info in places.values()})


def _located(source: Path, pictures: Path | None) -> tuple[Path | None, Path]:
    """Return the label file, None if it is in the archive, and the archive of the images; raises ArtifactError."""
    if not source.exists():
        raise ArtifactError(f"{source}: does not exist")
    hold(source)
    own = source / ARCHIVE if source.is_dir() else source
    if own.is_file() and is_zip(own):
        if pictures is not None:
            raise ArtifactError(f"--pictures: {own} has its own images; leave --pictures out, or name a file of labels")
        return None, own
    labels = source / REGION_DATA if source.is_dir() else source
    if not labels.is_file():
        raise ArtifactError(f"{source}: is neither an images.zip nor a folder with one or with a {REGION_DATA}")
    if pictures is not None and not pictures.exists():
        raise ArtifactError(f"--pictures: {pictures} does not exist")
    beside = source / PictureFolder.NAME
    if pictures is None and source.is_dir() and beside.is_dir():
        return labels, beside
    archive = pictures or _images_of(source.resolve())
    if archive is None:
        raise ArtifactError(f"{source}: has no images beside its labels; name their images.zip with --pictures")
    return labels, hold(archive / ARCHIVE if archive.is_dir() else archive)


def _images_of(artifact: Path) -> Path | None:
    """Return the folder of the images.zip in its store that an artifact was made from, or that was made from it."""
    if found := ancestor(artifact, "dataset_zip"):
        return found
    made = (each.folder for each in Store(artifact.parent.parent).complete(STAGES["dataset_zip"]))
    return next((each for each in made if ancestor(each, artifact.parent.name) == artifact), None)
