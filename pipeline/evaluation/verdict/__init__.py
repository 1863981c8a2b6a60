"""The verdict on a new model: how it differs from the one before it on the same images, and what it was made from.

`python -m pipeline.artifacts compare BEFORE AFTER` prints it for two reports or models.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import ArtifactError

if TYPE_CHECKING:
    from pipeline.evaluation.measures.resampling import Differences


@dataclass(frozen=True)
class Verdict:
    """What changed from one report to another."""

    before: str
    """Fingerprint of the report, or its folder's name where it has none."""
    after: str
    images: int
    """Those compared on: both reports judge them, with the same labels."""
    left_out: int
    """Images that one report alone judges, or that have other labels in the other."""
    mask: "Differences"
    changes: tuple[str, ...]
    """What the new model was made from that the old one was not, most telling first."""

    @property
    def sentence(self) -> str:
        """`+0.012 AP, interval +0.004 to +0.020; learning rate 0.003 → 0.002, 40 new images`."""
        shown = ", ".join(self.changes) if self.changes else "made from the same"
        on = f" (on {self.images:,} images that both judge with the same labels; {self.left_out:,} left out)"
        return f"{self.mask.AP.text('AP')}{on if self.left_out else ''}; {shown}"


def compare(before: Path, after: Path) -> Verdict:
    """Return how the report in the folder `after` differs from that in `before`.

    Where the judged images or their labels differ, the models are compared on those that are the same in both. Raises
    ArtifactError where there are none, or where a folder is not a whole report.
    """
    from pipeline.evaluation.measures import resampling
    from pipeline.evaluation.measures.matches import MatchTable
    from pipeline.evaluation.verdict import changes, judged_files

    reports = [judged_files.read(folder) for folder in (before, after)]
    common = judged_files.common_images(*reports)
    if not common:
        raise ArtifactError(
            f"{before} and {after} can't be compared: they judge no image in common that has the same labels in both; "
            "evaluate both models on one dataset and split"
        )
    categories = sorted({name for report in reports for name in report.categories})
    old, new = (MatchTable.of([report.images[name] for name in common], categories) for report in reports)
    everything = reports[0].images.keys() | reports[1].images.keys()
    return Verdict(
        before=reports[0].fingerprint,
        after=reports[1].fingerprint,
        images=len(common),
        left_out=len(everything) - len(common),
        mask=resampling.differences(old, new),
        changes=tuple(changes.between(before, after)),
    )
