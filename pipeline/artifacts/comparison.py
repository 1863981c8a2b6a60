"""How an artifact differs from another of its stage: mask AP with its interval, recipe keys, data."""

from pathlib import Path

from pipeline.artifacts import Artifact, Store
from pipeline.artifacts.listing import report_of
from pipeline.errors import ArtifactError


def lines(store: Store, before: Artifact, after: Artifact) -> list[str]:
    """Return what differs, a line each; raises ArtifactError where they are of two stages."""
    from pipeline.evaluation.verdict import changes

    if before.name != after.name:
        raise ArtifactError(f"{before.path} and {after.path} are of two stages: name two of one stage")
    reports = report_of(store, before), report_of(store, after)
    found = changes.between(before.folder, after.folder, most=None)
    return [
        f"{before.name} {before.fingerprint} → {after.fingerprint}",
        *(_figures(reports[0], reports[1]) if reports[0] and reports[1] else []),
        *(found or ["made from the same"]),
    ]


def _figures(before: Path, after: Path) -> list[str]:
    """Return the differences of mask AP and AP50 and of each class, or why there are none."""
    from pipeline.evaluation import verdict

    try:
        found = verdict.compare(before, after)
    except ArtifactError as error:
        return [str(error)]
    left_out = f"; {found.left_out:,} judged by one alone, or labelled otherwise" if found.left_out else ""
    return [
        f"mask AP on {found.images:,} images that both judge{left_out}:",
        *(f"  {difference.text(name)}" for name, difference in found.mask.by_name.items()),
    ]
