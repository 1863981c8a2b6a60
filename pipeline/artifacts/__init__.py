"""The artifact store: `$BDD_DATA_DIR/<stage>/<fingerprint>/`, whole or not at all, reused when nothing changed.

`python -m pipeline.artifacts` lists, explains and compares what is there, hashes every file again, and prunes.
"""

import errno
import logging
import os
import shutil
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from pipeline.artifacts import summary, usage
from pipeline.artifacts.lineage import ancestor, categories_of, fingerprint_of
from pipeline.artifacts.manifest import MANIFEST, Artifact, FileFacts, Manifest, damage, differences
from pipeline.artifacts.summary import Summary
from pipeline.artifacts.usage import hold
from pipeline.errors import ArtifactError
from pipeline.files import data_folder
from pipeline.files.atomic import sync, write_json
from pipeline.files.digests import sha256_of
from pipeline.recipe import Recipe
from pipeline.running import locks
from pipeline.stages import Stage, expected_fingerprint

__all__ = [
    "LATEST", "MANIFEST", "PARTIAL", "Artifact", "Built", "Manifest", "Store", "ancestor", "can_be_resumed",
    "categories_of", "damage", "differences", "fingerprint_of", "hold",
]  # fmt: skip

log = logging.getLogger(__name__)

LATEST = "latest"
PARTIAL = ".partial-"
"""How the folder of an artifact that is being built begins; its fingerprint follows."""
NO_LINKS = {errno.ENOTSUP, errno.ENOSYS, errno.EPERM}
"""Errors of file systems without symbolic links: Google Drive's in Colab, FAT."""


@dataclass(frozen=True)
class Built:
    """An artifact, and whether it was there already; `reasons` say what is new against the one used before it."""

    artifact: Artifact
    cached: bool
    reasons: list[str]
    decision: Summary = field(default_factory=Summary)
    """What is known of this run alone: why it is this artifact and no other."""

    @property
    def summary(self) -> Summary:
        """What the artifact's summary and the decision say."""
        return summary.read(self.artifact.folder).plus(self.decision)


