"""`python -m pipeline.dataset export`: the labels of a finished `images.zip` as other tools read them."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from pipeline.artifacts import Store, hold
from pipeline.dataset.export import FORMS, export
from pipeline.dataset.export.exported import Count, Exported
from pipeline.dataset.images_zip import ARCHIVE
from pipeline.errors import ArtifactError
from pipeline.program import run_command
from pipeline.stages import STAGES

EXAMPLES = """examples:
  python -m pipeline.dataset export data/dataset_zip/latest --to coco
  python -m pipeline.dataset export images.zip --to yolo --out street

coco: annotations/instances_<split>.json, <split>/         crowds and regions to ignore are iscrowd
yolo: data.yaml, labels/<split>/, images/<split>/          crowds and regions to ignore are left out and counted
bdd:  labels/ins_seg_<split>.json, images/<split>/         polygons in Scalabel's JSON; no bitmasks"""


def main(argv: Sequence[str]) -> int:
    """Export what the arguments name; return 0, 2 for a fault, 28 for a full disk, or 130 when interrupted."""
    arguments = _parser().parse_args(argv)
    out = arguments.out or Path(f"dataset_{arguments.to}")

    def work() -> str:
        archive = _archive(arguments.source)
        return _written(export(archive, arguments.to, out, arguments.labels_only, arguments.force), out)

    return run_command(work, out)


def _archive(named: str) -> Path:
    """Return the images.zip that is named by its path, its folder, or the fingerprint of its artifact."""
    path = Path(named)
    if path.is_dir():
        path = path / ARCHIVE
        if not path.is_file():
            raise ArtifactError(f"{named}: holds no {ARCHIVE}; name the folder of a dataset_zip, or an {ARCHIVE}")
    if path.exists():
        return hold(path)
    store = Store()
    made = (each.folder for each in store.complete(STAGES["dataset_zip"]) if each.fingerprint.startswith(named))
    if folder := next(made, None):
        return hold(folder / ARCHIVE)
    raise ArtifactError(f"{named}: is neither a file, a folder, nor the fingerprint of a dataset_zip in {store.root}")


def _written(exported: Exported, out: Path) -> str:
    pictures = ", ".join(f"{len(of_split):,} {split}" for split, of_split in exported.splits.items())
    counted = [f"{each}: {exported.counts[each]:,}" for each in Count if exported.counts[each] or each is Count.WRITTEN]
    files = ", ".join(sorted(path.name + "/" * path.is_dir() for path in out.iterdir()))
    classes = ", ".join(exported.classes)
    return "\n".join([f"pictures: {pictures}; classes: {classes}", *counted, f"{out}: {files}"])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.dataset export",
        description="Write the labels of a finished images.zip as other tools read them.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("source", metavar="images.zip|ARTIFACT", help="archive, folder that holds one, or fingerprint of a dataset_zip")
    add("--to", choices=tuple(FORMS), required=True, help="what to write")
    add("--out", type=Path, metavar="DIR", help="new folder (default: dataset_coco, dataset_yolo, dataset_bdd)")
    add("--labels-only", action="store_true", help="leave the pictures out")
    add("--force", action="store_true", help="write over an export in that folder")
    return parser
