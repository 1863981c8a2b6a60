"""The folder of an export: there when it is whole, and never in place of something else."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp

from pipeline.errors import ArtifactError
from pipeline.files.atomic import sync
from pipeline.instances.tables import SPLITS

OWN = frozenset({*SPLITS, "annotations", "images", "labels", "data.yaml"})
"""What an export may have written."""


@contextmanager
def new_folder(out: Path, force: bool) -> Iterator[Path]:
    """Give a folder to fill, which is named `out` when the block ends without an error, and removed else.

    Raises ArtifactError where `out` is a file or holds something; with `force`, something that is not of an export.
    """
    _refuse(out, force)
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(mkdtemp(prefix=".export-", dir=out.parent))
    try:
        partial.chmod(0o755)
        yield partial
        if out.exists():
            shutil.rmtree(out)
        partial.rename(out)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    sync(out.parent)


def _refuse(out: Path, force: bool) -> None:
    if out.is_symlink() or (out.exists() and not out.is_dir()):
        raise ArtifactError(f"{out}: is a {'link' if out.is_symlink() else 'file'}; name a new folder with --out")
    held = sorted(path.name for path in out.iterdir()) if out.exists() else []
    if held and not force:
        raise ArtifactError(f"{out}: isn't empty; name a new folder with --out, or add --force to write it anew")
    if others := [name for name in held if name not in OWN]:
        raise ArtifactError(f"{out}: holds {others[0]}, which no export wrote; name a new folder with --out")
