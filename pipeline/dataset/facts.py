"""What there is to know of a dataset before one believes a figure measured on it.

Nothing of the model is here; how well it did is in `pipeline.evaluation.judgement`.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.dataset.images_zip import ImageRecord, ImagesZip


@dataclass(frozen=True)
class SplitFacts:
    """What a split holds."""

    split: str
    images: int
    empty_images: int
    """Images without an instance."""
    instances: dict[str, int]
    """Instances that count, by category, most frequent first."""
    ignored: int
    """Instances that are crowds or to be ignored."""
    boxes: int
    """Of those that count, the ones of which only a box is known."""

    @property
    def box_share(self) -> float:
        """Share of the instances that count of which only a box is known."""
        return self.boxes / sum(self.instances.values()) if self.instances else 0.0


@dataclass(frozen=True)
class DatasetFacts:
    """The splits, and what limits the worth of the judged one."""

    splits: tuple[SplitFacts, ...]
    judged: str
    seen_in_training: int
    """Judged images whose very file is in the training split, too."""
    boxes: int
    """Judged instances of which only a box is known, so that a rectangle stands in for the mask."""
    judged_instances: int
    judged_images: int

    @property
    def learnt_box_share(self) -> float:
        """Share of the instances of the training split that are boxes."""
        return next((each.box_share for each in self.splits if each.split == "train"), 0.0)

    @property
    def box_share(self) -> float:
        """Share of the judged instances that are boxes."""
        return self.boxes / self.judged_instances if self.judged_instances else 0.0


def measure(archive: ImagesZip, split: str, records: Sequence[ImageRecord]) -> DatasetFacts:
    """Return the facts of `archive`; `records` are the judged images of `split`."""
    trained = set()
    if split != "train" and "train" in archive.splits:
        trained = {(record.size, record.crc) for record in archive.records("train")}
    seen = len(records) if split == "train" else sum((record.size, record.crc) in trained for record in records)
    judged = [each for record in records for each in record.instances if not (each.crowd or each.ignored)]
    return DatasetFacts(
        splits=tuple(_split(name, archive.records(name)) for name in archive.splits),
        judged=split,
        seen_in_training=seen,
        boxes=sum(instance.geometry == "box" for instance in judged),
        judged_instances=len(judged),
        judged_images=len(records),
    )


def _split(name: str, records: Sequence[ImageRecord]) -> SplitFacts:
    instances = [instance for record in records for instance in record.instances]
    counting = [each for each in instances if not (each.crowd or each.ignored)]
    counted = Counter(each.category for each in counting)
    return SplitFacts(
        split=name,
        images=len(records),
        empty_images=sum(not record.instances for record in records),
        instances=dict(sorted(counted.items(), key=lambda pair: (-pair[1], pair[0]))),
        ignored=len(instances) - len(counting),
        boxes=sum(each.geometry == "box" for each in counting),
    )
