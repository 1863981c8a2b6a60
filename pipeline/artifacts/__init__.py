"""The artifact store: `$BDD_DATA_DIR/<stage>/<fingerprint>/`, whole or not at all, reused when nothing changed.

`python -m pipeline.artifacts list|verify` shows what is there, and re-hashes every file.
"""

import json
import logging
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypedDict

import msgspec

from pipeline.errors import ArtifactError
from pipeline.files.atomic import sync, write_json
from pipeline.files.digests import sha256_of
from pipeline.files.places import data_folder
from pipeline.recipe import Recipe
from pipeline.running import locks
from pipeline.stages import STAGES, Stage, fingerprint

log = logging.getLogger(__name__)

MANIFEST = "manifest.json"
LATEST = "latest"


@dataclass(frozen=True)
class Artifact:
    """A finished result of a stage."""

    name: str
    fingerprint: str
    folder: Path


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
    files: dict[str, FileFacts]
    reasons: list[str]
    built_at: str
    seconds: float

    @staticmethod
    def read(folder: Path) -> "Manifest":
        """Return the manifest of the artifact in `folder`; raises ArtifactError where it is missing or damaged."""
        try:
            return msgspec.json.decode((folder / MANIFEST).read_bytes(), type=Manifest)
        except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise ArtifactError(f"{folder / MANIFEST}: not a manifest of an artifact ({error})") from None


@dataclass(frozen=True)
class Built:
    """An artifact, and whether it was there already; `reasons` say why it was built when it was not."""

    artifact: Artifact
    cached: bool
    reasons: list[str]


Make = Callable[[Path], None]
"""Fills the folder that it is given with a stage's files."""


class Store:
    """All artifacts under one data folder."""

    def __init__(self, root: Path | str | None = None) -> None:
        self.root = Path(root or data_folder()).absolute()

    def folder(self, stage: Stage, mark: str) -> Path:
        """Return where the artifact of this fingerprint is, or will be."""
        return self.root / stage.name / mark

    def build(
        self,
        stage: Stage,
        recipe: Recipe,
        inputs: Mapping[str, Artifact],
        make: Make,
        identities: dict[str, Any] | None = None,
    ) -> Built:
        """Return the artifact that `stage` makes of `inputs` and `recipe`: the one that is there, or a new one.

        `make` fills a partial folder, which is renamed when it is whole; where it fetches sources itself, it is to
        fetch what `identities` say (without them, the stage is asked). Two processes that want the same artifact build
        it once; a build that died leaves nothing that hinders the next.
        """
        identities = stage.identities(recipe) if identities is None else identities
        marks = {name: inputs[name].fingerprint for name in stage.inputs}
        mark = fingerprint(stage, recipe, identities, marks)
        final = self.folder(stage, mark)
        with locks.held(final.parent / f".lock-{mark}", f"{stage.name} {mark}"):
            damage = _damage(final) if final.exists() else []
            if final.exists() and not damage:
                self._use(stage, final)
                log.info("cached: %s %s, nothing that it is made from has changed", stage.name, mark)
                return Built(Artifact(stage.name, mark, final), True, [])
            planned = Manifest(
                stage.name, mark, stage.code_version, stage.recipe_part(recipe), identities, marks, {}, [], "", 0.0
            )
            reasons = damage or self._reasons(stage, planned)
            log.info("building %s %s: %s", stage.name, mark, "; ".join(reasons))
            self._make(stage, planned, reasons, make)
            return Built(Artifact(stage.name, mark, final), False, reasons)

    def _make(self, stage: Stage, planned: Manifest, reasons: list[str], make: Make) -> None:
        final = self.folder(stage, planned.fingerprint)
        partial = final.parent / f".partial-{planned.fingerprint}"
        if partial.exists() and not _can_be_resumed(stage, partial):
            shutil.rmtree(partial)
        partial.mkdir(exist_ok=True)
        started = time.monotonic()
        try:
            with ExitStack() as stack:
                if stage.uses_gpu and any(Path("/dev").glob("nvidia[0-9]*")):
                    stack.enter_context(locks.held(self.root / ".lock-gpu", "the GPU"))
                make(partial)
            _finish(partial, stage, planned, reasons, time.monotonic() - started)
        except BaseException:
            if not _can_be_resumed(stage, partial):
                shutil.rmtree(partial, ignore_errors=True)
            raise
        if final.exists():
            shutil.rmtree(final)
        partial.rename(final)
        sync(final.parent)
        self._use(stage, final)

    def newest_matching(self, stage: Stage, recipe: Recipe) -> Artifact:
        """Return the artifact last used whose whole ancestry was made with this recipe.

        Raises ArtifactError, saying what to materialise, where there is none.
        """
        for folder in self._by_last_use(stage):
            if self._matches(stage, folder, recipe):
                return Artifact(stage.name, folder.name, folder)
        raise ArtifactError(
            f"no {stage.name} was made with this recipe under {self.root}: materialise {stage.name} with it first"
        )

    def complete(self, stage: Stage) -> Iterator[Artifact]:
        """Yield every complete artifact of a stage, the one used last first."""
        for folder in self._by_last_use(stage):
            yield Artifact(stage.name, folder.name, folder)

    def _by_last_use(self, stage: Stage) -> list[Path]:
        """Return the stage's complete folders, the last used first (the mtime of its manifest is its last use)."""
        manifests = [path for path in (self.root / stage.name).glob(f"*/{MANIFEST}") if path.parent.name != LATEST]
        visible = [path for path in manifests if not path.parent.name.startswith(".")]
        return [path.parent for path in sorted(visible, key=lambda path: path.stat().st_mtime_ns, reverse=True)]

    def _matches(self, stage: Stage, folder: Path, recipe: Recipe) -> bool:
        """Say whether the artifact and all that it was made from agree with the recipe and today's code."""
        if not (folder / MANIFEST).exists() or _damage(folder):
            return False
        manifest = Manifest.read(folder)
        return (
            manifest.code_version == stage.code_version
            and manifest.recipe == stage.recipe_part(recipe)
            and all(
                self._matches(STAGES[name], self.folder(STAGES[name], mark), recipe)
                for name, mark in manifest.inputs.items()
            )
        )

    def _reasons(self, stage: Stage, planned: Manifest) -> list[str]:
        """Say what is new against the artifact of this stage that was used last."""
        for folder in self._by_last_use(stage):
            with suppress(ArtifactError):  # a damaged one says nothing
                return differences(Manifest.read(folder), planned)
        return ["first time"]

    def _use(self, stage: Stage, final: Path) -> None:
        """Mark the artifact as the last used, and point `latest` at it."""
        os.utime(final / MANIFEST)
        beside = final.parent / f".{LATEST}-{os.getpid()}"
        beside.unlink(missing_ok=True)
        beside.symlink_to(final.name)
        beside.replace(final.parent / LATEST)


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
    return sentences or ["the earlier artifact is no longer there"]


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 200 else f"{text[:200]}…"


