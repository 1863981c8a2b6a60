"""The artifact store: `$BDD_DATA_DIR/<stage>/<fingerprint>/`, whole or not at all, reused when nothing changed.

`python -m pipeline.artifacts` lists, explains and compares what is there, hashes every file again, and prunes.
"""

import errno
import json
import logging
import os
import shutil
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, TypedDict

import msgspec

from pipeline.artifacts import summary, usage
from pipeline.artifacts.summary import Summary
from pipeline.errors import ArtifactError
from pipeline.files import data_folder
from pipeline.files.atomic import sync, write_json
from pipeline.files.digests import sha256_of
from pipeline.recipe import Recipe
from pipeline.recipe.categories import Wanted
from pipeline.running import locks
from pipeline.stages import STAGES, Stage, expected_fingerprint, fingerprint

log = logging.getLogger(__name__)

MANIFEST = "manifest.json"
LATEST = "latest"
PARTIAL = ".partial-"
"""How the folder of an artifact that is being built begins; its fingerprint follows."""
NO_LINKS = {errno.ENOTSUP, errno.ENOSYS, errno.EPERM}
"""Errors of file systems without symbolic links: Google Drive's in Colab, FAT."""
UNWRITABLE = {errno.EACCES, errno.EPERM, errno.EROFS}


@dataclass(frozen=True)
class Artifact:
    """A finished result of a stage."""

    name: str
    fingerprint: str
    folder: Path

    @property
    def path(self) -> str:
        """Its path in the store, `<stage>/<fingerprint>`."""
        return f"{self.name}/{self.fingerprint}"


class FileFacts(TypedDict):
    """What a file of an artifact was like when it was built; `size` is in bytes."""

    size: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """What an artifact was made from, why it was built, and the files that it must hold."""

    name: str
    fingerprint: str
    code_version: int
    recipe: dict[str, Any]
    identities: dict[str, Any]
    inputs: dict[str, str]
    files: dict[str, FileFacts] = field(default_factory=dict)
    reasons: list[str] = field(default_factory=list)
    built_at: str = ""
    seconds: float = 0.0
    recipe_name: str = ""
    """Of the recipe that it was first built for."""

    @staticmethod
    def planned(stage: Stage, recipe: Recipe, identities: dict[str, Any], inputs: dict[str, str]) -> "Manifest":
        """Return the manifest of an artifact that is to be made; `inputs` are fingerprints by name."""
        made_from = fingerprint(stage, recipe, identities, inputs)
        part = stage.recipe_part(recipe)
        return Manifest(stage.name, made_from, stage.code_version, part, identities, inputs, recipe_name=recipe.name)

    @staticmethod
    def read(folder: Path) -> "Manifest":
        """Return the manifest of the artifact in `folder`; raises ArtifactError where it is missing or damaged."""
        try:
            return msgspec.json.decode((folder / MANIFEST).read_bytes(), type=Manifest)
        except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise ArtifactError(f"{folder / MANIFEST}: not a manifest of an artifact ({error})") from None


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
        usage.hold(self.root, artifact.path, *(inputs[name].path for name in stage.inputs))
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
        usage.hold(self.root, artifact.path)
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
        usage.hold(self.root, f"{stage.name}/{folder.name}")
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


def differences(before: Manifest, after: Manifest) -> list[str]:
    """Return a sentence for each thing that `after` is made from and `before` was not."""
    sentences = []
    if before.code_version != after.code_version:
        sentences.append(f"code version {before.code_version} → {after.code_version}")
    for kind, old, new in (
        ("recipe key", before.recipe, after.recipe),
        ("source", before.identities, after.identities),
        ("input", before.inputs, after.inputs),
    ):
        for key in sorted(old.keys() | new.keys()):
            if old.get(key) != new.get(key):
                sentences.append(f"{kind} {key}: {_short(old.get(key))} → {_short(new.get(key))}")
    return sentences


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 200 else f"{text[:200]}…"


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


def damage(folder: Path, hash_files: bool = False) -> list[str]:
    """Return a sentence for each file that is missing or of another size (or content) than when it was built."""
    try:
        manifest = Manifest.read(folder)
    except ArtifactError:
        return [f"damaged: {MANIFEST} can't be read"]
    sentences = []
    for name, facts in manifest.files.items():
        path = folder / name
        if not path.exists():
            sentences.append(f"damaged: {name} is missing")
        elif path.stat().st_size != facts["size"]:
            sentences.append(f"damaged: {name} has {path.stat().st_size:,} bytes instead of {facts['size']:,}")
        elif hash_files and sha256_of(path) != facts["sha256"]:
            sentences.append(f"damaged: {name} has another content than when it was built")
    return sentences


def fingerprint_of(path: Path) -> str:
    """Return the fingerprint of an artifact's folder or of one of its files.

    Of files from elsewhere it is the start of the SHA-256 of the file, of a folder's first .h5 file; else `unknown`.
    """
    folder = path if path.is_dir() else path.parent
    if (folder / MANIFEST).exists():
        return Manifest.read(folder).fingerprint
    files = [path] if path.is_file() else sorted(path.glob("*.h5"))
    return sha256_of(files[0])[:16] if files else "unknown"


def hold(path: Path) -> Path:
    """Keep the artifact that `path` is, or lies in, from being pruned until this process ends; return `path`.

    A folder outside of a store has nothing to fear, and a store that this process can't write isn't asked.
    """
    folder = (path if path.is_dir() else path.parent).resolve()
    if folder.parent.name in STAGES and (folder / MANIFEST).is_file():
        try:
            usage.hold(folder.parent.parent, f"{folder.parent.name}/{folder.name}")
        except OSError as error:
            if error.errno not in UNWRITABLE:
                raise
            log.debug("%s can't be written: %s may be pruned while it is read", folder.parent.parent, folder)
    return path


def ancestor(artifact: Path, stage: str) -> Path | None:
    """Return the folder of the artifact of `stage` that an artifact in its store is, or was made from."""
    if not (artifact / MANIFEST).is_file():
        return None
    manifest = Manifest.read(artifact)
    if manifest.name == stage:
        return artifact
    inputs = (artifact.parent.parent / name / fingerprint for name, fingerprint in manifest.inputs.items())
    return next((found for each in inputs if (found := ancestor(each, stage))), None)


def categories_of(artifact: Path) -> tuple[str, ...]:
    """Return the categories of the recipe that an artifact in its store was made with; none if that isn't known."""
    labels = ancestor(artifact.resolve(), "filtered_labels")
    return Wanted(Manifest.read(labels).recipe["labels.categories"]).categories if labels else ()
