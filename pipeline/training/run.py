"""The folder of checkpoints while training: what the training in it was begun with, and whether it can go on.

What a state holds, and how training goes on from it, is `mrcnn`'s business.
"""

import hashlib
import logging
import shutil
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pipeline.artifacts import MANIFEST, Manifest, differences
from pipeline.errors import ArtifactError, TrainingError
from pipeline.files.atomic import canonical_json, write_json
from pipeline.recipe import Recipe
from pipeline.stages import STAGES, fingerprint

log = logging.getLogger(__name__)


def planned(recipe: Recipe, images_zip: Path, identities: dict[str, Any] | None = None) -> Manifest:
    """Return what a training with this recipe on this dataset is made from, wherever the dataset came from.

    `identities` say what the starting weights are; without them that is looked up. Raises SourceError where they are
    no file.
    """
    stage = STAGES["trained_model"]
    identities = stage.identities(recipe) if identities is None else identities
    inputs = {"dataset_zip": _members_digest(images_zip)}
    mark = fingerprint(stage, recipe, identities, inputs)
    return Manifest(
        stage.name, mark, stage.code_version, stage.recipe_part(recipe), identities, inputs, {}, [], "", 0.0
    )


def _members_digest(images_zip: Path) -> str:
    """Return 16 hex digits of all names, sizes and CRC-32s in the archive: no content is read."""
    with zipfile.ZipFile(images_zip) as archive:
        members = [(member.filename, member.file_size, member.CRC) for member in archive.infolist()]
    return hashlib.sha256(canonical_json(members).encode()).hexdigest()[:16]


@contextmanager
def opened(run: Path, made_from: Manifest) -> Iterator[bool]:
    """Yield whether `run` holds the state of a training that was begun with the same; if not, it is emptied first.

    A block that ends with an error and without a state leaves no folder: there would be nothing to go on from.
    """
    hindrance = _hindrance(run, made_from)
    if hindrance:
        if run.exists():
            log.info("beginning anew instead of going on in %s: %s", run, hindrance)
            remove(run)
        run.mkdir()
        write_json(run / MANIFEST, asdict(made_from))
    try:
        yield not hindrance
    except BaseException:
        if not _has_state(run):
            shutil.rmtree(run, ignore_errors=True)
        raise


def remove(run: Path) -> None:
    """Remove the folder, its state first: what is left by a call that dies meanwhile is nothing to go on from."""
    from mrcnn.training.checkpoints import STATE_FILE

    (run / STATE_FILE).unlink(missing_ok=True)
    shutil.rmtree(run)


def _hindrance(run: Path, made_from: Manifest) -> str:
    """Return why training can't go on from what `run` holds, or nothing."""
    from mrcnn.training.checkpoints import read_state

    try:
        if read_state(run) is None:
            return "it was stopped before it had written a state"
        begun = Manifest.read(run)
    except OSError as fault:
        raise TrainingError(f"training: the state in {run} can't be read now: {fault}") from None
    except (ValueError, ArtifactError) as fault:
        return str(fault)
    return "" if begun.fingerprint == made_from.fingerprint else "; ".join(differences(begun, made_from))


def _has_state(run: Path) -> bool:
    from mrcnn.training.checkpoints import STATE_FILE

    return (run / STATE_FILE).is_file()
