"""A finished `images.zip` as other tools read it: COCO, YOLO segmentation, BDD100K."""

import logging
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pipeline.artifacts import categories_of
from pipeline.dataset.export import bdd, coco, yolo
from pipeline.dataset.export.exported import Exported, Picture
from pipeline.dataset.export.folder import new_folder
from pipeline.dataset.export.names import distinct_names
from pipeline.dataset.images_zip import ImagesZip
from pipeline.running.progress import Progress
from pipeline.running.threads import ordered_map

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Form:
    """A form that other tools read."""

    pictures: str
    """Folder of a split's pictures; `{split}` stands for the split."""
    write: Callable[[Exported, Path, Path, Progress], None]
    """Writes the labels into a folder (second), which is given its name (third) when it is whole."""
    by_stem: bool = False
    """Whether two pictures of a split must differ in more than the ending of their names."""

    def pictures_of(self, split: str) -> str:
        """Return the folder of the pictures of `split`."""
        return self.pictures.format(split=split)


FORMS = {
    "coco": Form("{split}", coco.write),
    "yolo": Form("images/{split}", yolo.write, by_stem=True),
    "bdd": Form("images/{split}", bdd.write),
}


def export(archive: Path, form: str, out: Path, labels_only: bool = False, force: bool = False) -> Exported:
    """Write the labels, and the pictures, of an `images.zip` in one of FORMS to the folder `out`; return what they are.

    Classes come in the order of the artifact's recipe, in which a model is trained on them; elsewhere by name.
    The folder is there when it is whole. Raises ArtifactError where it holds something (with `force`, something else
    than an export), and what `ImagesZip` raises.
    """
    chosen = FORMS[form]
    with new_folder(out, force) as partial, ImagesZip(archive, with_attributes=True) as images:
        exported = _exported(images, chosen)
        pictures = sum(map(len, exported.splits.values()))
        with Progress(f"labels for {form}", pictures, "image") as bar:
            chosen.write(exported, partial, out, bar)
        if not labels_only:
            _write_pictures(exported, images, chosen, partial)
    return exported


def _exported(images: ImagesZip, form: Form) -> Exported:
    splits: dict[str, tuple[Picture, ...]] = {}
    for split in images.splits:
        records = images.records(split)
        names = distinct_names([record.image for record in records], form.by_stem)
        if renamed := sum(name != record.image for name, record in zip(names, records, strict=True)):
            log.warning("%s: %d pictures of %s are written under another name", images.path, renamed, split)
        splits[split] = tuple(map(Picture, names, records))
    classes = images.class_names(categories_of(images.path.parent))
    return Exported(images.path, classes, splits, Counter())


def _write_pictures(exported: Exported, images: ImagesZip, form: Form, folder: Path) -> None:
    def write(to: tuple[Path, Picture]) -> int:
        where, picture = to
        return (where / picture.name).write_bytes(images.read(picture.record))

    total = sum(picture.record.size for pictures in exported.splits.values() for picture in pictures)
    with Progress("writing pictures", total, "B") as bar:
        for size in ordered_map(write, _places(exported.splits, form, folder), batch_size=8):
            bar.advance(size)


def _places(splits: dict[str, tuple[Picture, ...]], form: Form, folder: Path) -> Iterator[tuple[Path, Picture]]:
    """Yield each picture with its folder, which is made."""
    for split, pictures in splits.items():
        where = folder / form.pictures_of(split)
        where.mkdir(parents=True)
        yield from ((where, picture) for picture in pictures)
