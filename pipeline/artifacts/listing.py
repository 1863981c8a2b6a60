"""What is in the store: a row an artifact, and how one is found by what a person calls it."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.artifacts import LATEST, MANIFEST, Artifact, Manifest, Store
from pipeline.artifacts.lineage import recipe_name
from pipeline.artifacts.released import all_released
from pipeline.artifacts.retention import Removal, files
from pipeline.errors import ArtifactError
from pipeline.stages import RELEASED, STAGES

METRICS = "metrics.json"
TITLES = ("stage", "fingerprint", "recipe", "size", "built", "mask AP", "", "why")


@dataclass(frozen=True)
class Row:
    """An artifact, as a person wants to see it."""

    stage: str
    fingerprint: str
    recipe: str
    """Name of the recipe that it was built for; empty where older code built it."""
    bytes: int
    built_at: str
    mask_ap: float | None
    """Of reports, and of models with a report."""
    latest: bool
    released: bool
    reasons: list[str]
    folder: str

    def cells(self) -> tuple[str, ...]:
        """Return the texts of the table's row."""
        marks = [name for name, has in ((LATEST, self.latest), ("released", self.released)) if has]
        ap = "" if self.mask_ap is None else f"{self.mask_ap:.3f}"
        built = self.built_at[:16].replace("T", " ")
        why = "; ".join(self.reasons)
        return self.stage, self.fingerprint, self.recipe, size(self.bytes), built, ap, ", ".join(marks), why


def rows(store: Store) -> Iterator[Row]:
    """Yield a row for each artifact: by stage, the one used last first."""
    released = {artifact.path for artifact in all_released(store).values()}
    for stage in STAGES.values():
        latest = (store.root / stage.name / LATEST).resolve().name
        for artifact in store.complete(stage):
            yield _row(store, artifact, artifact.fingerprint == latest, artifact.path in released)


def _row(store: Store, artifact: Artifact, is_latest: bool, is_released: bool) -> Row:
    try:
        manifest = Manifest.read(artifact.folder)
        built_at, reasons = manifest.built_at, manifest.reasons
    except ArtifactError as error:
        built_at, reasons = "", [str(error)]
    return Row(
        artifact.name,
        artifact.fingerprint,
        recipe_name(artifact.folder),
        sum(file.lstat().st_size for file in files(artifact.folder)),
        built_at,
        mask_ap(store, artifact),
        is_latest,
        is_released,
        reasons,
        str(artifact.folder),
    )


def table(cells: Sequence[Sequence[str]]) -> str:
    """Return lines with aligned columns; the last one may be long."""
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, [*widths[:-1], 0])).rstrip() for row in cells)


def removed(store: Store, removals: Sequence[Removal]) -> list[tuple[str, str, str]]:
    """Return a row for each folder that is removed: the bytes that it frees, its path in the store, why."""
    return [(size(each.freed), each.path.relative_to(store.root).as_posix(), each.why) for each in removals]


def size(count: float) -> str:
    """Return a count of bytes as a person says it: `512 B`, `1.2 GB`."""
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} B" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"


def find(store: Store, named: str) -> Artifact:
    """Return the artifact of a folder (also `…/latest`), or of the start of a fingerprint; raises ArtifactError."""
    folder = Path(named).resolve()
    if (folder / MANIFEST).is_file():
        return Artifact(folder.parent.name, folder.name, folder)
    found = [each for stage in STAGES.values() for each in store.complete(stage) if each.fingerprint.startswith(named)]
    if not found:
        raise ArtifactError(f"{named}: no artifact under {store.root} has this fingerprint, and it is no folder of one")
    if len(found) > 1:
        raise ArtifactError(
            f"{named}: begins the fingerprints of {', '.join(each.path for each in found)}; add a digit"
        )
    return found[0]


def report_of(store: Store, artifact: Artifact) -> Path | None:
    """Return the folder of the report that says how good a model is: the newest; of a report, its own."""
    if artifact.name == "evaluation_report":
        return artifact.folder
    if artifact.name == RELEASED:
        fingerprint = Manifest.read(artifact.folder).inputs.get("evaluation_report", "")
        return store.root / "evaluation_report" / fingerprint
    if artifact.name != "trained_model":
        return None
    reports = (each.folder for each in store.complete(STAGES["evaluation_report"]))
    return next((each for each in reports if _judges(each, artifact.fingerprint)), None)


def _judges(report: Path, model: str) -> bool:
    try:
        return Manifest.read(report).inputs.get("trained_model") == model
    except ArtifactError:
        return False


def mask_ap(store: Store, artifact: Artifact) -> float | None:
    """Return the mask AP in the report of a report or model; None where there is none, or nothing was measurable."""
    try:
        report = report_of(store, artifact)
        return json.loads((report / METRICS).read_text("utf-8"))["segm"]["AP"] if report else None
    except (OSError, ValueError, KeyError, TypeError, ArtifactError):
        return None