def _finish(partial: Path, stage: Stage, planned: Manifest, reasons: list[str], seconds: float) -> None:
    """Check that the stage left its files, make them durable, and write the manifest last."""
    missing = [name for name in stage.files if not (partial / name).exists()]
    if missing:
        raise ArtifactError(f"{stage.name} ended without its files: {', '.join(missing)}")
    files = {}
    for path in sorted(p for p in partial.rglob("*") if p.is_file()):
        with path.open("rb") as file:
            os.fsync(file.fileno())
        files[path.relative_to(partial).as_posix()] = {"size": path.stat().st_size, "sha256": sha256_of(path)}
    manifest = asdict(planned) | {
        "files": files,
        "reasons": reasons,
        "built_at": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "seconds": round(seconds, 3),
    }
    write_json(partial / MANIFEST, manifest)


def _can_be_resumed(stage: Stage, partial: Path) -> bool:
    """Say whether there is something in a stage's partial folder that it goes on from."""
    return bool(stage.resumes_from) and any(partial.glob(stage.resumes_from))


def _damage(folder: Path) -> list[str]:
    """Return a sentence for each file of the artifact that is missing or of another size than when it was built."""
    if not (folder / MANIFEST).exists():
        return [f"damaged: {MANIFEST} is missing"]
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
    return sentences


def verify(artifact: Artifact) -> list[str]:
    """Return a sentence for each file that is not, byte for byte, what it was when it was built."""
    sentences = _damage(artifact.folder)
    try:
        manifest = Manifest.read(artifact.folder)
    except ArtifactError:
        return sentences
    for name, facts in manifest.files.items():
        path = artifact.folder / name
        if path.exists() and path.stat().st_size == facts["size"] and sha256_of(path) != facts["sha256"]:
            sentences.append(f"damaged: {name} has another content than when it was built")
    return sentences


def _history(artifact: Artifact) -> str:
    """Return when and why an artifact was built."""
    try:
        manifest = Manifest.read(artifact.folder)
    except ArtifactError as error:
        return str(error)
    return f"{manifest.built_at}  {'; '.join(manifest.reasons)}"


def fingerprint_of(path: Path) -> str:
    """Return the fingerprint of an artifact's folder or of one of its files.

    Of files from elsewhere it is the start of the SHA-256 of the file, of a folder's first .h5 file; else `unknown`.
    """
    folder = path if path.is_dir() else path.parent
    if (folder / MANIFEST).exists():
        return Manifest.read(folder).fingerprint
    files = [path] if path.is_file() else sorted(path.glob("*.h5"))
    return sha256_of(files[0])[:16] if files else "unknown"
