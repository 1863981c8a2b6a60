"""The folder of checkpoints while training: what the training in it was begun with, and whether it can be resumed."""

import hashlib
import logging
import shutil
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mrcnn.training.checkpoints import STATE_FILE, read_state
from pipeline.artifacts import MANIFEST, Manifest, differences
from pipeline.errors import ArtifactError, TrainingError
from pipeline.files.atomic import canonical_json, write_json
from pipeline.recipe import Recipe
from pipeline.stages import STAGES

log = logging.getLogger(__name__)


def planned(recipe: Recipe, images_zip: Path, identities: dict[str, Any] | None = None) -> Manifest:
    """Return what a training with this recipe is made from; of the dataset, the names, sizes and CRC-32s of its files.

    `identities` say what the starting weights are; without them that is looked up. Raises SourceError where they are
    no file.
    """
    stage = STAGES["trained_model"]
    identities = stage.identities(recipe) if identities is None else identities
    with zipfile.ZipFile(images_zip) as archive:
        members = [(member.filename, member.file_size, member.CRC) for member in archive.infolist()]
    inputs = {"dataset_zip": hashlib.sha256(canonical_json(members).encode()).hexdigest()[:16]}
    return Manifest.planned(stage, recipe, identities, inputs)


@contextmanager
def opened(run: Path, made_from: Manifest) -> Iterator[bool]:
    """Yield whether `run` holds the state of a training that was begun with the same; if not, it is emptied first.

    A block that ends with an error and without a state leaves no folder: there would be nothing to resume from.
    """
    obstacle = _obstacle(run, made_from)
    if obstacle:
        if run.exists():
            log.info("beginning anew instead of resuming in %s: %s", run, obstacle)
            remove(run)
        run.mkdir()
        write_json(run / MANIFEST, asdict(made_from))
    try:
        yield not obstacle
    except BaseException:
        if not (run / STATE_FILE).is_file():
            shutil.rmtree(run, ignore_errors=True)
        raise


def remove(run: Path) -> None:
    """Remove the folder, its state first: what is left by a call that dies meanwhile can't be resumed."""
    (run / STATE_FILE).unlink(missing_ok=True)
    shutil.rmtree(run)


def _obstacle(run: Path, made_from: Manifest) -> str:
    """Return why training can't be resumed from what `run` holds, or nothing."""
    try:
        if read_state(run) is None:
            return "it was stopped before it had written a state"
        begun = Manifest.read(run)
    except OSError as fault:
        raise TrainingError(f"training: the state in {run} can't be read now: {fault}") from None
    except (ValueError, ArtifactError) as fault:
        return str(fault)
    return "" if begun.fingerprint == made_from.fingerprint else "; ".join(differences(begun, made_from))