class Store:
    """All artifacts under one data folder."""

    def __init__(self, root: Path | str | None = None) -> None:
        self.root = Path(root or data_folder()).absolute()

    def folder(self, stage: Stage, fingerprint: str) -> Path:
        """Return where the artifact of this fingerprint is, or will be."""
        return self.root / stage.name / fingerprint

    def build(
        self,
        stage: Stage,
        recipe: Recipe,
        inputs: Mapping[str, Artifact],
        make: Callable[[Path], None],
        identities: dict[str, Any] | None = None,
    ) -> Built:
        """Return the artifact that `stage` makes of `inputs` and `recipe`: the one that is there, or a new one.

        `make` fills a partial folder, which is renamed when it is whole. It must use the sources that `identities`
        describe (by default what the stage's sources are now). Two processes that want the same artifact build it once;
        a build that died leaves nothing that hinders the next.
        """
        identities = stage.identities(recipe) if identities is None else identities
        planned = Manifest.planned(stage, recipe, identities, {name: inputs[name].fingerprint for name in stage.inputs})
        artifact = Artifact(stage.name, planned.fingerprint, self.folder(stage, planned.fingerprint))
        label = f"{stage.name} {planned.fingerprint}"
        usage.hold_names(self.root, artifact.path, *(inputs[name].path for name in stage.inputs))
        with locks.held(artifact.folder.parent / f".lock-{planned.fingerprint}", label):
            damages = damage(artifact.folder) if artifact.folder.exists() else []
            if artifact.folder.exists() and not damages:
                changes = self._reasons(stage, planned)
                log.info("cached: %s, nothing that it is made from has changed", label)
                return self.reused(artifact, changes)
            planned = replace(planned, reasons=damages or self._reasons(stage, planned))
            log.info("building %s: %s", label, "; ".join(planned.reasons))
            self._make(stage, planned, artifact.folder, make)
            return Built(artifact, False, planned.reasons)

    def reused(self, artifact: Artifact, reasons: list[str]) -> Built:
        """Return an artifact that is there as what a run uses, and note that it is the one used last."""
        usage.hold_names(self.root, artifact.path)
        _use(artifact.folder)
        return Built(artifact, True, reasons)

    def _make(self, stage: Stage, planned: Manifest, final: Path, make: Callable[[Path], None]) -> None:
        partial = final.parent / f"{PARTIAL}{planned.fingerprint}"
        if partial.exists() and not can_be_resumed(stage, partial):
            shutil.rmtree(partial)
        partial.mkdir(exist_ok=True)
        started = time.monotonic()
        needs_gpu = stage.uses_gpu and any(Path("/dev").glob("nvidia[0-9]*"))
        try:
            with locks.held(self.root / ".lock-gpu", "the GPU") if needs_gpu else nullcontext():
                make(partial)
            _finish(partial, stage, planned, time.monotonic() - started)
        except BaseException:
            if not can_be_resumed(stage, partial):
                shutil.rmtree(partial, ignore_errors=True)
            raise
        if final.exists():
            shutil.rmtree(final)
        partial.rename(final)
        sync(final.parent)
        _use(final)

    def matching(self, stage: Stage, recipe: Recipe) -> Artifact:
        """Return the artifact that `stage` makes of this recipe and of what the sources are now.

        Raises ArtifactError, saying what to materialise, where there is none; SourceError where a source is absent.
        """
        from pipeline.artifacts import released

        current = released.released(self, recipe.name)
        folder = self.folder(stage, expected_fingerprint(stage, recipe, current.fingerprint if current else ""))
        usage.hold_names(self.root, f"{stage.name}/{folder.name}")
        if damage(folder):
            raise ArtifactError(
                f"no {stage.name} of this recipe, made from its sources as they are now, is under {self.root}: "
                f"materialise {stage.name} with it first"
            )
        return Artifact(stage.name, folder.name, folder)

    def complete(self, stage: Stage) -> list[Artifact]:
        """Return the complete artifacts of a stage, the one used last first (its manifest has the latest mtime)."""
        manifests = (self.root / stage.name).glob(f"[0-9a-f]*/{MANIFEST}")
        folders = [path.parent for path in sorted(manifests, key=lambda path: -path.stat().st_mtime_ns)]
        return [Artifact(stage.name, folder.name, folder) for folder in folders]

    def _reasons(self, stage: Stage, planned: Manifest) -> list[str]:
        """Return what is new against the artifact of this stage that was used last; nothing where it is the same."""
        for artifact in self.complete(stage):
            with suppress(ArtifactError):  # a damaged one tells nothing
                return differences(Manifest.read(artifact.folder), planned)
        return ["first time"]


def _use(folder: Path) -> None:
    """Note that the artifact is the one used last, and point `latest` at it."""
    os.utime(folder / MANIFEST)
    link = folder.parent / f".{LATEST}-{os.getpid()}"
    link.unlink(missing_ok=True)
    try:
        link.symlink_to(folder.name)
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        log.info("%s can't be written (%s): the newest is %s", folder.parent / LATEST, error.strerror, folder)
        return
    link.replace(folder.parent / LATEST)


def _finish(partial: Path, stage: Stage, planned: Manifest, seconds: float) -> None:
    """Check that the stage left its files, make them durable, and write the manifest last."""
    missing = [name for name in stage.files if not (partial / name).exists()]
    if missing:
        raise ArtifactError(f"{stage.name} ended without its files: {', '.join(missing)}")
    files: dict[str, FileFacts] = {}
    for path in sorted(p for p in partial.rglob("*") if p.is_file()):
        sync(path)
        files[path.relative_to(partial).as_posix()] = {"size": path.stat().st_size, "sha256": sha256_of(path)}
    built_at = time.strftime("%Y-%m-%dT%H:%M:%S%z")
    write_json(partial / MANIFEST, asdict(replace(planned, files=files, built_at=built_at, seconds=round(seconds, 3))))


def can_be_resumed(stage: Stage, partial: Path) -> bool:
    """Return whether a stage's partial folder holds a state to resume from."""
    return bool(stage.resumes_from) and any(partial.glob(stage.resumes_from))
